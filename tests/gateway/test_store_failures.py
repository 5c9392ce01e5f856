"""A database that does not answer now and then: every request is answered, and nothing acknowledged is lost."""

import asyncio
import random
from itertools import pairwise

import pytest

from hub.core.stamps import Stamper
from hub.gateway import duties
from protocol.errors import StoreUnavailable
from tests.gateway.inside import Gate, take_clock, world
from tests.waiting import until

UNAVAILABLE = (503, "Storage is not available, try again")
NOTIFICATION = {"deviceGuid": "lamp", "notification": {"notification": "watts"}}


def outcome(answer):
    return answer.get("code", 200), answer.get("error")


async def test_an_hour_of_silence_does_not_cost_the_next_insert(home):
    """Ids are reserved ahead of use; a hub that nobody used for long, or was paused, still takes the next message."""
    admin = await home.key("admin")
    clock = take_clock(home.hub.gateway)

    clock.forward(3_600)
    answer = await admin.ask("notification/insert", **NOTIFICATION)

    assert outcome(answer) == (200, None)


async def test_who_asks_for_more_than_is_under_way_does_not_wait_for_each(start_hub, failing):
    """However many requests a peer has sent, and however few are carried out at once, all are refused when the first
    has waited for long enough; what had not begun by then never gets to the store."""
    home = await start_hub(world(), database_wait_s="1")
    admin, gate = await home.key("admin"), Gate()
    await admin.succeed("notification/insert", **NOTIFICATION)
    failing(home).gates["write"] = gate

    for number in range(60):
        await admin.send(action="notification/insert", requestId=number, **NOTIFICATION)
    answers = [await admin.receive() for _ in range(60)]
    commits, away = home.hub.gateway.commits, home.hub.gateway.commits.away
    gate.open()
    await until(lambda: asyncio.sleep(0, not commits.away))

    assert [outcome(answer) for answer in answers] == [UNAVAILABLE] * 60
    assert away
    assert outcome(await admin.ask("notification/insert", **NOTIFICATION)) == (200, None)
    assert commits.writes < 1 + 60


async def test_without_ids_everybody_is_refused_with_the_first(start_hub, failing):
    """While the database is away longer than ids were reserved for, one waits for more of them, and not each in turn;
    when it is back, inserts go on."""
    home = await start_hub(world())
    admin, gate, store = await home.key("admin"), Gate(), failing(home)
    await admin.succeed("notification/insert", **NOTIFICATION)
    store.gates["reserve"] = gate
    asked = []
    store.fails = lambda name: asked.append(name) is None and name in ("reserve", "transact")
    take_clock(home.hub.gateway).forward(3_600)

    for number in range(20):
        await admin.send(action="notification/insert", requestId=number, **NOTIFICATION)
    await gate.reached.wait()
    gate.open()
    answers = [await admin.receive() for _ in range(20)]
    reservations, store.fails = asked.count("reserve"), lambda name: False
    commits = home.hub.gateway.commits
    await until(lambda: asyncio.sleep(0, not commits.away))

    assert [outcome(answer) for answer in answers] == [UNAVAILABLE] * 20
    assert reservations == 1
    assert outcome(await admin.ask("notification/insert", **NOTIFICATION)) == (200, None)


async def test_a_failing_store_leaves_nothing_unanswered_and_loses_nothing(start_hub, failing):
    """Whatever fails, each request gets its answer, in order, and what was acknowledged is pushed once and stored."""
    home = await start_hub(world())
    store, dice = failing(home), random.Random(7)
    admin, reader = await home.key("admin"), await home.key("admin")
    await reader.succeed("notification/subscribe")

    store.fails = lambda name: name != "changes" and dice.random() < 0.3
    for number in range(300):
        await admin.send(action="notification/insert", requestId=number, **NOTIFICATION)
        if number % 20 == 0:
            home.hub.gateway.devices.drop(None)
    answers = [await admin.receive() for _ in range(300)]
    store.fails = lambda name: False

    acknowledged = [answer["notification"]["id"] for answer in answers if answer["status"] == "success"]
    assert [answer["requestId"] for answer in answers] == list(range(300))
    assert {outcome(answer) for answer in answers} == {(200, None), UNAVAILABLE}
    assert [push["notification"]["id"] for push in await reader.pushes()] == acknowledged
    assert all(earlier < later for earlier, later in pairwise(acknowledged))


async def test_a_subscription_that_fails_leaves_nothing_behind(start_hub, failing):
    """When the log cannot be asked for what is missing, the subscribe fails whole: nothing of it goes on living."""
    home = await start_hub(world())
    admin = await home.key("admin")
    failing(home).fails = lambda name: name in ("pruned_to", "lost")

    answer = await admin.ask("notification/subscribe", since=0)
    await admin.succeed("notification/insert", **NOTIFICATION)

    [connection] = home.hub.gateway.connections
    assert outcome(answer) == UNAVAILABLE
    assert connection.subscriptions == {}
    assert await admin.pushes() == []


async def test_a_replay_that_cannot_be_read_ends_the_connection(start_hub, failing):
    """A promise of history that cannot be kept closes with 1013; the peer asks again later."""
    home = await start_hub(world())
    admin = await home.key("admin")
    failing(home).fails = lambda name: name == "read"

    await admin.succeed("notification/subscribe", since=0)

    assert await admin.closed() == 1013


async def test_what_a_repetition_acknowledges_was_pushed(start_hub, failing):
    """An insert whose outcome was unknown and which the log has after all reaches the subscribers, once."""
    home = await start_hub(world())
    admin, reader = await home.key("admin"), await home.key("admin")
    await reader.succeed("notification/subscribe")
    store = failing(home)
    write = store._store.write

    async def write_and_be_silent(batch):
        await write(batch)
        raise TimeoutError

    store._store.write = write_and_be_silent
    doubtful = await admin.ask("notification/insert", **NOTIFICATION, idempotencyKey="k")
    store._store.write = write
    repeated = await admin.ask("notification/insert", **NOTIFICATION, idempotencyKey="k")
    later = await admin.ask("notification/insert", **NOTIFICATION)

    assert outcome(doubtful) == UNAVAILABLE
    assert outcome(repeated) == (200, None)
    ids = [repeated["notification"]["id"], later["notification"]["id"]]
    assert [push["notification"]["id"] for push in await reader.pushes()] == ids


async def test_activity_is_stored_a_little_at_a_time(start_hub, failing, monkeypatch):
    """Inserts pass in between; what could not be stored is kept for the next time, with what has come since."""
    monkeypatch.setattr(duties, "ACTIVITY_AT_ONCE", 2)
    home = await start_hub(world())
    gateway, store = home.hub.gateway, failing(home)
    ids = [(await gateway.devices.device(guid)).id for guid in ("lamp", "fan", "door")]
    gateway.activity = dict.fromkeys(ids, 5)
    writes = iter([False, True])
    store.fails = lambda name: name == "write" and next(writes)

    with pytest.raises(StoreUnavailable):
        await gateway.duties.flush_activity()
    left, store.fails = dict(gateway.activity), lambda name: False
    gateway.activity[ids[0]] = 7
    await gateway.duties.flush_activity()

    assert left == {ids[0]: 5}
    assert gateway.activity == {}


async def test_what_was_reserved_in_one_lane_is_not_in_another(start_hub, failing):
    """A worker that takes another lane while a reservation is under way gives none of those ids there: after a crash
    they would be given again."""
    home = await start_hub(world())
    gateway, gate = home.hub.gateway, Gate()
    take_clock(gateway).forward(3_600)
    failing(home).gates["reserve"] = gate
    reserving = gateway.ids._more()
    await gate.reached.wait()
    ahead = gateway.ids._stamper
    gateway.ids._stamper = Stamper(lane=1, mark=0, last_timestamp_ms=0)

    gate.open()
    await reserving

    assert ahead.stamp(1, gateway.now_us()).id > 0
    with pytest.raises(StoreUnavailable):
        gateway.ids._stamper.stamp(1, gateway.now_us())
