"""Memory of the process: what waits for slow readers is bounded for all of them together, and they are told."""

import asyncio

from tests.edge_client import TEXT, message
from tests.waiting import until
from tests.web.metrics import limits_reached, metric
from tests.web.test_slow_readers import SMALL, insert, tight

ALL = {"connections_per_device": 0, "message_bytes_per_s": 0, "messages_per_s": 0}
MIB = 1 << 20
EXTENDED = ("Sec-WebSocket-Protocol", "hub.1.json")


def unsent(world):
    """Bytes that wait for all peers."""
    return sum(one.unsent for one in world.hub.edge.sockets if hasattr(one, "unsent"))


async def subscribed(world, wires, *filters, **options):
    wire = await wires.dashboard(world, EXTENDED, **options)
    await wire.succeed("notification/subscribe", names=list(filters))
    return wire


async def test_together_slow_readers_cost_no_more_than_the_process_allows(start, wires):
    """Past the ceiling the largest are closed with 4008; who reads, and who is only a little behind, stays."""
    world = await tight(start, **ALL, send_memory_bytes=4 * MIB, close_wait_s=30)
    device = await wires.device(world)
    slow = [await subscribed(world, wires, "much", receive_bytes=SMALL) for _ in range(20)]
    little = await subscribed(world, wires, "little", receive_bytes=SMALL)
    fast = await subscribed(world, wires, "much")
    most = 0

    async def read():
        for _ in range(40):
            await fast.members()

    reading = asyncio.create_task(read())
    await insert(device, 4, name="little", size=20_000)
    for _ in range(40):
        await insert(device, 1, name="much", size=20_000)
        most = max(most, unsent(world))
    await reading

    async def below():
        return unsent(world) <= 4 * MIB

    await until(below)
    counters = world.hub.edge.counters
    assert most <= 4 * MIB + MIB  # An eighth may be written between two looks, and what one turn writes.
    assert 0 < counters.closes[4008] <= len(slow)
    assert len(world.hub.gateway) == 3 + len(slow) - counters.closes[4008]
    assert (await limits_reached(world, wires))["send-memory-bytes"] == counters.closes[4008]
    assert "hub_send_memory_limit_bytes 4.194304e+06" in await metric(world, wires, "hub_send_memory_limit_bytes")
    for wire in (little, fast):
        await wire.send(action="server/info", requestId="there")
        while (await wire.members()).get("requestId") != "there":
            pass


async def test_who_is_cut_learns_why(start, wires):
    """The reason names the limit, and when to come back."""
    world = await tight(start, **ALL, send_memory_bytes=MIB, outbox_bytes=4 * MIB, close_wait_s=30)
    device, slow = await wires.device(world), await subscribed(world, wires, "much", receive_bytes=SMALL)

    async def cut():
        await insert(device, 5, name="much", size=30_000)
        return world.hub.edge.counters.closes[4008]

    await until(cut)
    while (one := await slow.frame()).opcode == TEXT and one.members()["action"] != "connection/closing":
        pass

    told = one.members()
    assert 1 <= told.pop("retryAfter") <= 30
    assert told == {
        "action": "connection/closing",
        "code": 4008,
        "reason": f"reads too slowly: at most {MIB} bytes may wait for all peers together",
        "detail": {"limit": "send-memory-bytes", "value": MIB},
    }
    assert (await slow.frame()).code() == 4008


async def test_who_was_told_to_go_and_does_not_read_keeps_its_memory_no_longer(start, wires):
    """When more room is needed, what waits for such a one is dropped, long before its time to say goodbye is over."""
    world = await tight(start, **ALL, send_memory_bytes=2 * MIB, close_wait_s=60)
    device = await wires.device(world)
    for _ in range(3):
        for _ in range(4):
            await subscribed(world, wires, "much", receive_bytes=SMALL)
        await insert(device, 50, name="much", size=20_000)

    async def below():
        return unsent(world) <= 2 * MIB

    await until(below)
    assert world.hub.edge.counters.closes[4008] >= 4


async def test_answers_count_like_pushes(start, wires):
    """Many that ask and never read are closed as well."""
    world = await tight(start, **ALL, send_memory_bytes=2 * MIB, close_wait_s=0.5)
    asking = [await wires.dashboard(world, receive_bytes=SMALL) for _ in range(8)]
    asked = message(action="server/info", requestId="x" * 20_000) * 2

    async def closed():
        for wire in asking:
            try:
                await wire.write(asked)
            except (ConnectionResetError, BrokenPipeError):
                continue
        return world.hub.edge.counters.closes[4008]

    await until(closed)
    assert (await limits_reached(world, wires))["send-memory-bytes"]
