"""How long tests wait for a condition. A slow computer sets ``TEST_WAIT_S``; nothing else has to be changed."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

WAIT_S = float(os.environ.get("TEST_WAIT_S", "10"))


async def until(condition: Callable[[], Awaitable[T]], *, within_s: float = WAIT_S) -> T:
    """Ask until the answer is true, and return it.

    Raises:
        AssertionError: it never was, ``within_s`` seconds long.
    """
    deadline_s = time.monotonic() + within_s
    while not (answer := await condition()):
        assert time.monotonic() < deadline_s, f"still {answer!r} after {within_s} s"
        await asyncio.sleep(0.01)
    return answer
