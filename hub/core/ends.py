"""When the lifetimes of commands end whose states somebody here wants to hear of."""

import heapq
from typing import Generic, TypeVar

T = TypeVar("T")


class Ends(Generic[T]):
    """Things by number, each with the time at which it is due. Feed it, then ask what is due.

    As long as those that are removed are few, they stay behind in the heap; it never gets longer than twice the others.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, T]] = {}
        self._heap: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, number: int, due_ms: int, what: T) -> None:
        """Remember something; what had this number is forgotten."""
        self._kept[number] = (due_ms, what)
        heapq.heappush(self._heap, (due_ms, number))
        self._tidy()

    def remove(self, number: int) -> None:
        """Forget something. Idempotent."""
        if self._kept.pop(number, None) is not None:
            self._tidy()

    def due(self, now_ms: int, *, most: int) -> list[T]:
        """Take what is due by now, the earliest first."""
        found: list[T] = []
        while self._heap and self._heap[0][0] <= now_ms and len(found) < most:
            due_ms, number = heapq.heappop(self._heap)
            kept = self._kept.get(number)
            if kept is not None and kept[0] == due_ms:
                del self._kept[number]
                found.append(kept[1])
        return found

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self._kept) + 64:
            self._heap = [(due_ms, number) for number, (due_ms, _) in self._kept.items()]
            heapq.heapify(self._heap)
