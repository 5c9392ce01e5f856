"""What retention takes, and what whoever resumes is told about it."""

import pytest

from protocol.names import Kind
from tests.gateway.inside import take_clock

DAY_S = 86_400


async def notified(peer, number, guid="lamp"):
    ask = {"deviceGuid": guid, "notification": {"notification": "watts"}}
    return [(await peer.succeed("notification/insert", **ask))["notification"]["id"] for _ in range(number)]


async def commanded(peer, number, **members):
    ask = {"deviceGuid": "lamp", "command": {"command": "go", **members}}
    return [(await peer.succeed("command/insert", **ask))["command"]["id"] for _ in range(number)]


async def pruned(home, kind=Kind.NOTIFICATION, kept_s=DAY_S, per_device=100):
    await home.hub.gateway.duties.prune(kind, kept_s=kept_s, per_device=per_device)


async def resumed(peer, kind="notification", **where):
    """What a resume answers about the past, and the ids that it brings."""
    answer = await peer.succeed(f"{kind}/subscribe", **where)
    return {name: answer.get(name) for name in ("recovered", "missed")}


async def test_what_is_too_old_goes_and_a_resume_says_which(home):
    """By age: a cursor before what is gone is answered with the range that is missing, a later one is complete."""
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    old = await notified(admin, 5)
    clock.forward(DAY_S + 60)
    new = await notified(admin, 5)

    await pruned(home)

    gone = {"reason": "retention", "after": old[1], "before": old[-1] + 1}
    assert await resumed(admin, since=old[1]) == {"recovered": False, "missed": gone}
    assert [(await admin.push())["notification"]["id"] for _ in new] == new
    assert await resumed(admin, since=old[-1]) == {"recovered": True, "missed": None}


async def test_what_is_too_much_goes_oldest_first(home):
    """By count: the newest of each device and kind stay; a resume of another device misses nothing."""
    admin = await home.key("admin")
    lamp, fan = await notified(admin, 8), await notified(admin, 3, guid="fan")

    await pruned(home, per_device=5)

    gone = {"reason": "retention", "after": 0, "before": lamp[2] + 1}
    assert await resumed(admin, deviceGuids=["lamp"], since=0) == {"recovered": False, "missed": gone}
    assert [(await admin.push())["notification"]["id"] for _ in range(5)] == lamp[3:]
    assert await resumed(admin, deviceGuids=["fan"], since=0) == {"recovered": True, "missed": None}
    assert [(await admin.push())["notification"]["id"] for _ in fan] == fan


async def test_a_command_that_waits_survives_the_count(home):
    """A command that is neither answered nor expired goes by age only."""
    admin = await home.key("admin")
    waiting, answered = await commanded(admin, 4), await commanded(admin, 4)
    for command_id in answered:
        await admin.succeed("command/update", deviceGuid="lamp", commandId=command_id, command={"status": "done"})
    await admin.pushes()

    await pruned(home, Kind.COMMAND, per_device=1)
    await admin.succeed("command/subscribe", since=0)

    device = await home.hub.gateway.devices.device("lamp")
    kept = [await home.hub.store.command(device.id, command_id) is not None for command_id in answered]
    assert [(await admin.push())["command"]["id"] for _ in waiting] == waiting
    assert kept == [False, False, False, True]


@pytest.mark.parametrize("kind", [Kind.NOTIFICATION, Kind.COMMAND])
async def test_an_emptied_log_is_no_gap(home, kind):
    """After a restart on a log that retention has emptied, whoever has seen everything has missed nothing."""
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    last = (await (notified if kind is Kind.NOTIFICATION else commanded)(admin, 3))[-1]
    clock.forward(10 * DAY_S)
    await pruned(home, kind)
    await home.hub.stop()

    again = type(home.hub)(home.settings)
    again.gateway.now_us = clock
    await again.start()
    home.hub = again
    try:
        peer = await home.key("admin")
        assert await resumed(peer, kind.name.lower(), since=last) == {"recovered": True, "missed": None}
        await peer.close()
    finally:
        await again.stop()


async def test_the_history_before_a_timestamp_is_judged_too(home):
    """An extended connection that replays by time hears whether anything since then is gone."""
    clock, admin = take_clock(home.hub.gateway), await home.key("admin", subprotocols=["hub.1.json"])
    await notified(admin, 3)
    clock.forward(2 * DAY_S)
    await notified(admin, 3)
    await pruned(home)

    assert (await resumed(admin, timestamp="2020-01-01T00:00:00"))["recovered"] is False
    assert (await resumed(admin, timestamp=clock.now_us // 1000 - 1000))["recovered"] is True
