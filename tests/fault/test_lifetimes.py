"""Commands end when their lifetime does, whichever way they would have come to the device (T39)."""

import asyncio

from tests.gateway.inside import Clock, Gate, take_clock, world
from tests.waiting import until
from tests.websocket.conftest import World

EARLIER = "2020-01-01T00:00:00.000"
ENDLESS = (None, 0, -5)


async def insert(peer, **lifetime) -> int:
    command = {"command": "go", **lifetime}
    return (await peer.succeed("command/insert", deviceGuid="lamp", command=command))["command"]["id"]


async def offline_device(home: World) -> tuple[Clock, dict[int, int | None]]:
    """Commands with all sorts of lifetimes wait for a device that is not there. Returns the clock, and their ids."""
    clock = take_clock(home.hub.gateway)
    admin = await home.key("admin")
    return clock, {await insert(admin, lifetime=lifetime): lifetime for lifetime in (1, 2, *ENDLESS)}


async def pushed(peer, **cursor) -> list[int | None]:
    """The lifetimes of the commands that a replay brings to a device."""
    await peer.succeed("command/subscribe", **cursor)
    admin_marker = None
    pushes = []
    while admin_marker is None:
        push = await peer.push()
        pushes.append(push["command"])
        admin_marker = push if push["command"]["command"] == "stop" else None
    return [command["lifetime"] for command in pushes[:-1]]


async def stop(home: World) -> None:
    admin = await home.key("admin")
    await admin.succeed("command/insert", deviceGuid="lamp", command={"command": "stop"})


async def test_a_replay_passes_over_what_has_expired(start_hub):
    """From the end of its lifetime on a command is not replayed, by timestamp or by id; null, 0 and less never end."""
    home = await start_hub(world())
    clock, _ = await offline_device(home)
    await stop(home)

    for seconds, left in ((0.5, [1, 2, *ENDLESS]), (0.7, [2, *ENDLESS]), (1.0, [*ENDLESS]), (10**6, [*ENDLESS])):
        clock.forward(seconds)
        for cursor in ({"timestamp": EARLIER}, {"since": 0}):
            assert await pushed(await home.device("lamp", "lamp-key"), **cursor) == left


async def test_without_enforcement_nothing_ends(start_hub):
    """HUB_COMMAND_LIFETIME=ignore stores and shows the lifetime, and pushes the command whenever the device comes."""
    home = await start_hub(world(), command_lifetime="ignore")
    clock, ids = await offline_device(home)
    await stop(home)

    clock.forward(3_600)

    assert await pushed(await home.device("lamp", "lamp-key"), timestamp=EARLIER) == list(ids.values())


async def test_what_expires_while_a_replay_holds_it_is_not_pushed(start_hub, failing):
    """A command that comes live during a replay and ends before the replay does is not pushed late."""
    home = await start_hub(world())
    clock, ids = await offline_device(home)
    device, admin = await home.device("lamp", "lamp-key"), await home.key("admin")
    gate = failing(home).gates["read"] = Gate()

    await device.send(action="command/subscribe", requestId=1, since=max(ids))
    await gate.reached.wait()
    await insert(admin, lifetime=1)
    lasting = await insert(admin, lifetime=60)
    clock.forward(2)
    gate.open()
    assert (await device.receive())["status"] == "success"

    assert (await device.push())["command"]["id"] == lasting
    assert await device.pushes() == []


async def test_what_expires_while_rights_are_read_is_not_pushed(start_hub, failing):
    """A command held back by a change of rights ends in the meantime: it is not pushed late either."""
    data = world()
    other = {"login": "other", "password": "other-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []}
    home = await start_hub({**data, "users": [*data["users"], other]})
    clock = take_clock(home.hub.gateway)
    watcher, admin = await home.user("admin"), await home.user("other")
    await watcher.succeed("command/subscribe")
    gate = failing(home).gates["find_user"] = Gate()

    await home.change(lambda tx: tx.update_user(1, data={"seen": True}))
    await gate.reached.wait()
    await insert(admin, lifetime=1)
    lasting = await insert(admin, lifetime=60)
    clock.forward(2)
    gate.open()
    await until(lambda: asyncio.sleep(0, not home.hub.gateway.rights.stale))

    assert (await watcher.push())["command"]["id"] == lasting
    assert await watcher.pushes() == []


async def test_a_slow_reader_is_not_sent_what_has_expired_meanwhile(start_hub):
    """A page that waited for its reader is looked at again before it is sent."""
    home = await start_hub(world(), write_wait_s=60, outbox_wait_s=60)
    clock = take_clock(home.hub.gateway)
    admin = await home.key("admin")
    for number in range(300):
        command = {"command": "go", "lifetime": 1, "parameters": "x" * 60_000}
        await admin.send(action="command/insert", requestId=number, deviceGuid="lamp", command=command)
        if number % 16 == 15:
            for _ in range(16):
                await admin.receive()
    for _ in range(300 % 16):
        await admin.receive()
    device = await home.device("lamp", "lamp-key")

    await device.succeed("command/subscribe", since=0)
    await until(lambda: _waits(home))
    sent = home.hub.gateway.fan_out.deliveries
    clock.forward(5)
    received = await device.pushes()
    while len(home.hub.gateway.replays):
        received += await device.pushes()
    received += await device.pushes()

    assert len(received) == sent < 300


async def _waits(home: World) -> bool:
    """Whether the hub has begun to wait for the device to read: nothing more is handed to its socket."""
    before = home.hub.gateway.fan_out.deliveries
    await asyncio.sleep(0.1)
    return 0 < home.hub.gateway.fan_out.deliveries == before


async def test_an_update_of_the_lifetime_moves_the_end(start_hub):
    """The end counts from the insertion also when the lifetime is changed; a late update is still pushed."""
    home = await start_hub(world())
    clock = take_clock(home.hub.gateway)
    admin, device = await home.key("admin"), await home.device("lamp", "lamp-key")
    command_id = await insert(admin, lifetime=1)
    clock.forward(30)

    await device.succeed("command/update", commandId=command_id, command={"status": "late"})

    update = await admin.push()
    assert update["action"] == "command/update"
    assert (update["command"]["status"], update["command"]["lifetime"]) == ("late", 1)
