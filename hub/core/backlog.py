"""Backlog: how long one socket's bytes have waited for a peer that is behind with reading."""

from collections import deque


class Backlog:
    """Looks at a socket now and then, for as long as it has bytes unsent; as exact as the looks are frequent.

    Make one when bytes are first found unsent, and drop it when they are gone.
    """

    __slots__ = ("_marks", "_moved_s", "_sent")

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._sent = -1
        self._moved_s = 0.0

    def look(self, now_s: float, *, written: int, unsent: int) -> tuple[float, float]:
        """Take note of how far things are.

        Args:
            written: bytes handed to the transport so far.
            unsent: how many of them it still has.

        Returns:
            For how many seconds the oldest unsent byte has waited, and for how many nothing has moved.
        """
        sent = written - unsent
        if sent != self._sent:
            self._sent, self._moved_s = sent, now_s
        marks = self._marks
        while marks and marks[0][1] <= sent:
            marks.popleft()
        if not marks or marks[-1][1] < written:
            marks.append((now_s, written))
        return now_s - marks[0][0], now_s - self._moved_s
