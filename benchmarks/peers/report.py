"""What a comparison has found: medians, ratios within a round, and as text."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from benchmarks.peers.ours import DURABLE, LIMITS, QUEUED
from benchmarks.peers.rounds import Comparison, rate
from benchmarks.peers.systems import System, pinned

BUSY = 0.9
"""A client so busy may have been the limit itself."""

MEDIANS = ("p50_ms", "p99_ms", "client_busy", "server_busy")
Report = dict[str, Any]


def report(comparison: Comparison) -> Report:
    """Everything, ready to be written as JSON."""
    results = comparison.results
    told = {
        system.name: _told(system, results.runs[system.name])
        for system in comparison.systems
        if _has(system, comparison)
    }
    return {
        "benchmark": "peers",
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": _parameters(comparison),
        "environment": environment(),
        "systems": told,
        "ratios": {ours.name: _ratios(ours, comparison) for ours in (DURABLE, QUEUED) if _has(ours, comparison)},
        "skipped": results.skipped,
        "warnings": warnings(told),
    }


def _has(system: System, comparison: Comparison) -> bool:
    return system.name in comparison.results.runs


def _parameters(comparison: Comparison) -> dict[str, Any]:
    return {
        "seconds": comparison.seconds,
        "rounds": comparison.repeat,
        "bytes per delivery": comparison.wire_bytes,
        "scenarios": [asdict(scenario) for scenario in comparison.scenarios],
    }


def environment() -> dict[str, Any]:
    """Where it was measured."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "server and client on different cores": pinned(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "limits profile of the hub": LIMITS,
    }


def processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _told(system: System, cases: Mapping[str, Sequence[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "version": system.version(),
        "does": asdict(system.does),
        "cases": {case: _median(runs) for case, runs in cases.items()},
    }


def _median(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "deliveries_per_s": round(statistics.median(map(rate, runs))),
        "deliveries_per_server_cpu_s": _per_cpu_s(runs),
        "bytes_per_delivery": round(statistics.median(run["bytes"] / run["deliveries"] for run in runs), 1),
        **{name: statistics.median(run[name] for run in runs) for name in MEDIANS},
        "runs": list(runs),
    }


def _per_cpu_s(runs: Sequence[dict[str, Any]]) -> int | None:
    """What a second of processor time yields: tells less than the rate, but other programs hardly disturb it."""
    found = [rate(run) / run["server_busy"] for run in runs if run["server_busy"]]
    return round(statistics.median(found)) if found else None


def _ratios(ours: System, comparison: Comparison) -> dict[str, dict[str, float]]:
    """How many times as fast as each peer: the median over the rounds of the ratio within a round."""
    runs = comparison.results.runs
    return {
        name: {case: _ratio(runs[ours.name][case], theirs[case]) for case in theirs}
        for name, theirs in runs.items()
        if name != ours.name
    }


def _ratio(ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]) -> float:
    pairs = zip(ours, theirs, strict=True)
    return round(statistics.median(rate(our) / rate(their) for our, their in pairs), 2)


def warnings(systems: Mapping[str, Any]) -> list[str]:
    """Where the client may have been the limit."""
    return [
        f"{name}, {case}: the client was {figures['client_busy']:.0%} busy, the system may be faster than this"
        for name, told in systems.items()
        for case, figures in told["cases"].items()
        if figures["client_busy"] >= BUSY
    ]


# --- as text


def as_text(found: Report) -> str:
    """Tables: what was measured, what each does for it, and the ratios."""
    cases = list(dict.fromkeys(case for told in found["systems"].values() for case in told["cases"]))
    rates = [
        [name, *_figures(told, cases, "deliveries_per_s"), *told["does"].values()]
        for name, told in found["systems"].items()
    ]
    does = ["durable", "ids", "rights", "parses", "acknowledges"]
    parts = [table(["deliveries/s", *cases, *does], rates)]
    yields = [[name, *_figures(told, cases, "deliveries_per_server_cpu_s")] for name, told in found["systems"].items()]
    parts.append(table(["per second of the server's processor", *cases], yields))
    for ours, peers in found["ratios"].items():
        rows = [[name, *(f"{ratios.get(case, 0):.2f}" for case in cases)] for name, ratios in peers.items()]
        parts.append(table([f"{ours}, times", *cases], rows))
    parts += [*map("warning: {}".format, found["warnings"]), *_skipped(found)]
    return "\n\n".join(parts)


def _figures(told: Mapping[str, Any], cases: Sequence[str], name: str) -> list[str]:
    found = [told["cases"].get(case, {}).get(name) for case in cases]
    return ["-" if figure is None else f"{figure:,}" for figure in found]


def _skipped(found: Report) -> list[str]:
    return [f"left out: {name}: {why}" for name, why in found["skipped"].items()]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as what is in them."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in (head, *rows))
