"""Lists of a device's messages: filtered, sorted and cut in pages, by the database and by nobody else."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.store import HistoryQuery
from protocol.names import Kind, Order
from tests.builders import EARLIER_MS
from tests.store.world import add_device, amend, append, command, notification

LOTS = 100_000


def ids(messages):
    return [message.id for message in messages]


async def listed(store, device, kind=Kind.NOTIFICATION, **asked):
    return await store.history(HistoryQuery(kind, device.id, **asked))


async def test_a_list_is_newest_first(store):
    """A hundred of them, unless somebody asks for more."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(120)]
    await append(store, told)

    newest_first = told[::-1]
    assert newest_first[:100] == await listed(store, lamp)
    assert newest_first == await listed(store, lamp, take=None)
    assert told == await listed(store, lamp, take=200, descending=False)


async def test_a_list_is_of_one_device_and_kind(store):
    """Other devices, the other kind, and a device made anew under the same guid are not in it."""
    lamp, door = await add_device(store), await add_device(store, "door")
    told, asked = notification(lamp), command(lamp)
    await append(store, [told, asked, notification(door), command(door)])

    assert [told] == await listed(store, lamp)
    assert [asked] == await listed(store, lamp, Kind.COMMAND)
    await store.transact(lambda tx: tx.delete_device("lamp"))
    assert await listed(store, await add_device(store)) == []
    assert await listed(store, lamp) == []


async def test_answered_and_expired_commands_are_listed(store):
    """A list shows what was, with what came of it."""
    lamp = await add_device(store)
    expired, answered = command(lamp, lifetime_s=1, timestamp_ms=1_000), command(lamp)
    await append(store, [expired, answered])
    await amend(store, lamp, answered, {"status": "Done", "result": b'{"ok":true}'})

    found = await listed(store, lamp, Kind.COMMAND, descending=False)

    assert [(one.status, one.result, one.updated) for one in found] == [
        (None, b"null", False),
        ("Done", b'{"ok":true}', True),
    ]


async def test_both_ends_of_a_time_are_in_it(store):
    """``since`` and ``until`` are included, to the millisecond."""
    lamp = await add_device(store)
    told = [notification(lamp, timestamp_ms=EARLIER_MS + at) for at in range(5)]
    await append(store, told)

    between = await listed(store, lamp, since_ms=EARLIER_MS + 1, until_ms=EARLIER_MS + 3, descending=False)

    assert told[1:4] == between
    assert await listed(store, lamp, since_ms=EARLIER_MS + 5) == []
    assert await listed(store, lamp, until_ms=EARLIER_MS - 1) == []


async def test_what_has_no_status_comes_last(store):
    """Or first, when it is the other way round; of equals the newest come first either way."""
    lamp = await add_device(store)
    statuses = [None, "b", "a", "B", None, "a"]
    asked = [command(lamp, status=status) for status in statuses]
    await append(store, asked)

    up = await listed(store, lamp, Kind.COMMAND, order=Order.STATUS, descending=False)
    down = await listed(store, lamp, Kind.COMMAND, order=Order.STATUS, descending=True)

    assert ids(up) == [asked[at].id for at in (3, 5, 2, 1, 4, 0)]
    assert ids(down) == [asked[at].id for at in (4, 0, 1, 5, 2, 3)]


async def test_a_page_is_sorted_by_time(store):
    """Two workers may give ids that disagree with their clocks by a little: pages are still complete and disjoint."""
    lamp = await add_device(store)
    told = [notification(lamp, timestamp_ms=EARLIER_MS + at) for at in (3, 2, 1, 6, 5, 4)]
    await append(store, told)

    first = await listed(store, lamp, take=3)
    second = await listed(store, lamp, take=3, skip=3)

    assert [one.timestamp_ms - EARLIER_MS for one in [*first, *second]] == [6, 5, 4, 3, 2, 1]


async def test_one_notification_is_found_by_its_device_and_id(store):
    """Another device's is not there, nor one of a device that is gone."""
    lamp, door = await add_device(store), await add_device(store, "door")
    told = notification(lamp, parameters={"a": 1})
    await append(store, [told, command(lamp)])

    assert told == await store.notification(lamp.id, told.id)
    assert await store.notification(door.id, told.id) is None
    assert await store.notification(lamp.id, told.id + 1) is None
    await store.transact(lambda tx: tx.delete_device("lamp"))
    assert await store.notification(lamp.id, told.id) is None


@pytest.mark.parametrize("kind", Kind)
async def test_a_list_matches_a_plain_filter(open_store, kind):
    """Whatever is asked together: the same messages as a filter over all of them finds, in the same order."""
    async with open_store() as store:
        lamp, door = await add_device(store), await add_device(store, "door")
        make = notification if kind is Kind.NOTIFICATION else command
        told = [
            make(device, "xyz"[n % 3], timestamp_ms=EARLIER_MS + n, **({} if make is notification else {"status": s}))
            for n, (device, s) in enumerate(zip([lamp, lamp, door] * 20, [None, "a", "b", "c"] * 15, strict=True))
        ]
        for begin in range(0, len(told), 10):
            await append(store, told[begin : begin + 10])
        if kind is Kind.NOTIFICATION:
            # Some of them have places, the others have to be looked through.
            await store.prune(kind, before_ms=0, per_device=LOTS)
            later = [notification(lamp, "x", timestamp_ms=EARLIER_MS + len(told) + n) for n in range(10)]
            await append(store, later)
            told += later
        own = [one for one in told if one.device_id == lamp.id]

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(query=queries(kind, lamp.id))
        def compare(query):
            asked.append(query)

        asked = []
        compare()
        for query in asked:
            assert ids(plainly(own, query)) == ids(await store.history(query)), query


def queries(kind, device_id):
    near = st.none() | st.integers(EARLIER_MS - 2, EARLIER_MS + 75)
    orders = [Order.TIME, Order.NAME] + ([Order.STATUS] if kind is Kind.COMMAND else [])
    return st.builds(
        HistoryQuery,
        st.just(kind),
        st.just(device_id),
        since_ms=near,
        until_ms=near,
        name=st.sampled_from([None, None, "x", "y", "none"]),
        status=st.sampled_from([None, None, "a", "none"]) if kind is Kind.COMMAND else st.none(),
        order=st.sampled_from(orders),
        descending=st.booleans(),
        skip=st.integers(0, 30),
        take=st.none() | st.integers(0, 30),
    )


def plainly(own, query):
    matching = [
        one
        for one in own
        if (query.since_ms is None or one.timestamp_ms >= query.since_ms)
        and (query.until_ms is None or one.timestamp_ms <= query.until_ms)
        and (query.name is None or one.name == query.name)
        and (query.status is None or one.status == query.status)
    ]
    newest_first = sorted(matching, key=lambda one: one.id, reverse=True)
    if query.order is Order.TIME:
        found = newest_first if query.descending else newest_first[::-1]
    else:
        text = (lambda one: one.name) if query.order is Order.NAME else (lambda one: one.status)
        found = sorted(newest_first, key=lambda one: (text(one) is None, text(one) or ""), reverse=query.descending)
    end = None if query.take is None else query.skip + query.take
    return found[query.skip : end]
