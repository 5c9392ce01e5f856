"""Long polls and what lies behind them: a database that fails, a clock that stands, other workers."""

import asyncio

import pytest

from protocol.errors import STORAGE
from protocol.times import format_ms
from tests.gateway.cluster import clusters
from tests.gateway.inside import take_clock, world
from tests.rest import http
from tests.rest.http import Client
from tests.rest.polling import LONG_AGO, begin, clean, command, ids, messages, notify, waiting
from tests.waiting import WAIT_S, until

LAMP = "/device/lamp/notification/poll"
ALL = "/device/notification/poll"
QUIET = {"rest_requests_per_s": 0.0}


def client(world):
    """The administrator's key at this hub."""
    return Client(world.hub.port, http.key(world.secrets["admin"]))


@pytest.fixture
async def alone(start_hub):
    return await start_hub(world(), **QUIET)


@pytest.fixture
async def pair(tmp_path, monkeypatch):
    """Two hubs whose heartbeats are far apart: what they hear of each other's floors, they have asked for."""
    async with clusters(tmp_path, monkeypatch) as start:
        cluster = await start(world(), **QUIET, heartbeat_s=1.0, lease_s=5.0)
        cluster.here, cluster.there = cluster.worlds
        yield cluster


# --- alone ------------------------------------------------------------------------------------------------------------


async def test_a_poll_is_answered_when_the_border_cannot_be_known(alone, monkeypatch):
    """What is committed is committed: an answer waits for what else may come, and not for ever."""

    async def unknown():
        raise STORAGE.error()

    poll = begin(client(alone), LAMP)
    await waiting(alone.hub)
    monkeypatch.setattr(alone.hub.gateway, "all_ended", unknown)
    monkeypatch.setattr(type(alone.hub.gateway.commits), "is_idle", False)

    told = await notify(alone.hub)

    assert ids(await poll) == [told.id]


async def test_an_answer_waits_for_what_is_stamped_already(alone):
    """Two devices share a millisecond, and the second commit is still under way when the first one is told."""
    take_clock(alone.hub.gateway)
    await alone.hub.gateway.devices.devices(["lamp", "fan"])
    poll = begin(client(alone), ALL)
    await waiting(alone.hub)

    first = asyncio.create_task(notify(alone.hub, "lamp"))
    while not alone.hub.gateway.commits._writing:
        await asyncio.sleep(0)
    second = asyncio.create_task(notify(alone.hub, "fan"))
    told = await asyncio.gather(first, second)
    after = await notify(alone.hub, "door")

    assert told[0].timestamp_ms == told[1].timestamp_ms < after.timestamp_ms
    assert ids(await poll) == [one.id for one in told]


async def test_an_answer_waits_for_a_clock_that_is_behind(alone, monkeypatch):
    """A busy device has carried timestamps as far ahead as they may go, where messages share a millisecond."""
    monkeypatch.setattr("hub.gateway.polls.OWN_S", WAIT_S)
    gateway, clock = alone.hub.gateway, take_clock(alone.hub.gateway)
    clock.now_us += 1_000 - clock.now_us % 1_000  # Ids go ahead of the clock, too: not into the next millisecond here.
    gateway.ids.pass_by(gateway.now_ms() + 9_999)
    told = [await notify(alone.hub), await notify(alone.hub)]
    poll = begin(client(alone), f"{LAMP}?timestamp={LONG_AGO}&waitTimeout=0")
    await until(lambda: asyncio.sleep(0, len(gateway.polls)))

    told.append(await notify(alone.hub))
    clock.forward(0.002)
    answer = await poll
    told.append(await notify(alone.hub))
    rest = await client(alone).get(f"{LAMP}?timestamp={messages(answer)[-1]['timestamp']}&waitTimeout=0")

    assert told[0].timestamp_ms == told[1].timestamp_ms == told[2].timestamp_ms
    assert ids(answer) + ids(rest) == [one.id for one in told]


async def test_a_log_that_cannot_be_read_is_said(start_hub, failing):
    """503, and the poll is gone."""
    home = await start_hub(world(), **QUIET)
    failing(home).fails = lambda name: name == "read"

    response = await client(home).get(f"{LAMP}?timestamp={LONG_AGO}")

    assert (response.status, response.json()["message"]) == (503, "Storage is not available, try again")
    await clean(home.hub)


async def test_what_was_told_before_it_was_stored_is_in_the_log_for_a_poll(start_hub):
    """``queued`` tells at once: a poll that begins then reads what was told before."""
    home = await start_hub(world(), durability="queued", **QUIET)
    lamp = await home.device("lamp", "lamp-key")

    for _ in range(20):
        inserted = await lamp.succeed("notification/insert", notification={"notification": "watts"})
        message_id, at = inserted["notification"]["id"], inserted["notification"]["timestamp"]
        before = format_ms(home.hub.gateway.now_ms() - 60_000)
        assert message_id in ids(await client(home).get(f"{LAMP}?timestamp={before}&waitTimeout=0"))
        assert message_id not in ids(await client(home).get(f"{LAMP}?timestamp={at}&waitTimeout=0"))


# --- among others -----------------------------------------------------------------------------------------------------


async def test_a_poll_is_answered_from_the_other_worker(pair):
    """Of one device and of all, by what is inserted there."""
    polls = [begin(client(pair.here), path) for path in (LAMP, ALL)]
    await waiting(pair.here.hub, 2)

    told = await notify(pair.there.hub)

    assert [ids(await poll) for poll in polls] == [[told.id]] * 2
    await clean(pair.here.hub)


async def test_an_answer_is_held_until_the_others_have_passed_its_end(pair, monkeypatch):
    """They are asked, not waited for: a heartbeat is a second."""
    monkeypatch.setattr("hub.gateway.polls.OTHERS_S", WAIT_S)
    gateway = pair.here.hub.gateway
    poll = begin(client(pair.here), ALL)
    await waiting(pair.here.hub)

    told = await notify(pair.here.hub)
    answer = await poll
    passed_ms = gateway.others.heard.passed_ms()
    later = await notify(pair.there.hub, "fan")

    assert ids(answer) == [told.id]
    assert passed_ms >= told.timestamp_ms
    assert later.timestamp_ms > told.timestamp_ms


async def test_an_answer_has_what_waits_here_for_its_place_among_the_others(pair, monkeypatch):
    """Committed here and not yet told here, because the bus has not taken it: a later one comes first."""
    gateway, fences = pair.here.hub.gateway, []
    for limit in ("OWN_S", "OTHERS_S"):
        monkeypatch.setattr(f"hub.gateway.polls.{limit}", WAIT_S)
    monkeypatch.setattr(gateway.order, "_within_s", WAIT_S)
    poll = begin(client(pair.here), ALL)
    await waiting(pair.here.hub)
    monkeypatch.setattr(gateway.bus, "fence", fences.append)

    first = asyncio.create_task(notify(pair.here.hub))
    await until(lambda: asyncio.sleep(0, bool(fences)))
    second = await notify(pair.there.hub, "fan")
    # Behind the first message and whoever inserted it, the answer waits; or else it is there already.
    await until(lambda: asyncio.sleep(0, poll.done() or len(gateway.order) > 2))
    for passed in fences:
        passed()

    assert ids(await poll) == [(await first).id, second.id]


async def test_while_the_bus_is_away_an_answer_waits_a_second(pair):
    """Nobody can be asked then; what there is, is told."""
    told = await notify(pair.here.hub)
    pair.exchange.cut()

    answer = await client(pair.here).get(f"{ALL}?timestamp={format_ms(told.timestamp_ms - 1)}")

    assert ids(answer) == [told.id]


async def test_a_worker_that_cannot_write_promises_nothing(pair, monkeypatch):
    """It keeps silent, and may be asked again."""

    async def unknown():
        raise STORAGE.error()

    others = pair.there.hub.gateway.others
    with monkeypatch.context() as patch:
        patch.setattr(pair.there.hub.gateway, "all_ended", unknown)
        others._answer(1)
        await until(lambda: asyncio.sleep(0, others._answering is None))
    monkeypatch.setattr("hub.gateway.polls.OTHERS_S", WAIT_S)
    told = await notify(pair.here.hub)

    assert ids(await client(pair.here).get(f"{ALL}?timestamp={format_ms(told.timestamp_ms - 1)}")) == [told.id]
    assert pair.here.hub.gateway.others.heard.passed_ms() >= told.timestamp_ms


async def test_a_poller_far_behind_gets_what_ids_and_times_disagree_about(pair):
    """Workers' clocks and ids differ a little: answers go by time, so that none of it is left behind."""
    begin_ms = pair.here.hub.gateway.now_ms() - 20_000
    order = [(n * 37) % 250 for n in range(250)]
    told = [await notify(pair.here.hub, ("lamp", "fan")[n % 2], at_ms=begin_ms + n * 10) for n in order]

    found, border = [], LONG_AGO
    while shown := messages(await client(pair.here).get(f"{ALL}?timestamp={border}&waitTimeout=0")):
        assert len(shown) <= 100
        found += shown
        border = shown[-1]["timestamp"]

    in_time = sorted(told, key=lambda one: one.timestamp_ms)
    assert [one["id"] for one in found] == [one.id for one in in_time]


async def test_a_result_is_waited_for_at_any_worker(pair):
    """Inserted at one, updated at the other, waited for at both; afterwards nobody listens any more."""
    before = [dict(one.hub.gateway.others._uses) for one in pair.worlds]
    made = await command(pair.here.hub)
    polls = [begin(client(one), f"/device/lamp/command/{made.id}/poll") for one in pair.worlds]
    for one in pair.worlds:
        await waiting(one.hub)

    lamp = Client(pair.there.hub.port, http.device("lamp", "lamp-key"))
    await lamp.put(f"/device/lamp/command/{made.id}", {"status": "Done"})

    assert [(await poll).json()["status"] for poll in polls] == ["Done"] * 2
    for one in pair.worlds:
        await clean(one.hub)
    assert [dict(one.hub.gateway.others._uses) for one in pair.worlds] == before
