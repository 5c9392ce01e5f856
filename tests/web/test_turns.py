"""What one turn of the event loop takes in."""

import asyncio
from typing import Any

from tests.edge_client import message


def asking(number: int) -> bytes:
    return message(action="server/info", requestId=number)


async def test_a_turn_takes_in_only_so_many_messages(start: Any, wires: Any) -> None:
    """However much has arrived at once, no turn handles more; all of it is answered, in order, and nobody starves."""
    world = await start(messages_per_turn=4)
    asking_wires = [await wires.dashboard(world) for _ in range(3)]
    counters = world.hub.edge.counters
    before, steps = counters.received, []

    async def watch() -> None:
        seen = before
        while seen < before + 150:
            await asyncio.sleep(0)
            steps.append(counters.received - seen)
            seen = counters.received

    watching = asyncio.create_task(watch())
    for wire in asking_wires:
        await wire.write(b"".join(map(asking, range(50))))
    answers = [[(await wire.members())["requestId"] for _ in range(50)] for wire in asking_wires]
    await watching

    assert answers == [list(range(50))] * 3
    assert max(steps) <= 4


async def test_a_socket_that_ends_while_it_waits_for_its_turn_is_forgotten(start: Any, wires: Any) -> None:
    """Nothing is kept for a peer that has gone before its messages were read."""
    world = await start(messages_per_turn=1)
    wire = await wires.dashboard(world)

    await wire.write(b"".join(map(asking, range(500))))
    wire.abort()

    async with asyncio.timeout(10):
        while len(world.hub.gateway):
            await asyncio.sleep(0)
    assert not world.hub.edge._waiting
