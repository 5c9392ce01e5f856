"""When a run has failed: what ``--fail-if`` names, and any message that was lost, repeated or reordered."""

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub.bench.figures import COUNTS, OF_THE_CHECK, NoFigure, Unit, figure, shown, unit_of
from hub.bench.result import Result

EXAMPLES = "p99>50ms, p99.9>=1s, connect.p99>20ms, deliveries/s<100k, errors>0, busy>90%"
RATIO_EXAMPLES = "deliveries/s<0.9x, p99>1.2x"

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([^\s<>=]+)\s*(>=|<=|>|<)\s*(\d{1,15}(?:\.\d{1,9})?)\s*([a-zA-Zµ%/]*)\s*", re.ASCII)
_FACTORS: dict[Unit, dict[str, float]] = {
    Unit.TIME: {"us": 1, "µs": 1, "ms": 1_000, "s": 1_000_000},
    Unit.RATE: {"": 1, "k": 1_000, "M": 1_000_000},
    Unit.COUNT: {"": 1, "k": 1_000, "M": 1_000_000},
    Unit.SHARE: {"": 1, "%": 0.01},
}
_HINTS = {
    Unit.TIME: "a time needs a unit: us, ms or s",
    Unit.RATE: "a rate may end in k or M",
    Unit.COUNT: "a count may end in k or M",
    Unit.SHARE: "a share is like 0.9 or 90%",
}


class BadCondition(ValueError):
    """A condition cannot be understood; the text shows some that can."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must not be true of a result, such as ``p99>50ms``.

    Attributes:
        bound: in microseconds, per second, or a share; with ``ratio`` a multiple of the other result's figure.
        text: as it was written.
    """

    figure: str
    sign: str
    bound: float
    ratio: bool
    text: str

    def holds(self, value: float) -> bool:
        """Whether a figure is what it must not be."""
        return _OPERATORS[self.sign](value, self.bound)


def condition(text: str, *, ratio: bool = False) -> Condition:
    """A condition as people write it. ``ratio``: of two results, ``deliveries/s<0.9x``; of one otherwise.

    Raises:
        BadCondition: it is none.
    """
    examples = RATIO_EXAMPLES if ratio else EXAMPLES
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise BadCondition(f"{text!r} is not a condition; write it like {examples}")
    name, sign, number, ending = match.groups()
    unit = unit_of(name)
    if unit is None:
        raise BadCondition(f"{text!r}: {name!r} is not a figure; write it like {examples}")
    factor = {"x": 1.0}.get(ending) if ratio else _factor(unit, ending)
    if factor is None:
        hint = "a ratio ends in x" if ratio else _HINTS[unit]
        raise BadCondition(f"{text!r}: {hint}; write it like {examples}")
    return Condition(name, sign, float(number) * factor, ratio, text.strip())


def failures(result: Result, conditions: Iterable[Condition] = ()) -> list[str]:
    """Why a run has failed, a line each; empty: it has not. What was not measured fails the condition on it."""
    return [*_check(result), *(line for each in conditions if (line := _breach(result, each)) is not None)]


def _factor(unit: Unit, ending: str) -> float | None:
    if unit is Unit.RATE:
        ending = ending.removesuffix("/s")
    return _FACTORS[unit].get(ending)


def _check(result: Result) -> list[str]:
    if not result.check.checked:
        return []
    counts = {name: COUNTS[name](result) for name in OF_THE_CHECK}  # of several runs together
    return [f"{count:,} {name}: nothing may be {name}" for name, count in counts.items() if count]


def _breach(result: Result, wanted: Condition) -> str | None:
    if wanted.figure in OF_THE_CHECK and not result.check.checked:
        return f"{wanted.text}: nobody looked for it; leave --no-check out"
    try:
        found = figure(result, wanted.figure)
    except NoFigure as exc:
        return f"{wanted.text}: {exc}"
    if not wanted.holds(found.value):
        return None
    return f"{wanted.text}: it was {shown(found.value, found.unit)}"
