"""Two results beside each other: which figures changed, by how much, and whether they may be compared at all."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.bench.figures import OF_THE_TOOL, Figure, NoFigure, figure, others, rates, times
from hub.bench.result import Result
from hub.bench.verdict import Condition

NOISE = 0.03
"""A single run's figure within this part of the other's says nothing."""
IRRELEVANT = frozenset({"url", "keep", "processes", "pin", "sources", "connect_s", "drain_s"})
"""Parameters that do not change what the hub has to do."""
OF_THE_SYSTEM = ("limits", "durability", "processor", "cores")
"""What has to be the same of two systems whose figures are compared."""
TIMES = ("p50", "p90", "p99", "p99.9", "max")


class NotComparable(ValueError):
    """Two results are of different things."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of both results.

    Attributes:
        ratio: B divided by A; None: A's is zero.
        change: ``better`` or ``worse`` of B, ``same`` (or nobody can tell), or ``other``: neither is better.
    """

    name: str
    a: Figure
    b: Figure
    ratio: float | None
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two results beside each other.

    Attributes:
        differences: parameters and parts of the system that were not the same, a line each.
    """

    a: Result
    b: Result
    rows: tuple[Row, ...]
    differences: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """The comparison as JSON has it."""
        return {
            "scenario": self.a.scenario,
            "differences": list(self.differences),
            "figures": [_plain(row) for row in self.rows],
        }


def compare(a: Result, b: Result) -> Comparison:
    """Put two results beside each other.

    Raises:
        NotComparable: they are of different scenarios.
    """
    if a.scenario != b.scenario:
        raise NotComparable(f"a run of {a.scenario} cannot be compared with a run of {b.scenario}")
    names = [
        *_shared(rates(a), rates(b)),
        *_shared(others(a), others(b)),
        *_times(a, b),
        "errors",
        "lost",
        "repeated",
        "reordered",
        "busy",
    ]
    return Comparison(a, b, tuple(_rows(a, b, names)), tuple(_differences(a, b)))


def failures(comparison: Comparison, conditions: Iterable[Condition]) -> list[str]:
    """Which conditions on B's ratio to A hold, a line each; one on what cannot be compared counts as holding."""
    return [line for each in conditions if (line := _breach(comparison, each)) is not None]


def _breach(comparison: Comparison, wanted: Condition) -> str | None:
    try:
        row = _row(comparison.a, comparison.b, wanted.figure)
    except NoFigure as exc:
        return f"{wanted.text}: {exc}"
    if row.ratio is None:
        # Nothing against nothing is no change; something against nothing has no ratio, so it cannot be allowed.
        return None if row.b.value == 0 else f"{wanted.text}: it was {row.a.text} and is {row.b.text}"
    if not wanted.holds(row.ratio):
        return None
    return f"{wanted.text}: it is {row.ratio:.3g}x ({row.a.text} → {row.b.text})"


def _shared(a: list[str], b: list[str]) -> list[str]:
    return [name for name in a if name in b]


def _times(a: Result, b: Result) -> list[str]:
    return [name for name in _shared(times(a), times(b)) if _telling(*name.split(".", 1))]


def _telling(latency: str, word: str) -> bool:
    return word in TIMES and latency not in OF_THE_TOOL


def _rows(a: Result, b: Result, names: Iterable[str]) -> Iterator[Row]:
    for name in names:
        row = _row(a, b, name)
        if row.a.value or row.b.value:  # no faults in either are no news
            yield row


def _row(a: Result, b: Result, name: str) -> Row:
    one, other = figure(a, name), figure(b, name)
    return Row(name, one, other, other.value / one.value if one.value else None, _change(one, other))


def _change(a: Figure, b: Figure) -> str:
    if a.more_is_better is None:
        return "other"
    if _close(a, b):
        return "same"
    return "better" if (b.value > a.value) == a.more_is_better else "worse"


def _close(a: Figure, b: Figure) -> bool:
    """Runs that overlap, or differ by what a single run differs by, are no news."""
    overlap = a.least <= b.most and b.least <= a.most
    return overlap or abs(b.value - a.value) <= NOISE * a.value


def _differences(a: Result, b: Result) -> Iterator[str]:
    sizes = [name for name in dict.fromkeys([*a.parameters, *b.parameters]) if name not in IRRELEVANT]
    yield from _unlike(a.parameters, b.parameters, sizes)
    yield from _unlike(a.system, b.system, OF_THE_SYSTEM)


def _unlike(a: Mapping[str, object], b: Mapping[str, object], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if a.get(name) != b.get(name):
            yield f"{name}: {_words(a.get(name))} in A, {_words(b.get(name))} in B"


def _words(value: object) -> str:
    return "not told" if value is None else str(value)


def _plain(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "unit": row.a.unit.value,
        "a": row.a.value,
        "b": row.b.value,
        "ratio": row.ratio,
        "change": row.change,
        "a_runs": [row.a.least, row.a.most],
        "b_runs": [row.b.least, row.b.most],
    }
