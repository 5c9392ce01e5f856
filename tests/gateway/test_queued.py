"""Notifications that are answered before they are stored (``HUB_DURABILITY=queued``)."""

import asyncio

from tests.gateway.inside import Gate, world
from tests.waiting import until


def named(name):
    return {"deviceGuid": "lamp", "notification": {"notification": name}}


async def test_nothing_overtakes_what_waits_for_its_commit(start_hub, failing):
    """Behind a command that is being stored a notification waits, and the next waits behind that one."""
    home = await start_hub(world(), durability="queued")
    admin, reader = await home.key("admin"), await home.key("admin")
    await reader.succeed("notification/subscribe")
    first, second = Gate(), Gate()
    gates = iter([first, second])

    async def held():
        gate = next(gates, None)
        if gate is not None:
            await gate()

    # What is known of the device is cached then: the next requests wait for nothing but the log.
    await admin.succeed("command/insert", deviceGuid="lamp", command={"command": "on"})
    await until(lambda: asyncio.sleep(0, home.hub.gateway._newest is None or home.hub.gateway._newest.done))
    failing(home).gates["write"] = held
    await admin.send(action="command/insert", deviceGuid="lamp", command={"command": "on"})
    await first.reached.wait()
    await admin.send(action="notification/insert", **named("behind"))
    await until(lambda: asyncio.sleep(0, len(home.hub.gateway.commits._waiting)))
    first.open()
    await second.reached.wait()
    await admin.send(action="notification/insert", **named("behind that"))
    for _ in range(3):
        assert (await admin.receive())["status"] == "success"
    second.open()

    pushed = [await reader.receive() for _ in range(2)]
    assert [push["notification"]["notification"] for push in pushed] == ["behind", "behind that"]
