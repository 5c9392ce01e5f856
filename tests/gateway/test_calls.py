"""Actions that are stepped without tasks of their own."""

import asyncio

from hub.gateway.calls import Call


async def test_several_calls_may_await_one_future():
    """As several inserts do that all need the next reservation of ids."""
    shared = asyncio.get_running_loop().create_task(asyncio.sleep(0, "done"))
    outcomes = []

    async def work():
        return await shared

    calls = [Call(work(), lambda *outcome: outcomes.append(outcome)) for _ in range(3)]
    await shared
    await asyncio.sleep(0)

    assert all(call.finished for call in calls)
    assert outcomes == [("done", None)] * 3
