"""``python -m tests.fault.crashing serve``: a hub that ends at once, as by ``kill -9``, where ``CRASH_AT`` says.

Attributes:
    CRASH_AT: the name of a point in :data:`POINTS`.
    CRASH_AFTER: how often the point is passed before.
"""

import os
from collections.abc import Callable
from typing import Any

from hub.bus.redis_link import Link
from hub.cli import main
from hub.gateway.commits import Commits
from hub.gateway.others import Others
from hub.store.postgres import PostgresStore

STATUS = 137
"""What a shell tells of a program that was killed."""


class Countdown:
    """Ends the process when it was called so often."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(STATUS)


def _before(owner: Any, name: str) -> Callable[[Countdown], None]:
    def install(tick: Countdown) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            tick()
            return real(*args, **options)

        setattr(owner, name, wrapped)

    return install


def _after(owner: Any, name: str) -> Callable[[Countdown], None]:
    def install(tick: Countdown) -> None:
        real = getattr(owner, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            outcome = real(*args, **options)
            tick()
            return outcome

        setattr(owner, name, wrapped)

    return install


def _after_awaiting(owner: Any, name: str) -> Callable[[Countdown], None]:
    def install(tick: Countdown) -> None:
        real = getattr(owner, name)

        async def wrapped(*args: Any, **options: Any) -> Any:
            outcome = await real(*args, **options)
            tick()
            return outcome

        setattr(owner, name, wrapped)

    return install


POINTS: dict[str, Callable[[Countdown], None]] = {
    "before the commit": _before(PostgresStore, "write"),
    "after the commit": _after_awaiting(PostgresStore, "write"),
    "before the answers": _before(Commits, "_wake"),
    "after the answers": _after(Commits, "_wake"),
    "before the bundle is made": _before(Others, "tell"),
    "before the bundle is sent": _before(Link, "pipeline"),
    "after the bundle was sent": _after_awaiting(Link, "pipeline"),
    "before a bundle is delivered": _before(Others, "deliver"),
    "after a bundle was delivered": _after(Others, "deliver"),
    "before the log is read for the others": _before(Others, "_read"),
}


if __name__ == "__main__":
    if point := os.environ.get("CRASH_AT"):
        POINTS[point](Countdown(int(os.environ.get("CRASH_AFTER", "0"))))
    main()
