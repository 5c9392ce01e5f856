"""Readers that are too slow: what they cost, what becomes of them, and that nobody else notices."""

import asyncio
import socket

import pytest

from tests.edge_client import TEXT, message
from tests.waiting import until
from tests.web.metrics import limits_reached

KIB = 1024
OUTBOX = 128 * KIB
EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")
SMALL = 4_096
"""What the kernel keeps for a reader that never reads: the hub's side soon has to keep the rest."""


def inserting(number, *, size=4_000, name="watts", guid="lamp"):
    return message(
        action="notification/insert",
        deviceGuid=guid,
        notification={"notification": name, "parameters": {"n": number, "x": "x" * size}},
    )


async def insert(device, count, **options):
    """Publish so many messages, a batch at a time, each of them acknowledged."""
    for begin in range(0, count, 10):
        numbers = range(begin, min(begin + 10, count))
        await device.write(b"".join(inserting(number, **options) for number in numbers))
        for _ in numbers:
            assert (await device.members())["status"] == "success"


async def pushes(wire, last):
    """The pushes up to the one with this number."""
    found = []
    while not found or found[-1]["notification"]["parameters"]["n"] != last:
        found.append(await wire.members())
    return found


def numbers(found):
    return [push["notification"]["parameters"]["n"] for push in found]


async def tight(start, **chosen):
    """A hub whose kernel keeps next to nothing for its peers, so that the hub has to."""
    world = await start(**chosen)
    listening = world.hub._server.servers[0].sockets[0]
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
    return world


def only_connection(world, wire_count):
    """The newest connection of the hub."""
    assert len(world.hub.gateway) == wire_count
    return world.hub.gateway.connections[-1]


def unsent(world, connection):
    """Bytes that the hub keeps for a connection, in its outbox and in the transport."""
    return world.hub.gateway._sockets[connection].unsent


# --- disconnect -------------------------------------------------------------------------------------------------------


async def test_a_reader_that_never_reads_is_closed_alone(start, wires):
    """Past its outbox it is closed with 4008; the others get every message: T44."""
    world = await start(outbox_bytes=OUTBOX, close_wait_s=0.5)
    device = await wires.device(world)
    fast = [await wires.dashboard(world) for _ in range(3)]
    slow = await wires.dashboard(world, receive_bytes=SMALL)
    for wire in (*fast, slow):
        await wire.succeed("notification/subscribe")
    connection = only_connection(world, 5)
    readers = [asyncio.create_task(pushes(wire, 999)) for wire in fast]
    most = 0

    for begin in range(0, 1_000, 50):
        await insert(device, 49, size=3_000)
        await device.write(inserting(begin + 49, size=3_000))
        assert (await device.members())["status"] == "success"
        if connection in world.hub.gateway:
            most = max(most, unsent(world, connection))

    for found in await asyncio.gather(*readers):
        assert len(found) == 1_000
    assert world.hub.edge.counters.closes[4008] == 1
    assert most <= OUTBOX
    assert len(world.hub.gateway) == 4


async def test_a_reader_that_comes_back_in_time_learns_why_it_was_closed(start, wires):
    """Who reads on within the wait for its goodbye finds the close frame behind what was on its way."""
    world = await start(outbox_bytes=OUTBOX)
    device, slow = await wires.device(world), await wires.dashboard(world, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe")

    async def closed():
        await insert(device, 50, size=30_000)
        return world.hub.edge.counters.closes[4008]

    await until(closed)

    assert await slow.closed() == 4008


async def test_a_reader_without_progress_is_closed_at_its_deadline(start, wires):
    """Also when its outbox is not full: nothing has moved for so long."""
    world = await start(write_wait_s=0.3, close_wait_s=0.3)
    device, slow = await wires.device(world), await wires.dashboard(world, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe")
    connection = only_connection(world, 2)

    async def stuck():
        await insert(device, 10, size=20_000)
        return unsent(world, connection)

    await until(stuck)

    async def closed():
        return world.hub.edge.counters.closes[4008]

    await until(closed)
    assert len(world.hub.gateway) == 1
    assert await limits_reached(world, wires) == {"write-wait-s": 1}


async def test_a_reader_that_moves_but_never_catches_up_is_closed(start, wires):
    """A byte now and then is progress, but the oldest one may wait only so long."""
    world = await tight(start, write_wait_s=60, outbox_wait_s=0.6, close_wait_s=0.3)
    device, slow = await wires.device(world), await wires.dashboard(world, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe")
    await insert(device, 40, size=20_000)

    async def closed():
        await slow.read_some(500)
        return world.hub.edge.counters.closes[4008]

    await until(closed)
    assert await limits_reached(world, wires) == {"outbox-wait-s": 1}


async def test_a_slow_but_steady_reader_is_left_alone(start, wires):
    """Who makes progress all the time is served to the end, however small its steps."""
    world = await start(write_wait_s=0.5, outbox_wait_s=5.0)
    device, slow = await wires.device(world), await wires.dashboard(world, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe")
    await insert(device, 40, size=20_000)

    while slow.received < 40 * 20_000:
        assert await slow.read_some(8_192)
        await asyncio.sleep(0.005)

    assert world.hub.edge.counters.closes[4008] == 0


async def test_who_asks_but_never_reads_the_answers_is_closed(start, wires):
    """Answers count like pushes."""
    world = await start(outbox_bytes=OUTBOX, close_wait_s=0.3)
    wire = await wires.dashboard(world, receive_bytes=SMALL)
    asked = message(action="server/info", requestId="x" * 4_000) * 10

    async def closed():
        try:
            await wire.write(asked)
        except (ConnectionResetError, BrokenPipeError):
            return True
        return world.hub.edge.counters.closes[4008]

    await until(closed)
    assert world.hub.edge.counters.closes[4008] == 1
    assert len(world.hub.gateway) == 0


# --- other policies ---------------------------------------------------------------------------------------------------


async def test_dropping_the_oldest_keeps_the_connection(start, wires):
    """What the reader gets and what it is told to have missed make up all that was sent, the newest among it."""
    world = await start(outbox_bytes=OUTBOX)
    device, slow = await wires.device(world), await wires.dashboard(world, EXTENDED, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe", overflow="drop-oldest")
    count = 1_500

    await insert(device, count)
    assert len(world.hub.gateway) == 2
    found = await pushes(slow, count - 1)

    dropped = sum(push.get("dropped", 0) for push in found)
    assert dropped > 0
    assert len(found) + dropped == count
    assert numbers(found) == sorted(numbers(found))
    assert world.hub.edge.counters.closes[4008] == 0


async def test_the_latest_of_each_device_and_name_gets_through(start, wires):
    """However much was dropped, the newest value of everything arrives."""
    world = await start(outbox_bytes=OUTBOX)
    lamp, door = await wires.device(world), await wires.device(world, "door")
    slow = await wires.dashboard(world, EXTENDED, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe", overflow="latest")
    count = 1_000

    await insert(door, 1, guid="door", name="opened")
    await insert(lamp, count)
    await insert(lamp, count, name="volts")
    found = await pushes(slow, count - 1)
    while found[-1]["notification"]["notification"] != "volts":
        found += await pushes(slow, count - 1)

    newest = {
        (push["deviceGuid"], push["notification"]["notification"]): push["notification"]["parameters"]["n"]
        for push in found
    }
    assert newest == {("door", "opened"): 0, ("lamp", "watts"): count - 1, ("lamp", "volts"): count - 1}
    assert len(found) + sum(push.get("dropped", 0) for push in found) == 2 * count + 1


@pytest.mark.parametrize("overflow", ["drop-oldest", "disconnect"])
async def test_who_reads_loses_nothing(start, wires, overflow):
    """A policy for slow readers is nothing to a quick one, even when much comes at once."""
    world = await start(connections_per_device=0)
    devices = [await wires.device(world) for _ in range(4)]
    wire = await wires.dashboard(world, EXTENDED)
    await wire.succeed("notification/subscribe", overflow=overflow)

    for device in devices:
        await device.write(b"".join(inserting(number, size=10_000) for number in range(5)))

    found = [await wire.members() for _ in range(20)]
    assert sorted(numbers(found)) == sorted(list(range(5)) * 4)
    assert not any("dropped" in push for push in found)


async def test_policies_stand_beside_each_other(start, wires):
    """Of two slow readers one is closed and one is not: each as its subscription says."""
    world = await start(outbox_bytes=OUTBOX, close_wait_s=0.3)
    device = await wires.device(world)
    gone, kept = [await wires.dashboard(world, EXTENDED, receive_bytes=SMALL) for _ in range(2)]
    await gone.succeed("notification/subscribe", overflow="disconnect")
    await kept.succeed("notification/subscribe", overflow="drop-oldest")

    await insert(device, 1_500)

    assert world.hub.edge.counters.closes[4008] == 1
    assert len(world.hub.gateway) == 2
    assert (await pushes(kept, 1_499))[-1]["action"] == "notification/insert"


async def test_the_end_of_a_slow_reader_is_announced_where_there_is_room(start, wires):
    """Without room the close frame alone has to do; it is never in the middle of another frame."""
    world = await start(write_wait_s=0.3)
    device, slow = await wires.device(world), await wires.dashboard(world, EXTENDED, receive_bytes=SMALL)
    await slow.succeed("notification/subscribe")

    async def closed():
        await insert(device, 2, size=20_000)
        return world.hub.edge.counters.closes[4008]

    await until(closed)
    while (one := await slow.frame()).opcode == TEXT and one.members()["action"] != "connection/closing":
        pass

    assert one.opcode == TEXT
    assert one.members()["code"] == (await slow.frame()).code() == 4008
