"""Rates: so many a second with a burst, for the process, for each key, and for what one socket sends.

Whoever asks brings the time, in seconds on a clock that never goes back.
"""

from collections import OrderedDict
from collections.abc import Hashable

REMEMBERED = 100_000
"""How many keys are remembered at most; the one that asked longest ago is forgotten first."""

UNLIMITED = 1 << 62
"""What there is left to spend where a rate is not limited."""


class Pace:
    """A rate with a burst, for each key on its own.

    Keeps one number a key: when the next one would be due if all so far had come evenly. Being ahead of that by a whole
    burst is too fast.

    Args:
        per_s: how many a second in the long run; 0: no limit.
        burst: how many at once, at least 1.
    """

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self._every_s = 1 / per_s if per_s else 0.0
        self._ahead_s = (burst - 1) * self._every_s
        self._due_s: OrderedDict[Hashable, float] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._due_s)

    def take(self, key: Hashable, now_s: float) -> float:
        """Ask for one.

        Returns:
            0 when it is granted, or else the seconds until one would be.
        """
        if not self.per_s:
            return 0.0
        due_s = max(self._due_s.pop(key, now_s), now_s)
        wait_s = due_s - self._ahead_s - now_s
        granted = wait_s <= 0
        self._due_s[key] = due_s + self._every_s if granted else due_s
        if len(self._due_s) > REMEMBERED:
            self._due_s.popitem(last=False)
        return 0.0 if granted else wait_s


class Intake:
    """What one socket may send: messages and bytes a second.

    It keeps nothing of a socket: that has two numbers, which it counts down as it reads, and brings here when time has
    passed. Counting down is all that a message costs.

    Args:
        messages_per_s, burst: of messages; 0 a second: no limit.
        bytes_per_s: of bytes, twice as many at once; 0: no limit.
    """

    __slots__ = ("_bytes_per_s", "_messages_per_s", "bytes", "messages")

    def __init__(self, *, messages_per_s: int, burst: int, bytes_per_s: int) -> None:
        self._messages_per_s = messages_per_s
        self._bytes_per_s = bytes_per_s
        self.messages: float = burst if messages_per_s else UNLIMITED
        """What a socket has left of messages when it has been quiet."""
        self.bytes: float = 2 * bytes_per_s if bytes_per_s else UNLIMITED
        """What it has left of bytes then; below zero after a chunk that was larger than what was left."""

    def later(self, messages: float, size: float, elapsed_s: float) -> tuple[float, float]:
        """What is left of messages and of bytes after some more seconds."""
        return (
            min(self.messages, messages + self._messages_per_s * elapsed_s) if self._messages_per_s else UNLIMITED,
            min(self.bytes, size + self._bytes_per_s * elapsed_s) if self._bytes_per_s else UNLIMITED,
        )
