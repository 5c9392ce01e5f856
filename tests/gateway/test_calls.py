"""Carrying out actions without a task of their own."""

import asyncio

from hub.gateway.calls import Call
from tests.waiting import until


async def test_two_calls_may_wait_for_the_same():
    """As when both need ids while the database does not answer."""
    answer = asyncio.get_running_loop().create_future()
    outcomes = []

    async def wait():
        return await answer

    calls = [Call(wait(), lambda result, error: outcomes.append((result, error))) for _ in range(3)]
    answer.set_result("here")

    async def all_finished():
        return all(call.finished for call in calls)

    await until(all_finished)
    assert outcomes == [("here", None)] * 3
