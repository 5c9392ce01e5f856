"""States of commands among several workers: one log, so one truth, whoever asks and whoever pushes."""

import asyncio

import pytest

from tests.gateway.inside import world
from tests.waiting import until
from tests.websocket.peer import Peer

JSON_MODE = {"subprotocols": ["hub.1.json"]}


@pytest.fixture
async def pair(start_cluster):
    """Two hubs."""
    return await start_cluster(world())


async def insert(peer: Peer, **members) -> int:
    asked = {"command": {"command": "on"}, **members}
    return (await peer.succeed("command/insert", deviceGuid="lamp", **asked))["command"]["id"]


async def state_of(peer: Peer, command_id: int) -> str:
    asked = await peer.succeed("command/get", deviceGuid="lamp", commandId=command_id)
    return asked["command"]["state"]


async def test_the_inserter_hears_what_happens_at_the_other_worker(pair):
    """Written to a socket there, received and done there: in this order here."""
    here, there = pair.worlds
    admin, lamp = await here.user("admin", **JSON_MODE), await there.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe")

    command_id = await insert(admin)
    await lamp.push()
    sent = await admin.push()
    await lamp.succeed("command/receive", commandId=command_id)
    await lamp.succeed("command/update", commandId=command_id, command={"status": "ok"})

    told = [sent, await admin.push(), await admin.push()]
    assert [push["command"]["state"] for push in told] == ["sent", "received", "done"]
    assert await state_of(await there.user("admin"), command_id) == "done"


async def test_what_is_cancelled_at_one_worker_is_not_replayed_by_another(pair):
    """The device comes to the other one afterwards."""
    here, there = pair.worlds
    admin = await here.user("admin", **JSON_MODE)
    off, on = await insert(admin), await insert(admin)
    await admin.succeed("command/cancel", deviceGuid="lamp", commandId=off)

    lamp = await there.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe", timestamp="2020-01-01")

    assert (await lamp.push())["command"]["id"] == on
    assert await lamp.pushes() == []


@pytest.mark.parametrize("bus", ["there", "away"])
async def test_what_is_cancelled_at_one_worker_is_not_pushed_by_another_that_holds_it(local_pair, bus):
    """It hears of that by the bus, or else by the log."""
    here, there = local_pair.worlds
    admin, lamp = await here.user("admin", **JSON_MODE), await there.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe")
    fan_out = there.hub.gateway.fan_out
    [ours] = [one for each in there.hub.gateway.connections for one in each.subscriptions.values()]
    ours.hold()
    fan_out.reroute(ours)
    off, on = await insert(admin), await insert(admin)
    await until(lambda: asyncio.sleep(0, len(ours.held) == 2 or fan_out.settle()))

    if bus == "away":
        local_pair.exchange.cut()
    await admin.succeed("command/cancel", deviceGuid="lamp", commandId=off)
    await until(lambda: asyncio.sleep(0, off in fan_out.cancelled))
    fan_out.release(ours)
    there.hub.gateway.visit(ours.connection)

    assert (await lamp.push())["command"]["id"] == on
    assert await lamp.pushes() == []


async def test_what_comes_late_by_the_log_and_is_over_is_not_pushed(local_pair):
    """While the bus is away: cancelled before the other worker has read of it."""
    here, there = local_pair.worlds
    admin, lamp = await here.user("admin", **JSON_MODE), await there.device("lamp", "lamp-key")
    await lamp.succeed("command/subscribe")
    others, read = there.hub.gateway.others, asyncio.Event()
    reading = others._read

    async def later() -> None:
        await read.wait()
        await reading()

    others._read = later
    local_pair.exchange.cut()
    off = await insert(admin)
    await admin.succeed("command/cancel", deviceGuid="lamp", commandId=off)
    on = await insert(admin)
    read.set()

    assert (await lamp.push())["command"]["id"] == on
    assert await lamp.pushes() == []


async def test_a_command_that_must_not_wait_is_taken_at_another_worker(pair):
    """Which tells at once who takes commands there, and who does not any more."""
    here, there = pair.worlds
    admin, lamp = await here.user("admin", **JSON_MODE), await there.device("lamp", "lamp-key")

    async def is_taken() -> bool:
        command = {"command": "on"}
        answer = await admin.ask("command/insert", deviceGuid="lamp", command=command, queue=False)
        return answer["status"] == "success"

    async def is_refused() -> bool:
        return not await is_taken()

    assert await is_refused()
    await lamp.succeed("command/subscribe")
    await until(is_taken)
    await lamp.close()
    await until(is_refused)


async def test_two_workers_expire_a_command_once(pair):
    """Both have somebody who listens; each hears of it once."""
    here, there = pair.worlds
    admin, watcher = await here.user("admin", **JSON_MODE), await there.user("admin", **JSON_MODE)
    command_id = await insert(admin, command={"command": "on", "lifetime": 1})
    await watcher.succeed("command/watch", deviceGuid="lamp", commandId=command_id)

    told = [await one.push() for one in (admin, watcher)]

    assert [push["command"]["state"] for push in told] == ["expired", "expired"]
    assert [await one.pushes() for one in (admin, watcher)] == [[], []]
