"""Latencies as they are gathered in a load process: counted per microsecond, and made coarse once a second."""

from collections import Counter, defaultdict
from collections.abc import Iterable

DISTINCT_MAX = 50_000
"""Different values before they are made coarse; with :data:`DIGITS` binary digits few thousand remain."""
DIGITS = 11
"""Binary digits that are kept: values are right to one part in two thousand."""


class Times:
    """How often each latency occurred.

    ``raw`` is for those who record, to count in directly: a method call would cost more than the counting.
    """

    def __init__(self) -> None:
        self.raw: defaultdict[int, int] = defaultdict(int)
        self._folded: Counter[int] = Counter()

    def add(self, us: int, count: int = 1) -> None:
        self.raw[us] += count
        if len(self.raw) > DISTINCT_MAX:
            self.fold()

    def clear(self) -> None:
        """Forget everything, as at the end of the warm-up."""
        self.raw.clear()
        self._folded.clear()

    def fold(self) -> dict[int, int]:
        """Make coarse what has been counted since the last time, and return that: microseconds to counts."""
        latest: Counter[int] = Counter()
        for us, count in self.raw.items():
            latest[coarse(us)] += count
        self.raw.clear()
        self._folded.update(latest)
        return dict(latest)

    def counts(self) -> dict[int, int]:
        """Everything so far: microseconds, with :data:`DIGITS` binary digits, to counts."""
        self.fold()
        return dict(self._folded)


def coarse(us: int) -> int:
    """The value with :data:`DIGITS` binary digits, at least 1: the middle of those that become the same."""
    if us < 1:
        return 1
    cut = us.bit_length() - DIGITS
    return us if cut <= 0 else (us >> cut << cut) | (1 << cut >> 1)


def merged(parts: Iterable[dict[int, int]]) -> dict[int, int]:
    """Counts of several processes in one."""
    total: Counter[int] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)
