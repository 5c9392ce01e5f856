"""The log, read in pages: exactly what matches, in order, nothing twice and nothing left out."""

import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.store import REPLAY_PAGE, Amend, LogQuery, Reach
from protocol.messages import IDS_BEGIN_US, CommandPatch
from protocol.names import Kind
from tests.builders import EARLIER_MS
from tests.store.conftest import read_examining
from tests.store.world import add_device, append, command, insert_device, notification, pages, read


async def test_a_page_is_in_ascending_order_however_it_was_written(store):
    """Batches that committed late are read where their ids belong."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(50)]

    await append(store, random.Random(1).sample(told, len(told)))

    assert told == await read(store)


async def test_reading_goes_on_after_an_id(store):
    """``after`` is exact: the next message and none before it."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(5)]
    await append(store, told)

    assert told[3:] == await read(store, after=told[2].id)


async def test_a_page_has_at_most_a_thousand(store):
    """Nobody gets the whole log at once, whatever they ask for."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(REPLAY_PAGE + 1)]
    await append(store, told)

    page = await store.read(LogQuery(Kind.NOTIFICATION, limit=10 * REPLAY_PAGE))

    assert told[:-1] == [logged.message for logged in page.messages]
    assert (told[-2].id, False) == (page.read_to, page.complete)
    assert told == await read(store)


async def test_a_page_tells_how_far_it_looked(store):
    """A reader that found nothing need not look at the same rows again."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(3)]
    await append(store, told)

    page = await store.read(LogQuery(Kind.NOTIFICATION, names=frozenset({"no such name"})))

    assert ([], told[-1].id, True) == (page.messages, page.read_to, page.complete)


async def test_an_empty_log_is_complete(store):
    """And a cursor beyond its end does not go back."""
    page = await store.read(LogQuery(Kind.COMMAND, after=5))

    assert (page.messages, page.read_to, page.complete) == ([], 5, True)


async def test_each_message_tells_where_its_device_is_now(store):
    """The reader decides access by the network of today."""
    lamp = await add_device(store, network="home")
    await append(store, [notification(lamp)])
    office = await store.transact(lambda tx: tx.insert_network(name="office"))
    await store.transact(lambda tx: tx.update_device(lamp.id, network_id=office.id))

    (page,) = await pages(store)

    assert [office.id] == [logged.network_id for logged in page.messages]


async def test_messages_of_deleted_devices_are_out_of_reach(store):
    """Also when a device comes back under the same guid: it is another one."""
    lamp, door = await add_device(store), await add_device(store, "door")
    asked, other = command(lamp), command(door)
    await append(store, [asked, other])
    await store.transact(lambda tx: tx.delete_device("lamp"))
    again = await add_device(store, "lamp")

    assert again.id != lamp.id
    assert [other] == await read(store, Kind.COMMAND)
    assert await store.command(lamp.id, asked.id) is None
    assert await store.command(again.id, asked.id) is None


# --- filters ----------------------------------------------------------------------------------------------------------


async def test_a_timestamp_is_strict_and_a_millisecond_is_exact(store):
    """Newer than T, and exactly T: what a reader that resumes by time asks for."""
    lamp, door = await add_device(store), await add_device(store, "door")
    told = [
        notification(device, timestamp_ms=EARLIER_MS + at)
        for at, device in [(0, lamp), (1, lamp), (1, door), (2, lamp)]
    ]
    await append(store, told)

    assert told[3:] == await read(store, newer_than_ms=EARLIER_MS + 1)
    assert told[1:3] == await read(store, newer_than_ms=EARLIER_MS, up_to_ms=EARLIER_MS + 1)


async def test_a_timestamp_ahead_of_its_id_is_found(store):
    """A busy device's timestamps run ahead of the clock by up to ten seconds; its ids do not."""
    lamp = await add_device(store)
    now_ms = IDS_BEGIN_US // 1_000 + 10**9
    ahead = notification(lamp, id=now_ms * 1_000 - IDS_BEGIN_US, timestamp_ms=now_ms + 10_000)
    await append(store, [ahead])

    assert [ahead] == await read(store, newer_than_ms=now_ms + 9_999)
    assert [ahead] == await read(store, newer_than_ms=now_ms + 9_999, up_to_ms=now_ms + 10_000)


async def test_pending_commands_are_neither_updated_nor_expired(store):
    """A replay passes over what is done or too late."""
    lamp = await add_device(store)
    forever, short, done = command(lamp), command(lamp, lifetime_s=1), command(lamp)
    await append(store, [forever, short, done])
    await store.write([Amend(lamp.id, "lamp", done.id, CommandPatch({}))])
    end_ms = short.expires_ms()

    assert [forever, short] == await read(store, Kind.COMMAND, pending_at_ms=end_ms - 1)
    assert [forever] == await read(store, Kind.COMMAND, pending_at_ms=end_ms)
    assert len(await read(store, Kind.COMMAND)) == 3


async def test_reach_is_a_union(store):
    """Named devices, and everything in named networks."""
    lamp = await add_device(store, "lamp")
    door = await add_device(store, "door", network="home")
    boat = await add_device(store, "boat", network="harbour")
    told = [notification(device) for device in (lamp, door, boat)]
    await append(store, told)

    reach = Reach(guids=frozenset({"lamp", "gone"}), networks=frozenset({door.network_id}))

    assert told[:2] == await read(store, reach=reach)


async def test_an_empty_reach_reaches_nothing(store):
    """No device is not every device."""
    lamp = await add_device(store)
    await append(store, [notification(lamp)])

    assert await read(store, reach=Reach()) == []


async def test_a_reach_of_very_many_devices_is_as_exact(store):
    """Beyond a thousand devices the log is read in its order and filtered."""
    devices = []
    for first in range(0, 1_050, 75):  # A transaction that made all of them would be given up on a busy machine.

        def some(tx, first=first):
            return [insert_device(tx, f"d{n:04}", network="home") for n in range(first, first + 75)]

        devices += await store.transact(some)
    alone = await add_device(store)
    told = [notification(device) for device in devices[::10]]
    await append(store, [*told, notification(alone)])

    assert told == await read(store, reach=Reach(networks=frozenset({devices[0].network_id})))


GUIDS, NAMES = ("a", "b", "c", "d"), ("watts", "volts")
MESSAGES = st.lists(st.tuples(st.sampled_from(GUIDS), st.sampled_from(NAMES), st.integers(0, 5)), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    messages=MESSAGES,
    guids=st.none() | st.frozensets(st.sampled_from(GUIDS)),
    networks=st.frozensets(st.sampled_from(["even", "odd"])),
    names=st.none() | st.frozensets(st.sampled_from(NAMES)),
    newer=st.none() | st.integers(-1, 6),
    limit=st.integers(1, 7),
)
async def test_pages_are_what_a_plain_filter_finds(store, messages, guids, networks, names, newer, limit):
    """Whatever is asked for, page by page, equals the same filter over a list."""
    devices = await _devices(store)
    begin = (await store.read(LogQuery(Kind.NOTIFICATION, limit=1, names=frozenset()))).read_to
    told = [notification(devices[guid], name, timestamp_ms=EARLIER_MS + at) for guid, name, at in messages]
    await append(store, told)
    reached = frozenset(devices[guid].network_id for guid, network in PLACES.items() if network in networks)
    reach = None if guids is None else Reach(guids=guids, networks=reached)
    newer_than_ms = None if newer is None else EARLIER_MS + newer

    found = await read(store, after=begin, reach=reach, names=names, newer_than_ms=newer_than_ms, limit=limit)

    assert found == [
        message
        for message in told
        if (guids is None or message.device_guid in guids or PLACES[message.device_guid] in networks)
        and (names is None or message.name in names)
        and (newer is None or message.timestamp_ms > newer_than_ms)
    ]


PLACES = {"a": "even", "b": "odd", "c": "even", "d": None}


async def _devices(store):
    def find_or_insert(tx):
        return {guid: tx.device(guid) or insert_device(tx, guid, network=network) for guid, network in PLACES.items()}

    return await store.transact(find_or_insert)


# --- bounded work -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"names": frozenset({"rare"})},
        {"reach": Reach(frozenset({"lamp"}))},
        {"reach": Reach(frozenset({"lamp", "door"}))},
        {"newer_than_ms": EARLIER_MS},
        {"up_to_ms": EARLIER_MS + 1_000_000},
    ],
    ids=lambda query: "-".join(query) or "everything",
)
@pytest.mark.parametrize("examined", [1, 7, 100])
async def test_a_read_that_looks_at_few_rows_misses_none(store, query, examined):
    """However small the window of one read, the windows together are the log."""
    lamp, door = await add_device(store), await add_device(store, "door")
    told = [
        notification((lamp, door)[n % 3 == 0], "rare" if n % 10 == 0 else "watts", timestamp_ms=EARLIER_MS + n)
        for n in range(60)
    ]
    await append(store, told)
    everything = await read(store, **query)

    found, after, complete = [], 0, False
    while not complete:
        page = await read_examining(store, LogQuery(Kind.NOTIFICATION, after=after, **query), examined=examined)
        assert page.complete or page.read_to > after, "every read gets somewhere"
        found += [logged.message for logged in page.messages]
        after, complete = page.read_to, page.complete

    assert everything == found


async def test_one_millisecond_is_not_searched_through_the_whole_log(store):
    """Timestamps rise with the ids, so a minute later the search may end."""
    lamp = await add_device(store)
    told = [notification(lamp, timestamp_ms=EARLIER_MS + n * 10_000) for n in range(200)]
    await append(store, told)

    first = LogQuery(Kind.NOTIFICATION, newer_than_ms=EARLIER_MS - 1, up_to_ms=EARLIER_MS)
    page = await read_examining(store, first, examined=20)

    assert told[:1] == [logged.message for logged in page.messages]
    assert (True, told[-1].id) == (page.complete, page.read_to)


async def test_where_times_rise_with_the_ids_the_search_ends_sooner(store):
    """Where one worker gave all of them, nothing that was asked for comes behind a later time."""
    lamp = await add_device(store)
    told = [notification(lamp, timestamp_ms=EARLIER_MS + n) for n in range(200)]
    await append(store, told)
    first_ten = LogQuery(Kind.NOTIFICATION, up_to_ms=EARLIER_MS + 9)

    page = await read_examining(store, replace(first_ten, spread_ms=0), examined=20)
    unsure = await read_examining(store, first_ten, examined=20)

    assert told[:10] == [logged.message for logged in page.messages]
    assert (page.complete, unsure.complete) == (True, False)
