"""When to send: a schedule that nobody can slow down, and a clock finer than an event loop's timers."""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator

from hub.bench.token import now_us

SECOND_US = 1_000_000
BATCH_MAX = 5_000
"""Messages that are sent in one turn of the loop when the tool itself is late."""

_CLOCK_MONOTONIC, _NONBLOCK, _ABSOLUTE = 1, os.O_NONBLOCK, 1


class Alarm:
    """Waits for a moment to within 0.1 ms. Event loops round to milliseconds, which a schedule of 5,000 messages a
    second would feel; where the system has no timers to read from, they have to do."""

    def __init__(self) -> None:
        self._descriptor = _timer()
        self._rung: asyncio.Future[None] | None = None
        if self._descriptor is not None:
            asyncio.get_running_loop().add_reader(self._descriptor, self._ring)

    async def until(self, at_us: int) -> None:
        """Wait until CLOCK_MONOTONIC has come to a microsecond; lets others run in any case."""
        left_us = at_us - now_us()
        if left_us <= 0 or self._descriptor is None:
            await asyncio.sleep(max(0, left_us) / SECOND_US)
            return
        self._rung = asyncio.get_running_loop().create_future()
        _set(self._descriptor, at_us)
        await self._rung

    def close(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None

    def _ring(self) -> None:
        assert self._descriptor is not None, "closing ends the reading"
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return
        if self._rung is not None and not self._rung.done():
            self._rung.set_result(None)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


def _timer() -> int | None:
    """A timer's descriptor (``timerfd_create``, which Python has from 3.13 on); None: not on this system."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        descriptor = int(ctypes.CDLL(None).timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK))
    except (OSError, AttributeError):
        return None
    return descriptor if descriptor >= 0 else None


def _set(descriptor: int, at_us: int) -> None:
    seconds, rest_us = divmod(at_us, SECOND_US)
    when = _Itimerspec(_Timespec(0, 0), _Timespec(seconds, rest_us * 1_000))
    ctypes.CDLL(None).timerfd_settime(descriptor, _ABSOLUTE, ctypes.byref(when), None)


class Schedule:
    """So many things a second, evenly, from a moment on: which of them are due, and since when."""

    def __init__(self, start_us: int, rate: float) -> None:
        self._start_us = start_us
        self._interval_us = SECOND_US / rate
        self._next = 0

    @property
    def next_us(self) -> int:
        """When the next one is due."""
        return self._start_us + int(self._next * self._interval_us)

    def due(self, at_us: int) -> Iterator[tuple[int, int]]:
        """Number and moment of what is due and was not handed out yet, :data:`BATCH_MAX` at a time."""
        last = self._next + BATCH_MAX
        while self._next < last and (due_us := self.next_us) <= at_us:
            yield self._next, due_us
            self._next += 1


async def keep(schedule: Schedule, act: Callable[[list[tuple[int, int]]], None], *, until_us: int) -> None:
    """Call ``act`` with what is due, from its time on, until a moment that is not part of it any more."""
    alarm = Alarm()
    try:
        while (next_us := schedule.next_us) < until_us:
            await alarm.until(next_us)
            act(list(schedule.due(min(now_us(), until_us - 1))))
    finally:
        alarm.close()
