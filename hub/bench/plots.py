"""The pictures of a report: what of results is drawn, over which axes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.bench import charts
from hub.bench.charts import Axis, Point, Series
from hub.bench.latency import Latency
from hub.bench.result import Result, Sample

SPREAD_MAX = 12
"""From this ratio of the highest to the lowest on, a scale of times is logarithmic: the median stays readable."""
MINUTES_FROM_S = 240
TELLING = 0.02
"""A line below this part of the highest one would lie on the axis."""
ALIKE = 0.05
"""Two lines this close cover each other."""


@dataclass(frozen=True, slots=True)
class Line:
    """A result with its name and colour in the picture."""

    label: str
    result: Result
    tone: int = 1


Level = Callable[[Sample], float | None]


def percentile_curve(lines: Sequence[Line], name: str) -> str:
    """The distribution ``name`` of each result over a percentile axis, with one curve for each run behind."""
    shown = [Line(run.label, one, run.tone) for run in lines for one in (run.result,) if _measured(one, name)]
    if not shown:
        return ""
    faint = [
        Series(line.label, _curve(run.latencies[name]), line.tone, faint=True)
        for line in shown
        for run in line.result.runs
        if _measured(run, name)
    ]
    series = faint + [Series(line.label, _curve(line.result.latencies[name]), line.tone) for line in shown]
    x = charts.percentiles("percentile of all measured", max(point[0] for each in series for point in each.points))
    y = _times_axis("latency", [point[1] for each in series for point in each.points])
    return charts.legend(series) + charts.line_chart(f"percentiles of {name}", series, x, y)


def throughput(lines: Sequence[Line]) -> str:
    """Rates over time. A single result shows what it received beside what was sent, where they differ."""
    series = [each for line in lines for each in _rates(line, alone=len(lines) == 1)]
    return _over_time("throughput over time", series, "per second")


def connections(lines: Sequence[Line]) -> str:
    """Open connections over time."""
    series = [Series(line.label, _levels(line.result, lambda s: s.connections), line.tone) for line in lines]
    return _over_time("connections over time", series, "open connections")


def errors(lines: Sequence[Line]) -> str:
    """Errors over time; empty: there were none."""
    series = [Series(line.label, _increments(line.result, "errors"), line.tone) for line in lines]
    return _over_time("errors over time", series, "errors per second")


def latency_over_time(lines: Sequence[Line]) -> str:
    """Median and 99th percentile of every second; of several results only the latter."""
    if len(lines) == 1:
        result = lines[0].result
        series = [
            Series("p99", _levels(result, lambda s: s.p99_us), 2),
            Series("p50", _levels(result, lambda s: s.p50_us)),
        ]
    else:
        series = [Series(f"{line.label} p99", _levels(line.result, lambda s: s.p99_us), line.tone) for line in lines]
    values = [point[1] for each in series for point in each.points]
    if not values:
        return ""
    x = _time_axis(series)
    return charts.legend(series) + charts.line_chart("latency over time", series, x, _times_axis("latency", values))


# --- points -----------------------------------------------------------------------------------------------------------


def _measured(result: Result, name: str) -> bool:
    return name in result.latencies and result.latencies[name].count > 0


def _curve(latency: Latency) -> list[Point]:
    """Up to the last point below 100 %, which lies infinitely far to the right; the maximum is drawn above it."""
    points = [(point.percentile, float(point.value_us)) for point in latency.curve()]
    below = [point for point in points if point[0] < 100] or [(0.0, float(latency.most_us))]
    return [*below, (below[-1][0], float(latency.most_us))]


def _rates(line: Line, *, alone: bool) -> list[Series]:
    wanted = ("deliveries", "messages", "acknowledged")
    totals = {name: sum(getattr(sample, name) for sample in line.result.samples) for name in wanted}
    main = next((name for name in ("deliveries", "messages") if totals[name]), "acknowledged")
    behind = [Series(main, _increments(run, main), line.tone, faint=True) for run in line.result.runs]
    if not alone:
        return [*behind, Series(line.label, _increments(line.result, main), line.tone)]
    others = [name for name in wanted if name != main and _worth_drawing(totals[name], totals[main])]
    names = [main, *others[:1]]
    return [*behind, *(Series(name, _increments(line.result, name), tone) for tone, name in enumerate(names, 1))]


def _worth_drawing(total: float, main: float) -> bool:
    return total > TELLING * main and abs(total - main) > ALIKE * main


def _increments(result: Result, name: str) -> list[Point]:
    """Of a counter: its rate per second, in the time since the sample before."""
    points, before = [], 0.0
    for sample in result.samples:
        if sample.at_s > before:
            points.append((sample.at_s, getattr(sample, name) / (sample.at_s - before)))
            before = sample.at_s
    return points


def _levels(result: Result, level: Level) -> list[Point]:
    values = ((sample.at_s, level(sample)) for sample in result.samples)
    return [(at, float(value)) for at, value in values if value is not None]


# --- axes -------------------------------------------------------------------------------------------------------------


def _over_time(name: str, series: Sequence[Series], title: str) -> str:
    most = max((point[1] for each in series for point in each.points), default=0.0)
    if not most:
        return ""
    y = charts.linear(title, most, _tick_number)
    return charts.legend(series) + charts.line_chart(name, series, _time_axis(series), y)


def _time_axis(series: Sequence[Series]) -> Axis:
    most = max((point[0] for each in series for point in each.points), default=1.0)
    if most >= MINUTES_FROM_S:
        return charts.span("minutes", most, lambda s: f"{s / 60:.3g}", unit=60)
    return charts.span("seconds", most, lambda s: f"{s:g}")


def _times_axis(title: str, values_us: Sequence[float]) -> Axis:
    least, most = max(min(values_us), 1.0), max(max(values_us), 1.0)
    if most / least > SPREAD_MAX:
        return charts.logarithmic(f"{title} (logarithmic)", least, most, _tick_time)
    return charts.linear(title, most, _tick_time)


def _tick_time(us: float) -> str:
    """A round time, without the noughts that a measured one would show."""
    size, name = next(((size, name) for size, name in ((1e6, "s"), (1e3, "ms")) if us >= size), (1.0, "µs"))
    return f"{us / size:g} {name}" if us else "0"


def _tick_number(value: float) -> str:
    size, name = next(((size, name) for size, name in ((1e6, " M"), (1e3, " k")) if value >= size), (1.0, ""))
    return f"{value / size:g}{name}"
