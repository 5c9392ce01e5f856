"""The figures of a result: their names on the command line, their values over several runs, and how people read them.

A name is ``p99`` or ``delivery.p99`` (also ``mean``, ``min``, ``max``) for a time, ``deliveries/s`` for a rate, one of
``COUNTS``, or ``busy`` for the share of a core that the busiest load process used.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from statistics import median

from hub.bench.latency import Latency
from hub.bench.result import PERCENTS, Result

COUNTS: dict[str, Callable[[Result], int]] = {
    "lost": lambda result: result.check.lost,
    "repeated": lambda result: result.check.repeated,
    "reordered": lambda result: result.check.reordered,
    "errors": lambda result: sum(result.errors.values()),
    "sent": lambda result: result.sent,
    "acknowledged": lambda result: result.acknowledged,
    "delivered": lambda result: result.delivered,
}
US_PER_S = 1_000_000
OF_THE_TOOL = {"lag": "lag of this tool", "unread": "of who reads late"}
"""Distributions that do not tell of the hub, in words."""
OF_THE_CHECK = ("lost", "repeated", "reordered")
_FAULTS = {*OF_THE_CHECK, "errors"}
_TIME = re.compile(
    r"(?:(?P<latency>[a-z][a-z0-9_-]*)\.)?(?:p(?P<percent>\d{1,3}(?:\.\d{1,6})?)|(?P<word>mean|min|max))"
)


class Unit(Enum):
    """What a figure counts."""

    TIME = "time"
    """Microseconds."""
    RATE = "rate"
    COUNT = "count"
    SHARE = "share"


class NoFigure(ValueError):
    """A result has no such figure; the text says which there are."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a result.

    Attributes:
        value: where there were several runs, their median; of what must not happen, the worst run's.
        least, most: over the runs.
        more_is_better: None: neither is.
    """

    name: str
    unit: Unit
    value: float
    least: float
    most: float
    more_is_better: bool | None

    @property
    def text(self) -> str:
        """For people."""
        return shown(self.value, self.unit)

    @property
    def spread(self) -> str:
        """From the least to the most of all runs; empty: there is but one value."""
        return "" if self.least == self.most else f"{shown(self.least, self.unit)} – {shown(self.most, self.unit)}"


def unit_of(name: str) -> Unit | None:
    """What a name counts; None: it is no name of a figure that every run of some scenario has."""
    if name in COUNTS:
        return Unit.COUNT
    if name == "busy":
        return Unit.SHARE
    if re.fullmatch(r"[a-z][a-z0-9_-]*/s", name):
        return Unit.RATE
    match = _TIME.fullmatch(name)
    fits = match is not None and (match["percent"] is None or float(match["percent"]) <= 100)
    return Unit.TIME if fits else None


def figure(result: Result, name: str) -> Figure:
    """The figure of this name.

    Raises:
        NoFigure: the result has none, or nothing was measured for it.
    """
    unit = _own_unit(result, name) or unit_of(name)
    if unit is None:
        raise NoFigure(f"{name!r} is no figure; there are {', '.join(names(result))}")
    values = [_value(run, name, unit) for run in result.runs or (result,)]
    value = max(values) if name in _FAULTS else float(median(values))
    better = {Unit.RATE: True, Unit.TIME: False, Unit.SHARE: None, Unit.COUNT: False if name in _FAULTS else None}[unit]
    return Figure(name, unit, value, min(values), max(values), better)


def names(result: Result) -> list[str]:
    """Every figure of a result, the most telling first."""
    return [*rates(result), *others(result), *times(result), *COUNTS, *(["busy"] if result.processes else [])]


def rates(result: Result) -> list[str]:
    """Names of the rates, the main one first."""
    found = [name.removesuffix("_per_s") + "/s" for name in result.rates if name.endswith("_per_s")]
    main = result.main_rate.removesuffix("_per_s") + "/s"
    return sorted(found, key=lambda name: name != main)


def others(result: Result) -> list[str]:
    """Names of further figures that a scenario tells, such as ``recovery_s``; conditions cannot ask for them."""
    return [name for name in result.rates if not name.endswith("_per_s")]


def _own_unit(result: Result, name: str) -> Unit | None:
    """Of what this result has under a name of its own."""
    if name in others(result):
        return Unit.TIME if name.endswith("_s") else Unit.COUNT
    return Unit.RATE if name in rates(result) else None


def times(result: Result) -> list[str]:
    """Names of the usual percentiles of every distribution, the main one first."""
    return [
        f"{latency}.{word}" for latency in latencies(result) for word in (*(f"p{p:g}" for p in PERCENTS), "max", "mean")
    ]


def latencies(result: Result) -> list[str]:
    """Names of the distributions that anything was measured for, the main one first."""
    found = [name for name, latency in result.latencies.items() if latency.count]
    return sorted(found, key=lambda name: name != result.main_latency)


def named(name: str) -> str:
    """A figure's name for people."""
    return name if "/" in name or "." in name else name.removesuffix("_s").replace("_", " ")


def titled(latency: str) -> str:
    """A distribution's name for people."""
    return OF_THE_TOOL.get(latency, latency)


def _value(result: Result, name: str, unit: Unit) -> float:
    if name in others(result):
        return result.rates[name] * (US_PER_S if name.endswith("_s") else 1)
    if unit is Unit.COUNT:
        return float(COUNTS[name](result))
    if unit is Unit.SHARE:
        return result.busy
    if unit is Unit.TIME:
        return _time(result, name)
    rate = result.rates.get(name.removesuffix("/s") + "_per_s")
    if rate is None:
        raise NoFigure(f"this run has no {name}; it has {', '.join(rates(result)) or 'no rates'}")
    return rate


def _time(result: Result, name: str) -> float:
    match = _TIME.fullmatch(name)
    assert match is not None, "unit_of has recognised it"
    latency = result.latencies.get(match["latency"] or result.main_latency)
    if latency is None or not latency.count:
        measured = ", ".join(latencies(result)) or "nothing"
        raise NoFigure(f"nothing was measured for {name}; times there are of: {measured}")
    return float(latency.percentile(float(match["percent"]))) if match["percent"] else _in_word(latency, match["word"])


def _in_word(latency: Latency, word: str) -> float:
    return {"mean": latency.mean_us, "min": float(latency.least_us), "max": float(latency.most_us)}[word]


# --- for people -------------------------------------------------------------------------------------------------------


def shown(value: float, unit: Unit) -> str:
    """A value with its unit, in about three digits; counts in full."""
    match unit:
        case Unit.TIME:
            return shown_time(value)
        case Unit.RATE:
            return f"{shown_number(value)}/s"
        case Unit.SHARE:
            return f"{value:.0%}"
        case Unit.COUNT:
            return f"{value:,.0f}"


def shown_time(us: float) -> str:
    """A time given in microseconds."""
    for size, name in ((1_000_000, "s"), (1_000, "ms")):
        if us >= size * 0.9995:
            return f"{_digits(us / size)} {name}"
    return f"{us:.0f} µs"


def shown_number(value: float) -> str:
    """A number with k or M: ``812 k``, ``1.25 M``; small ones in full."""
    for size, name in ((1_000_000, "M"), (1_000, "k")):
        if value >= size * (0.9995 if size > 1_000 else 10):
            return f"{_digits(value / size)} {name}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _digits(value: float) -> str:
    """Three digits, never fewer than the whole ones."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
