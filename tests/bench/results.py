"""Results as a run would make them; a test says only what it is about."""

from typing import Any

from hub.bench.latency import Latency
from hub.bench.result import Check, Process, Result, Sample


def latency(*milliseconds: float) -> Latency:
    """A distribution of these times."""
    made = Latency()
    for each in milliseconds:
        made.add(each * 1_000)
    return made


def spread(most_ms: int) -> Latency:
    """A distribution with each millisecond up to this one, once."""
    return latency(*range(1, most_ms + 1))


def samples(*deliveries: int) -> tuple[Sample, ...]:
    """A second with so many deliveries each."""
    return tuple(
        Sample(float(second), count, count // 10, count // 10, 11, 0, 1_500, 9_000)
        for second, count in enumerate(deliveries, 1)
    )


def result(**members: Any) -> Result:
    """A run of ``fanout`` in good order."""
    given: dict[str, Any] = {
        "scenario": "fanout",
        "parameters": {"publishers": 1, "dashboards": 10, "rate": None, "window": 16, "payload_bytes": 64},
        "system": {"hub": "1.0", "limits": "bench", "durability": "commit", "processor": "Quick 3000", "cores": 2},
        "started": "2026-01-02T03:04:05Z",
        "duration_s": 3.0,
        "sent": 300,
        "acknowledged": 300,
        "delivered": 3_000,
        "latencies": {"delivery": spread(1_000), "acknowledgement": spread(100)},
        "rates": {"deliveries_per_s": 1_000.0, "messages_per_s": 100.0},
        "samples": samples(900, 1_000, 1_100),
        "processes": (Process(1.5, 3.0),),
    }
    return Result(**given | members)


def at_rate(deliveries_per_s: float, **members: Any) -> Result:
    """A run that delivered so much."""
    return result(rates={"deliveries_per_s": deliveries_per_s}, **members)


UNCHECKED = Check(checked=False)
