"""Ids and timestamps of messages, as one worker gives them.

Ids are microseconds since 2020, or the last id plus one step where the clock has not moved on; timestamps are
milliseconds since 1970 and live apart from the ids. Neither ever goes back, whatever the clock does.
"""

from dataclasses import dataclass

from protocol.errors import STORAGE
from protocol.messages import AHEAD_MS, IDS_BEGIN_US, LANES

RESERVE_US = 60_000_000
"""How far ahead of use ids are reserved, in ids (microseconds)."""

RESERVE_TOGETHER_US = 4_000_000
"""The same among several workers. Whoever begins on a lane whose last worker has crashed begins above what that one had
reserved, and its ids lead those of the others by that; it only does where no other lane is free. A resume looks for
messages of others only so far below its cursor (``HUB_REPLAY_OVERLAP_S``)."""


# Not frozen, like messages: that is three times as slow to make.
@dataclass(slots=True)
class Stamp:
    """What the hub gives a message: its identity and its time."""

    id: int
    timestamp_ms: int


class Stamper:
    """Gives stamps. Feed it reservations; ask :meth:`wanted` what to reserve next."""

    def __init__(self, *, lane: int, mark: int, last_timestamp_ms: int, reserve_us: int = RESERVE_US) -> None:
        """Start above everything that was ever given: ids above ``mark``, times after ``last_timestamp_ms``."""
        self._lane = lane
        self._reserve_us = reserve_us
        self._last_id = mark
        self._mark = mark
        self.is_low = True
        """Whether half of the last reservation is used: ask :meth:`wanted` and reserve."""
        self._current_ms = last_timestamp_ms + 1
        # Devices stamped in the current millisecond. A device whose last stamp is older needs no memory: the worker's
        # own clock, which never goes back, is already past it.
        self._stamped: set[int] = set()

    def wanted(self, now_us: int) -> int | None:
        """The mark to reserve, once half of the last reservation is used; None: not yet."""
        ahead = max(self._last_id, now_us - IDS_BEGIN_US)
        return ahead + self._reserve_us if self._mark - ahead < self._reserve_us // 2 else None

    def reserved(self, mark: int) -> None:
        """Ids up to ``mark`` are now durably ours."""
        self._mark = max(self._mark, mark)
        self.is_low = self._mark - self._last_id < self._reserve_us // 2

    def stamp(self, device_id: int, now_us: int) -> Stamp:
        """The next id, and a timestamp that is later than the device's last one.

        Raises:
            StoreUnavailable: the reservation is used up, because the database has not answered for long.
        """
        next_id = self.next_id(now_us)
        now_ms = now_us // 1000
        if now_ms > self._current_ms:
            self._move_to(now_ms)
        elif device_id in self._stamped and self._current_ms < now_ms + AHEAD_MS:
            self._move_to(self._current_ms + 1)
        self._stamped.add(device_id)
        return Stamp(next_id, self._current_ms)

    def next_id(self, now_us: int) -> int:
        """An id alone, for what has no time of its own.

        Raises:
            StoreUnavailable: as of :meth:`stamp`.
        """
        least = now_us - IDS_BEGIN_US
        if least <= self._last_id:
            least = self._last_id + 1
        next_id = least + (self._lane - least) % LANES
        if next_id > self._mark:
            raise STORAGE.error(retry_after_s=1)
        self._last_id = next_id
        self.is_low = self._mark - next_id < self._reserve_us // 2
        return next_id

    def promise(self, now_us: int) -> int:
        """An id that is below all that will be given from now on, close to the present."""
        self._last_id = max(self._last_id, min(now_us - IDS_BEGIN_US, self._mark))
        self.is_low = self._mark - self._last_id < self._reserve_us // 2
        return self._last_id

    def heard(self, message_id: int, device_id: int, timestamp_ms: int, now_us: int) -> None:
        """Another worker gave this stamp: what is given here from now on comes after it, as far as the clocks agree."""
        self._last_id = max(self._last_id, min(message_id, self._mark))
        if self._current_ms < timestamp_ms < now_us // 1000 + AHEAD_MS:
            self._move_to(timestamp_ms)
        if timestamp_ms == self._current_ms:
            self._stamped.add(device_id)

    def pass_by(self, timestamp_ms: int, now_us: int) -> bool:
        """Give no timestamp at or before this one any more.

        Returns:
            False: that would carry timestamps too far ahead of the ids, by which they are looked up. Ask again when the
            clock has moved on.
        """
        if now_us // 1000 > self._current_ms:
            self._move_to(now_us // 1000)
        if timestamp_ms >= self._current_ms:
            ids_us = max(now_us, self._last_id + IDS_BEGIN_US)
            if timestamp_ms >= ids_us // 1000 + AHEAD_MS:
                return False
            self._move_to(timestamp_ms + 1)
        return True

    def _move_to(self, timestamp_ms: int) -> None:
        self._current_ms = timestamp_ms
        self._stamped.clear()

    def before_next_ms(self, now_us: int) -> int:
        """One millisecond before the earliest timestamp that a later message can get, even if the clock goes back."""
        if now_us // 1000 > self._current_ms:
            self._move_to(now_us // 1000)
        return self._current_ms - 1
