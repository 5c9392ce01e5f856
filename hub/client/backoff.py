"""When to connect again: full jitter, so that a thousand clients do not come back in the same moment."""

import random
from collections.abc import Callable

LONGEST_WAIT_S = 3_600.0
"""No hub makes a client wait longer, whatever it says."""


class Backoff:
    """A random delay below a ceiling that doubles with each failure.

    The ceiling falls back only after a connection that was authenticated and then held for ``stable_s``: a hub that
    accepts and drops at once would otherwise be asked again every second by everybody.
    """

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        most_s: float = 60.0,
        stable_s: float = 10.0,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._stable_s = stable_s
        self._uniform = uniform
        self._failures = 0
        self._authenticated_s: float | None = None

    def authenticated(self, now_s: float) -> None:
        """Note that the connection works."""
        self._authenticated_s = now_s

    def lost(self, now_s: float) -> bool:
        """Note that the connection is gone, or never came about. Returns whether it was stable before."""
        since_s, self._authenticated_s = self._authenticated_s, None
        stable = since_s is not None and now_s - since_s >= self._stable_s
        if stable:
            self._failures = 0
        return stable

    def delay_s(self, *, retry_after_s: float | None = None, slot_s: float | None = None) -> float:
        """How long to wait now; each call counts as one more failure.

        Args:
            retry_after_s: the least that the hub asked for; the jitter comes on top of it.
            slot_s: the moment that the hub chose for this client alone; it needs no jitter.
        """
        ceiling_s = min(self._first_s * 2.0 ** min(self._failures, 32), self._most_s)
        self._failures += 1
        if slot_s is not None:
            return min(slot_s, LONGEST_WAIT_S)
        return min(retry_after_s or 0.0, LONGEST_WAIT_S) + ceiling_s * self._uniform()
