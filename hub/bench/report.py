"""A result, or two beside each other, as one HTML file that needs nothing else."""

import re
from collections.abc import Iterator

from hub.bench import page, plots
from hub.bench.compare import Comparison, Row
from hub.bench.figures import OF_THE_TOOL, NoFigure, figure, latencies, named, names, rates, shown_time, titled
from hub.bench.plots import Line
from hub.bench.result import PERCENTS, Check, Result
from hub.bench.words import check_words, what_ran

HOW_LATENCY_IS_MEASURED = (
    "With a rate, latency counts from the moment at which a message was due, not from when it could be sent: "
    "a hub that falls behind cannot hide it. In a closed loop it counts from sending."
)
HOW_PERCENTILES_ARE_DRAWN = (
    "The percentile axis is stretched towards its end: each further nine (99 %, 99.9 %) is as far as the one before."
)


def report(result: Result, failures: list[str] | None = None) -> str:
    """A run's report. ``failures``: why it failed, a line each; None: nobody has judged it."""
    return page.page(
        f"hub bench {result.scenario}",
        page.heading(f"hub bench {result.scenario}", _under(result)),
        _verdict(result.check, failures),
        *(page.note(line, "bad") for line in failures or ()),
        *(page.note(line[:1].upper() + line[1:]) for line in result.warnings),
        page.tiles(_headline(result)),
        page.cards(*_pictures([Line(result.scenario, result)]), *_details(result)),
        page.footer(HOW_LATENCY_IS_MEASURED, HOW_PERCENTILES_ARE_DRAWN),
    )


def comparison_report(comparison: Comparison, labels: tuple[str, str]) -> str:
    """Two runs side by side; ``labels``: what to call them, such as the names of their files."""
    a, b = comparison.a, comparison.b
    lines = [Line(f"A: {labels[0]}", a, 1), Line(f"B: {labels[1]}", b, 2)]
    return page.page(
        f"hub bench compare: {a.scenario}",
        page.heading(f"{a.scenario}: A and B", f"A is {labels[0]} ({_under(a)}); B is {labels[1]} ({_under(b)})"),
        *(page.note(f"Not the same: {line}") for line in comparison.differences),
        *(page.note(f"A: {line}") for line in a.warnings),
        *(page.note(f"B: {line}") for line in b.warnings),
        page.tiles((_ratio(row), f"{row.name}: {row.a.text} → {row.b.text}") for row in _telling(comparison)),
        page.cards(
            *_pictures(lines),
            page.card("Figures", _beside(comparison.rows), wide=True),
            *(page.card(f"System of {name}", page.members(_words(one.system))) for name, one in (("A", a), ("B", b))),
            page.card("Parameters of A", page.members(_words(a.parameters))),
            page.card("Parameters of B", page.members(_words(b.parameters))),
        ),
        page.footer(
            "B / A is the ratio of B's figure to A's. What is within the noise has no colour.", HOW_LATENCY_IS_MEASURED
        ),
    )


# --- the head ---------------------------------------------------------------------------------------------------------


def _under(result: Result) -> str:
    parts = [what_ran(result), _moment(result.started)]
    parts += [f"{name} {result.system[name]}" for name in ("limits", "durability") if name in result.system]
    return " · ".join(part for part in parts if part)


def _moment(started: str) -> str:
    """A time of ISO 8601 for people."""
    return re.sub(r"(\d)T(\d\d:\d\d).*", r"\1 \2 UTC", started)


def _verdict(check: Check, failures: list[str] | None) -> str:
    if failures:
        return page.chip("Failed", "bad")
    if not check.passed:
        return page.chip(check_words(check).capitalize(), "bad")
    return page.chip(check_words(check).capitalize(), "good" if check.checked else "none")


def _headline(result: Result) -> Iterator[tuple[str, str]]:
    wanted = [
        *rates(result)[:2],
        *(f"{result.main_latency}.{word}" for word in ("p50", "p99", "max")),
        "errors",
        "busy",
    ]
    for name in wanted:
        try:
            found = figure(result, name)
        except NoFigure:
            continue
        spread = f", {found.spread}" if found.spread else ""
        yield found.text.removesuffix("/s"), _what(name) + spread


def _what(name: str) -> str:
    latency, _, word = name.rpartition(".") if "/" not in name else ("", "", name)
    if name == "busy":
        return "of a core: busiest load process"
    return f"{latency} {word}" if latency else name.replace("/s", " per second")


# --- cards ------------------------------------------------------------------------------------------------------------


def _pictures(lines: list[Line]) -> Iterator[str]:
    main, *others = latencies(lines[0].result) or [""]
    yield page.card(f"Percentiles: {main}", plots.percentile_curve(lines, main))
    yield page.card("Throughput over time", plots.throughput(lines))
    yield page.card("Latency over time", plots.latency_over_time(lines))
    yield page.card("Connections over time", plots.connections(lines))
    yield page.card("Errors over time", plots.errors(lines))
    for name in (other for other in others if other not in OF_THE_TOOL):
        yield page.card(f"Percentiles: {name}", plots.percentile_curve(lines, name))


def _details(result: Result) -> Iterator[str]:
    yield page.card("Latency", _latency_table(result), wide=True)
    yield page.card("Runs", _runs_table(result), wide=True)
    yield page.card("Figures", page.members(_figures(result)))
    yield page.card("Errors", page.members({name: f"{count:,}" for name, count in result.errors.items()}))
    yield page.card("Load processes", _process_table(result))
    yield page.card("Parameters", page.members(_words(result.parameters)))
    yield page.card("System", page.members(_words(result.system)))


def _latency_table(result: Result) -> str:
    columns = ["", "count", "mean", *(f"p{percent:g}" for percent in PERCENTS), "max"]
    rows = []
    for name in latencies(result):
        latency = result.latencies[name]
        times = [latency.mean_us, *latency.percentiles(PERCENTS).values(), latency.most_us]
        rows.append([titled(name), f"{latency.count:,}", *map(shown_time, times)])
    return page.table(columns, rows)


def _runs_table(result: Result) -> str:
    if not result.runs:
        return ""
    wanted = [
        *rates(result)[:2],
        *(f"{result.main_latency}.{word}" for word in ("p50", "p99", "max")),
        "lost",
        "errors",
    ]
    rows = [[str(number), *(_figure_words(run, name) for name in wanted)] for number, run in enumerate(result.runs, 1)]
    return page.table(["run", *wanted], [*rows, ["median", *(_figure_words(result, name) for name in wanted)]])


def _figure_words(result: Result, name: str) -> str:
    try:
        return figure(result, name).text
    except NoFigure:
        return "–"


def _figures(result: Result) -> dict[str, str]:
    wanted = [name for name in names(result) if "." not in name]
    return {named(name): _figure_words(result, name) for name in wanted}


def _process_table(result: Result) -> str:
    rows = [
        [str(number), f"{each.cpu_s:.1f} s", f"{each.wall_s:.1f} s", f"{each.busy:.0%}"]
        for number, each in enumerate(result.processes, 1)
    ]
    return page.table(["process", "processor time", "time", "busy"], rows)


def _beside(rows: tuple[Row, ...]) -> str:
    lines: list[list[page.Cell]] = [
        [row.name, f"{row.a.text}\n{row.a.spread}", f"{row.b.text}\n{row.b.spread}", (_ratio(row), row.change)]
        for row in rows
    ]
    return page.table(["", "A", "B", "B / A"], lines)


def _telling(comparison: Comparison) -> Iterator[Row]:
    """What is told first: the main rate, and the main latency's middle and end."""
    latency = comparison.a.main_latency
    wanted = [*rates(comparison.a)[:1], f"{latency}.p50", f"{latency}.p99", f"{latency}.max"]
    return (row for row in comparison.rows if row.name in wanted)


def _ratio(row: Row) -> str:
    return "–" if row.ratio is None else f"{row.ratio:.2f}×"


def _words(given: dict[str, object]) -> dict[str, str]:
    """Parameters and facts as people read them; what was left open is left out."""
    return {name.replace("_", " "): _word(value) for name, value in given.items() if value not in (None, "", [], {})}


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_word(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_word, value))
    return f"{value:,.10g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
