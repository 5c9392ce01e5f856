"""Seconds of several processes become the seconds of a run."""

from collections.abc import Callable

from hub.bench.latency import Latency
from hub.bench.meters import Counts, Second, Tally
from hub.bench.result import Sample
from hub.bench.times import merged


def latency_of(counts: Counts) -> Latency:
    """A distribution from how often each time occurred."""
    made = Latency()
    for us, count in counts.items():
        made.add(us, count)
    return made


class Seconds:
    """Collects what each process tells of each second; a second is complete when all have told."""

    def __init__(self, processes: int, told: Callable[[Sample], None]) -> None:
        self._processes = processes
        self._told = told
        self._open: dict[int, list[Second]] = {}
        self.samples: list[Sample] = []

    def add(self, second: Second) -> None:
        parts = self._open.setdefault(second.number, [])
        parts.append(second)
        if len(parts) == self._processes:
            del self._open[second.number]
            self._close(parts)

    def flush(self) -> None:
        """There is no more to come: close what only some have told."""
        for number in sorted(self._open):
            self._close(self._open.pop(number))

    def _close(self, parts: list[Second]) -> None:
        tally = Tally()
        for part in parts:
            tally.add(part.tally)
        latency = latency_of(merged(part.latency for part in parts))
        sample = Sample(
            at_s=round(max(part.at_s for part in parts), 3),
            deliveries=tally.deliveries,
            messages=tally.messages,
            acknowledged=tally.acknowledged,
            connections=sum(part.connections for part in parts),
            errors=tally.errors,
            p50_us=latency.percentile(50) if latency.count else None,
            p99_us=latency.percentile(99) if latency.count else None,
        )
        self.samples.append(sample)
        self._told(sample)
