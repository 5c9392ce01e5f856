"""A replay from a time that several messages share: all of them again, a page at a time, and never just the one."""

import pytest

from tests.gateway.inside import take_clock, world

DEVICES = [f"d{number}" for number in range(12)]


async def inserted(peer, guids, kind="notification", **members):
    """Ids and timestamps of messages of these devices."""
    told = []
    for guid in guids:
        answer = await peer.succeed(f"{kind}/insert", deviceGuid=guid, **{kind: {kind: "watts", **members}})
        told.append((answer[kind]["id"], answer[kind]["timestamp"]))
    return told


@pytest.mark.parametrize("page", [1, 2, 5, 1_000])
async def test_however_many_share_it_all_come_again_in_order(start_hub, page):
    """Pages of any size: what shares the cursor's millisecond first, then what is newer, each once."""
    home = await start_hub(world(DEVICES), replay_page=page)
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    clock.forward(1)
    shared = await inserted(admin, DEVICES)
    clock.forward(1)
    newer = await inserted(admin, DEVICES[:3])

    peer = await home.key("admin")
    await peer.succeed("notification/subscribe", timestamp=shared[0][1])
    got = [(await peer.push())["notification"]["id"] for _ in [*shared, *newer]]

    assert {timestamp for _, timestamp in shared} == {shared[0][1]}
    assert got == [number for number, _ in [*shared, *newer]]
    assert await peer.pushes() == []


@pytest.mark.parametrize("page", [1, 1_000])
async def test_the_only_one_with_it_does_not_come_again(start_hub, page):
    """Whoever resumes by it has seen it."""
    home = await start_hub(world(DEVICES), replay_page=page)
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    told = []
    for guid in DEVICES[:3]:
        clock.forward(1)
        told += await inserted(admin, [guid])

    peer = await home.key("admin")
    await peer.succeed("notification/subscribe", timestamp=told[1][1])

    assert (await peer.push())["notification"]["id"] == told[2][0]
    assert await peer.pushes() == []


async def test_an_answered_command_counts_and_stays_away(start_hub):
    """Of two commands of one millisecond the answered one is not pushed, the other one is, on whatever page it is."""
    home = await start_hub(world(DEVICES), replay_page=1)
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    clock.forward(1)
    (answered, timestamp), (waiting, _) = await inserted(admin, DEVICES[:2], "command")
    await admin.succeed("command/update", deviceGuid=DEVICES[0], commandId=answered, command={})

    peer = await home.key("admin")
    await peer.succeed("command/subscribe", timestamp=timestamp)

    assert (await peer.push())["command"]["id"] == waiting


@pytest.mark.parametrize("since", ["cancelled while it runs", "cancelled before it started"])
async def test_a_cancelled_command_counts_and_stays_away(start_hub, since):
    """Like one that was answered; also for a worker that has not heard of it itself, but reads of it."""
    home = await start_hub(world(DEVICES), replay_page=1)
    clock, admin = take_clock(home.hub.gateway), await home.key("admin")
    clock.forward(1)
    (cancelled, timestamp), (waiting, _) = await inserted(admin, DEVICES[:2], "command")
    await admin.succeed("command/cancel", deviceGuid=DEVICES[0], commandId=cancelled)
    if since == "cancelled before it started":
        home.hub.gateway.fan_out.cancelled._ids.clear()

    peer = await home.key("admin")
    await peer.succeed("command/subscribe", timestamp=timestamp)

    assert (await peer.push())["command"]["id"] == waiting
    assert await peer.pushes() == []
