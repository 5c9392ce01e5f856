"""Line charts as inline SVG: drawn here, so that a report needs nothing but itself.

Colours and fonts come from the page's style sheet. What a chart is wide and high, it is in its own units; the page
scales it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hub.bench.page import text

WIDTH, HEIGHT = 460, 280
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 44
LETTER = 7.0
"""About how wide a letter of a tick is; labels that would touch are left out."""
TICKS_MAX = 8
POINTS_MAX = 600
"""More points than pixels tell nothing; longer lines are thinned, keeping the extremes."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A line.

    Attributes:
        tone: which of the page's colours, from 1.
        faint: of less importance, such as one of several runs.
    """

    label: str
    points: Sequence[Point]
    tone: int = 1
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale: where a value lies between 0 and 1, and what is written beside it."""

    title: str
    place: Callable[[float], float]
    ticks: Sequence[tuple[float, str]]


# --- axes -------------------------------------------------------------------------------------------------------------


def linear(title: str, most: float, words: Callable[[float], str], *, parts: int = 5) -> Axis:
    """From 0 to a round number not below ``most``."""
    step = _round_step((most if most > 0 else 1.0) / parts)
    end = step * math.ceil((most if most > 0 else 1.0) / step - 1e-9)
    ticks = [step * number for number in range(round(end / step) + 1)]
    return Axis(title, lambda value: value / end, [(value, words(value)) for value in ticks])


def span(title: str, most: float, words: Callable[[float], str], *, unit: float = 1.0) -> Axis:
    """From 0 to ``most`` exactly, with round multiples of ``unit`` on the way; for time."""
    end = most if most > 0 else 1.0
    step = _round_step(end / unit / 6) * unit
    ticks = [step * number for number in range(int(end / step + 1e-9) + 1)]
    return Axis(title, lambda value: value / end, [(value, words(value)) for value in ticks])


def logarithmic(title: str, least: float, most: float, words: Callable[[float], str]) -> Axis:
    """Between two of 1, 2, 5, 10, 20, … that hold both ends, which must be above 0."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 2)
    rounds = [float(f"{factor}e{power}") for power in powers for factor in (1, 2, 5)]
    low = max(value for value in rounds if value <= least)
    high = min(value for value in rounds if value >= most and value > low)
    width = math.log10(high / low)
    held = [value for value in rounds if low <= value <= high]
    ticks = held if len(held) <= TICKS_MAX else [value for value in held if _is_power(value)]
    return Axis(title, lambda value: math.log10(max(value, low) / low) / width, [(at, words(at)) for at in ticks])


def _is_power(value: float) -> bool:
    return abs(math.log10(value) - round(math.log10(value))) < 1e-9


def percentiles(title: str, most: float) -> Axis:
    """As HdrHistogram plots them: every nine more is as far as the one before. ``most`` percent is the right end."""
    end = max(_nines(most), 1.0)
    known = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)
    ticks = [(percent, f"{percent:g} %") for percent in known if _nines(percent) <= end + 1e-9]
    return Axis(title, lambda percent: min(_nines(percent), end) / end, ticks)


def _nines(percent: float) -> float:
    return math.inf if percent >= 100 else -math.log10(1 - percent / 100)


def _round_step(about: float) -> float:
    power = 10.0 ** math.floor(math.log10(about))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= about * (1 - 1e-9))


# --- drawing ----------------------------------------------------------------------------------------------------------


def line_chart(name: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """An ``<svg>`` with these lines. ``name`` is read out to people who cannot see it."""
    lines = "".join(_line(each, x, y) for each in series if each.points)
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(name)}">'
        f"{_across(y)}{_along(x)}{_titles(x, y)}{lines}</svg>"
    )


def legend(series: Iterable[Series]) -> str:
    """What the lines are, where there are several; to be put outside of the drawing."""
    items = [f'<span><i class="tone{each.tone}"></i>{text(each.label)}</span>' for each in series if not each.faint]
    return f'<p class="legend">{"".join(items)}</p>' if len(items) > 1 else ""


def _line(series: Series, x: Axis, y: Axis) -> str:
    spots = [f"{_x(x, px):.1f},{_y(y, py):.1f}" for px, py in _thinned(series.points)]
    style = f"line tone{series.tone}{' faint' if series.faint else ''}"
    if len(spots) == 1:  # a line of one point cannot be seen
        across, down = spots[0].split(",")
        return f'<circle class="{style} dot" cx="{across}" cy="{down}" r="3"/>'
    return f'<polyline class="{style}" points="{" ".join(spots)}"/>'


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    if len(points) <= POINTS_MAX:
        return points
    size = math.ceil(len(points) / (POINTS_MAX // 2))
    kept: list[Point] = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        kept.extend(sorted({min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}))
    return kept


def _across(y: Axis) -> str:
    drawn = []
    for value, words in y.ticks:
        down = _y(y, value)
        drawn.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down:.1f}" y2="{down:.1f}"/>')
        drawn.append(f'<text class="tick" x="{LEFT - 7}" y="{down + 4:.1f}" text-anchor="end">{text(words)}</text>')
    return "".join(drawn)


def _along(x: Axis) -> str:
    drawn, free_from = [], 0.0
    for value, words in x.ticks:
        across, half = _x(x, value), len(words) * LETTER / 2
        drawn.append(f'<line class="notch" x1="{across:.1f}" x2="{across:.1f}" y1="{_BASE}" y2="{_BASE + 4}"/>')
        if across - half >= free_from:
            drawn.append(_label(words, across, _BASE + 18))
            free_from = across + half
    return f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_BASE}" y2="{_BASE}"/>{"".join(drawn)}'


def _label(words: str, across: float, down: float) -> str:
    return f'<text class="tick" x="{across:.1f}" y="{down:.1f}" text-anchor="middle">{text(words)}</text>'


def _titles(x: Axis, y: Axis) -> str:
    """The vertical axis has its title above it, where it can be read without turning the head."""
    return (
        f'<text class="axis" x="{LEFT + (WIDTH - LEFT - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f'{text(x.title)}</text><text class="axis" x="4" y="12">{text(y.title)}</text>'
    )


_BASE = HEIGHT - BOTTOM


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _BASE - axis.place(value) * (_BASE - TOP)
