"""When the worker of a slot is started again, and when there is no use in it. Decides only; the clock is handed in."""

from collections.abc import Callable

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
WELL_AFTER_S = 60.0
"""A worker that has served for so long was all right: what ends it now is a new trouble."""
ATTEMPTS = 5
"""After so many workers in a row that did not become ready, no further one will."""


class Restarts:
    """One slot's history: tell it what happens, then ask how long to wait and whether to go on.

    Args:
        clock: seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._next_wait_s = FIRST_WAIT_S
        self._ready_at_s: float | None = None
        self._failures = 0

    @property
    def hopeless(self) -> bool:
        """Whether the slot should be given up."""
        return self._failures >= ATTEMPTS

    def ready(self) -> None:
        """A worker serves."""
        self._ready_at_s = self._clock()
        self._failures = 0

    def failed(self) -> float:
        """A worker has ended before it was ready. Returns the seconds to wait until the next one."""
        self._failures += 1
        return self._wait_s()

    def died(self) -> float:
        """A worker that was ready has ended. Returns the seconds to wait until the next one."""
        assert self._ready_at_s is not None, "it was ready"
        if self._clock() - self._ready_at_s >= WELL_AFTER_S:
            self._next_wait_s = FIRST_WAIT_S
        return self._wait_s()

    def _wait_s(self) -> float:
        wait_s = self._next_wait_s
        self._next_wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return wait_s
