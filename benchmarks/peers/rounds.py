"""What is measured, and in which order: every system in turn, then all of them again."""

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.load import Figures, Run, measure, padding
from benchmarks.peers.systems import Job, System

WARM_UP_MAX_S = 1.0
"""Enough for compilers that work while the program runs."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One shape of traffic.

    Attributes:
        windows: messages in flight per publisher, each measured for itself.
        acknowledged: whether publishers wait for acknowledgements, too.
    """

    name: str
    subscribers: int
    publishers: int
    windows: Sequence[int]
    acknowledged: bool

    def cases(self) -> list[str]:
        return [f"{self.name} {window}" for window in self.windows]

    def run(self, seconds: float) -> Run:
        warm_up_s = min(WARM_UP_MAX_S, seconds / 3)
        return Run(self.subscribers, self.publishers, self.windows, warm_up_s, seconds, gated=self.acknowledged)


@dataclass(slots=True)
class Results:
    """Of each system and case, the figures of all rounds; and why others have none."""

    runs: dict[str, dict[str, list[Figures]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, system: System, case: str, figures: Figures) -> None:
        self.runs.setdefault(system.name, {}).setdefault(case, []).append(figures)

    def give_up(self, system: System, why: str) -> None:
        self.skipped[system.name] = why
        self.runs.pop(system.name, None)
        told(f"{system.name} is left out: {why}")


@dataclass(slots=True)
class Comparison:
    """A whole comparison.

    Attributes:
        wire_bytes: of one delivery when it is sent alone, the same for every system.
    """

    systems: list[System]
    scenarios: list[Scenario]
    wire_bytes: int
    seconds: float
    repeat: int
    results: Results = field(default_factory=Results)
    _pads: dict[str, int] = field(default_factory=dict)

    def run(self) -> Results:
        """Measure everything. What is missing or fails is left out, and told."""
        for system in self.systems:
            if (missing := system.missing()) is not None:
                self.results.give_up(system, f"missing; to install it: {missing}")
        for number in range(self.repeat):
            told(f"round {number + 1} of {self.repeat}")
            for system, scenario in self._turns():
                self._try(system, scenario)
        return self.results

    def _turns(self) -> Iterator[tuple[System, Scenario]]:
        for scenario in self.scenarios:
            for system in self.systems:
                if system.name not in self.results.skipped:
                    yield system, scenario

    def _try(self, system: System, scenario: Scenario) -> None:
        with tempfile.TemporaryDirectory(prefix="peers-") as directory:
            try:
                self._measure(system, scenario, Path(directory))
            except (RuntimeError, OSError) as exc:
                self.results.give_up(system, f"{exc} {_last_words(Path(directory))}".strip())

    def _measure(self, system: System, scenario: Scenario, directory: Path) -> None:
        job = Job(scenario.publishers, self.wire_bytes, scenario.acknowledged)
        with system.start(directory, job) as served:
            key = f"{system.name} {scenario.acknowledged}"
            if key not in self._pads:
                self._pads[key] = padding(served, self.wire_bytes)
            found = measure(served, scenario.run(self.seconds), pad=self._pads[key])
        for case, figures in zip(scenario.cases(), found, strict=True):
            self.results.add(system, case, figures)
            told(f"  {case:12}{system.name:22}{rate(figures):>12,.0f}/s   client {figures['client_busy']:4.0%} busy")


def rate(figures: Figures) -> float:
    """Deliveries per second."""
    return float(figures["deliveries"] / figures["seconds"])


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _last_words(directory: Path) -> str:
    path = directory / "stderr.log"
    return path.read_text(errors="replace").strip().rpartition("\n")[2] if path.exists() else ""
