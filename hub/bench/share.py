"""A run as one load process sees it: what is to be done, which part of that is its own, and until when."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hub.bench.door import Target
from hub.bench.plan import DURATION_MAX_S, Filters, Names, Plan, Scenario
from hub.bench.token import now_us


class Bell(Protocol):
    """The end of a pipe."""

    def fileno(self) -> int: ...


class Floors(Protocol):
    """One number for each process, in memory that all of them see."""

    def __getitem__(self, index: int, /) -> Any: ...
    def __setitem__(self, index: int, value: int, /) -> None: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Window:
    """What the processes of a closed loop share: how far the subscribers of each have come.

    Attributes:
        floors: of each process, how many messages all its dashboards have.
        ring, hear: written to by a process whose floor has risen; read by the one that publishes.
    """

    floors: Floors
    ring: Bell
    hear: Bell


@dataclass(frozen=True)
class Share:
    """The part of one load process.

    Attributes:
        key: the access key that everybody uses; ``device_key`` that of all devices of the run.
        number: of this process, ``processes`` of them in all.
        window: None: nothing needs to be shared.
    """

    plan: Plan
    names: Names
    target: Target
    key: str
    device_key: str
    number: int
    processes: int
    window: Window | None = None

    def mine(self, count: int) -> range:
        """Which of so many things are this process's."""
        return range(self.number, count, self.processes)

    @property
    def publishers(self) -> range:
        """Publishers of a fan-out are all in the first process: their window needs one place to be kept."""
        plan = self.plan
        if plan.scenario in (Scenario.FANIN, Scenario.MIXED):
            return self.mine(plan.publishing)
        return range(plan.publishing if self.number == 0 else 0)

    @property
    def topics(self) -> Sequence[int]:
        """The publishers that dashboards subscribe to."""
        return range(self.plan.publishing)

    def topic(self, dashboard: int) -> int | None:
        """Whose messages a dashboard gets; None: everybody's."""
        if self.plan.filters is Filters.ALL or self.plan.publishing <= 1:
            return None
        return dashboard % self.plan.publishing

    @property
    def sockets(self) -> int:
        """How many sockets this process holds, at most."""
        plan = self.plan
        devices = plan.devices if plan.scenario is Scenario.COMMANDS else 0
        return (
            len(self.mine(plan.dashboards))
            + len(self.publishers)
            + len(self.mine(devices))
            + len(self.mine(plan.commanders))
        )


class Clock:
    """When a run begins, is measured, and ends, in microseconds of CLOCK_MONOTONIC.

    Attributes:
        measuring: set as soon as what happens counts.
    """

    def __init__(self, plan: Plan, start_us: int) -> None:
        # Coming in is measured from the first socket on, and takes as long as it takes.
        coming = plan.scenario is Scenario.CONNECT
        lasts_s = DURATION_MAX_S if coming else plan.duration_s
        self.start_us = start_us
        self.measure_us = start_us + (0 if coming else round(plan.warmup_s * 1e6))
        self.end_us = self.measure_us + round(lasts_s * 1e6)
        self.measuring = asyncio.Event()
        self._stopped = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._stopped.is_set() or now_us() >= self.end_us

    def stop(self) -> None:
        """End now."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    async def until(self, at_us: int) -> bool:
        """Wait for a moment. Returns False when the run was stopped before it."""
        left_s = (at_us - now_us()) / 1e6
        if left_s > 0:
            try:
                await asyncio.wait_for(self._stopped.wait(), left_s)
            except TimeoutError:
                return True
        return not self._stopped.is_set()


def ring(bell: Bell) -> None:
    """Wake whoever hears the bell; when it is ringing already, that is enough."""
    try:
        os.write(bell.fileno(), b"!")
    except BlockingIOError:
        return
