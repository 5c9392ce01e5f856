"""One timer for all sockets: a wheel that turns in steps, and visits whoever is due."""

import asyncio
import logging
from typing import Protocol

log = logging.getLogger("hub")


class Ticking(Protocol):
    """Something that wants a visit now and then."""

    def tick(self, now_s: float) -> float | None:
        """Do what is due; return the seconds until the next visit, or None for no more visits."""


class Wheel:
    """Visits things at about the time they asked for, never early, at most one step late.

    A timer of the loop's per socket would cost a heap entry and a callback each; here scheduling is one list append.

    Args:
        step_s: the resolution.
        slots: how many steps one turn of the wheel has; longer delays go round more than once.
    """

    def __init__(self, *, step_s: float = 1.0, slots: int = 64) -> None:
        self.step_s = step_s
        self.now_s = 0.0
        """The loop's time at the last step: cheap, and as exact as the wheel."""
        self._slots: list[list[tuple[float, Ticking]]] = [[] for _ in range(slots)]
        self._hand = 0
        self._next_s = 0.0
        self._handle: asyncio.TimerHandle | None = None
        self._sweeps: list[Ticking] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.now_s = loop.time()
        self._next_s = self.now_s + self.step_s
        self._handle = loop.call_at(self._next_s, self._step)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def sweep(self, ticking: Ticking) -> None:
        """Visit something at every step, for good."""
        self._sweeps.append(ticking)

    def add(self, ticking: Ticking, delay_s: float) -> None:
        """Visit something after a while."""
        due_s = self.now_s + delay_s
        steps = min(len(self._slots) - 1, max(1, int(delay_s / self.step_s) + 1))
        self._slots[(self._hand + steps) % len(self._slots)].append((due_s, ticking))

    def _step(self) -> None:
        """Go on to the slot of the present; after a long turn of the loop that may be several slots at once."""
        loop = asyncio.get_running_loop()
        self.now_s = loop.time()
        behind = min(len(self._slots), max(1, int((self.now_s - self._next_s) / self.step_s) + 1))
        self._next_s = max(self._next_s + behind * self.step_s, self.now_s)
        self._handle = loop.call_at(self._next_s, self._step)
        due: list[tuple[float, Ticking]] = []
        for _ in range(behind):
            self._hand = (self._hand + 1) % len(self._slots)
            due += self._slots[self._hand]
            self._slots[self._hand] = []
        for due_s, ticking in due:
            self._visit(due_s, ticking)
        for ticking in self._sweeps:
            ticking.tick(self.now_s)

    def _visit(self, due_s: float, ticking: Ticking) -> None:
        if due_s > self.now_s + self.step_s / 2:
            self.add(ticking, due_s - self.now_s)
            return
        try:
            delay_s = ticking.tick(self.now_s)
        except Exception:
            # The others of this step are due as well.
            log.exception("a visit of the timer wheel failed")
            return
        if delay_s is not None:
            self.add(ticking, delay_s)
