"""Signs of life, and what their absence does to a device (8.1, 8.2)."""

import asyncio

import pytest
from websockets.asyncio.client import ClientConnection

from protocol.errors import StoreUnavailable
from tests.gateway.inside import Clock, take_clock, world
from tests.waiting import until
from tests.websocket.conftest import World

TIMEOUT_S = 30


async def silent_world(start_hub, **chosen) -> tuple[World, Clock]:
    """A hub whose devices count as offline after 30 seconds of silence, and whose clock stands still."""
    data = world()
    home = await start_hub({**data, "deviceClass": {**data["deviceClass"], "offlineTimeout": TIMEOUT_S}}, **chosen)
    return home, take_clock(home.hub.gateway)


async def status(home: World, guid: str = "lamp") -> str | None:
    device = await home.hub.gateway.devices.device(guid)
    assert device is not None
    return device.status


async def turned_offline(home: World) -> int:
    """Let the hub look for silent devices now; returns how many there have been."""
    await home.hub.gateway.duties.turn_offline()
    return home.hub.gateway.duties.turned_offline


async def test_a_silent_device_turns_offline_and_its_subscribers_hear_of_it(start_hub):
    """When the timeout has passed the status becomes Offline, stored, with a complete ``$device-update``."""
    home, clock = await silent_world(start_hub)
    reader = await home.key("admin")
    await reader.succeed("notification/subscribe")
    await home.device("lamp", "lamp-key")

    clock.forward(TIMEOUT_S - 1)
    assert await turned_offline(home) == 0
    clock.forward(2)
    assert await turned_offline(home) == 1

    notification = (await reader.push())["notification"]
    assert notification["notification"] == "$device-update"
    assert notification["id"] > 0
    assert (notification["deviceGuid"], notification["parameters"]["status"]) == ("lamp", "Offline")
    assert await status(home) == "Offline"


async def test_the_hub_looks_by_itself_within_a_second_and_a_tenth(start_hub):
    """Nobody has to ask: a timeout of one second is noticed at most 1.1 s after it has passed."""
    data = world()
    home = await start_hub({**data, "deviceClass": {**data["deviceClass"], "offlineTimeout": 1}})
    loop, lamp = asyncio.get_running_loop(), await home.device("lamp", "lamp-key")
    heard_s = loop.time()
    await lamp.close()

    await until(lambda: _is_offline(home))

    assert 1.0 <= loop.time() - heard_s < 1.0 + 1.1 + 0.5  # The half second is for a slow computer.


async def _is_offline(home: World) -> bool:
    return await status(home) == "Offline"


async def test_a_class_with_a_shorter_timeout_is_noticed_at_once(start_hub):
    """The hub does not sleep through the timeout of a class that came after it had begun to wait for a longer one."""
    data = world()
    home = await start_hub({**data, "deviceClass": {**data["deviceClass"], "offlineTimeout": 600}})
    await (await home.device("lamp", "lamp-key")).close()
    await until(lambda: asyncio.sleep(0, _is_waiting_for_long(home)))

    await home.change(lambda tx: tx.update_class(1, offline_timeout_s=1))

    await until(lambda: _is_offline(home))


def _is_waiting_for_long(home: World) -> bool:
    return not home.hub.gateway.activity


async def test_offline_is_written_once_and_only_over_something_else(start_hub):
    """A device whose status is Offline already is left alone, and so is one that was never heard of."""
    home, clock = await silent_world(start_hub)
    reader = await home.key("admin")
    lamp = await home.device("lamp", "lamp-key")
    await lamp.succeed(
        "notification/insert", notification={"notification": "device-status", "parameters": {"status": "Offline"}}
    )
    await reader.succeed("notification/subscribe")

    clock.forward(10 * TIMEOUT_S)

    assert await turned_offline(home) == 0
    assert await reader.pushes() == []
    assert await status(home, "fan") is None


async def test_without_the_switch_nobody_is_told(start_hub):
    """HUB_DEVICES_NOTIFY_OFFLINE=false writes the status and publishes nothing."""
    home, clock = await silent_world(start_hub, devices_notify_offline=False)
    reader = await home.key("admin")
    await home.device("lamp", "lamp-key")
    await reader.succeed("notification/subscribe")

    clock.forward(TIMEOUT_S + 1)

    assert await turned_offline(home) == 1
    assert await status(home) == "Offline"
    assert await reader.pushes() == []


async def test_activity_survives_a_restart(start_hub, tmp_path):
    """What was heard before a restart counts after it: a device that stays away turns Offline all the same."""
    home, clock = await silent_world(start_hub)
    await home.device("lamp", "lamp-key")
    await home.hub.stop()

    again = type(home.hub)(home.settings)
    again.gateway.now_us = clock
    await again.start()
    try:
        clock.forward(TIMEOUT_S + 1)
        await again.gateway.duties.turn_offline()
        device = await again.gateway.devices.device("lamp")
    finally:
        await again.stop()

    assert device is not None
    assert device.status == "Offline"


async def test_activity_outlives_a_database_that_does_not_answer(start_hub, failing):
    """Signs of life that cannot be stored are stored later: no device turns Offline for the database's silence."""
    home, clock = await silent_world(start_hub)
    lamp = await home.device("lamp", "lamp-key")
    clock.forward(TIMEOUT_S - 1)
    await lamp.succeed("server/info")
    [connection] = home.hub.gateway.connections
    home.hub.gateway.heard(connection)

    failing(home).fails = lambda name: name == "write"
    with pytest.raises(StoreUnavailable):
        await home.hub.gateway.duties.flush_activity()
    failing(home).fails = lambda name: False
    clock.forward(TIMEOUT_S - 1)

    assert await turned_offline(home) == 0


@pytest.mark.parametrize("disturb", ["nothing", "the caches are dropped", "the device changes"])
async def test_a_pong_counts_for_every_device_that_is_listed(start_hub, disturb):
    """A gateway keeps alive what it takes commands for by name, whatever the caches know; all devices: nobody."""
    home, clock = await silent_world(start_hub)
    for guid in ("lamp", "fan", "door"):
        await (await home.device(guid, f"{guid}-key")).close()
    gateway, everything = await home.key("admin"), await home.key("admin")
    await gateway.succeed("command/subscribe", deviceGuids=["lamp", "fan"])
    await everything.succeed("command/subscribe")
    await until(lambda: asyncio.sleep(0, len(home.hub.gateway) == 2))
    if disturb == "the caches are dropped":
        await home.change(lambda tx: tx.update_network(1, description="new"))
    elif disturb == "the device changes":
        await home.change(lambda tx: tx.update_device(1, data=1))
    await home.hub.gateway.rights.poll()

    clock.forward(TIMEOUT_S - 1)
    for peer in (gateway, everything):
        await pong(home, peer._socket)
    clock.forward(TIMEOUT_S - 1)

    assert await turned_offline(home) == 1
    assert [await status(home, guid) for guid in ("lamp", "fan", "door")] == [None, None, "Offline"]


async def pong(home: World, socket: ClientConnection) -> None:
    """Send a pong, and wait until the hub has read it."""
    await socket.pong(b"devicehive-ping")
    await (await socket.ping())


async def test_more_silent_devices_than_one_look_finds_all_turn_offline(start_hub, monkeypatch):
    """However many fall silent together, one look takes them all."""
    monkeypatch.setattr("hub.gateway.duties.OVERDUE_AT_ONCE", 2)
    home, clock = await silent_world(start_hub)
    for guid in ("lamp", "fan", "door"):
        await home.device(guid, f"{guid}-key")

    clock.forward(TIMEOUT_S + 1)

    assert await turned_offline(home) == 3
