"""What ``hub bench`` prints: a result, or two beside each other, as compact tables."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hub.cli.output import complain, console, say, shown

if TYPE_CHECKING:
    from rich.table import Table

    from hub.bench.compare import Comparison, Row
    from hub.bench.result import Result

TOLD = ("hub", "limits", "durability", "processor", "cores")
"""Of the system, in this order."""
STYLES = {"better": "green", "worse": "red", "same": "dim", "other": "dim"}


def print_result(result: "Result") -> None:
    """Figures, percentiles, check, and what they were measured on."""
    from hub.bench.words import what_ran

    say(f"[bold]{shown(result.scenario)}[/]  [dim]{shown(what_ran(result))}[/]\n")
    console().print(_figures(result))
    if any(latency.count for latency in result.latencies.values()):
        say("")
        console().print(_percentiles(result))
    say("")
    console().print(_facts(result))
    for text in result.warnings:
        say(f"[yellow]warning:[/] {shown(text)}")


def print_comparison(comparison: "Comparison", labels: tuple[str, str]) -> None:
    """The figures of both, with the ratio in colour."""
    say(f"[bold]{shown(comparison.a.scenario)}[/]  [dim]A {shown(labels[0])}, B {shown(labels[1])}[/]")
    for line in comparison.differences:
        say(f"[yellow]not the same:[/] {shown(line)}")
    say("")
    table = _table("", "A", "B", "B / A", "")
    for row in comparison.rows:
        style = STYLES[row.change]
        table.add_row(row.name, _with_runs(row, "a"), _with_runs(row, "b"), f"[{style}]{_ratio(row)}[/]", _word(row))
    console().print(table)


def print_failures(failures: Iterable[str]) -> None:
    """Why it failed, on stderr."""
    for line in failures:
        complain(line)


# --- a result ---------------------------------------------------------------------------------------------------------


def _figures(result: "Result") -> "Table":
    from hub.bench.figures import figure, named, others, rates

    table = _table("", "", "")
    for name in [*rates(result), *others(result)]:
        found = figure(result, name)
        table.add_row(f"[bold]{shown(named(name))}[/]", f"[bold]{found.text}[/]", f"[dim]{found.spread}[/]")
    for name in ("sent", "acknowledged", "delivered", "errors"):
        found = figure(result, name)
        if name != "errors" and not found.value:
            continue
        table.add_row(
            name,
            found.text if name != "errors" or not found.value else f"[red]{found.text}[/]",
            f"[dim]{found.spread or _reasons(result, name)}[/]",
        )
    return table


def _reasons(result: "Result", name: str) -> str:
    if name != "errors":
        return ""
    return ", ".join(f"{count:,} x {shown(reason)}" for reason, count in result.errors.items())


def _percentiles(result: "Result") -> "Table":
    from hub.bench.figures import figure, latencies, titled
    from hub.bench.result import PERCENTS

    words = [*(f"p{percent:g}" for percent in PERCENTS), "max"]
    table = _table("latency", *words, "count")
    for name in latencies(result):
        times = [figure(result, f"{name}.{word}").text for word in words]
        table.add_row(shown(titled(name)), *times, f"{result.latencies[name].count:,}")
    return table


def _facts(result: "Result") -> "Table":
    from hub.bench.words import check_words

    table = _table("", "")
    table.columns[1].justify = "left"
    style = "red" if not result.check.passed else "green" if result.check.checked else "yellow"
    table.add_row("check", f"[{style}]{check_words(result.check)}[/]")
    if result.processes:
        many = f"{len(result.processes)} load processes, the busiest" if len(result.processes) > 1 else "load process"
        table.add_row("client", f"{many} {result.busy:.0%} of a core")
    table.add_row("system", " · ".join(_fact(name, result.system[name]) for name in TOLD if result.system.get(name)))
    return table


def _fact(name: str, value: Any) -> str:
    return shown(value) if name == "processor" else f"{value} cores" if name == "cores" else f"{name} {shown(value)}"


# --- two --------------------------------------------------------------------------------------------------------------


def _with_runs(row: "Row", which: str) -> str:
    found = row.a if which == "a" else row.b
    return f"{found.text} [dim]({found.spread})[/]" if found.spread else found.text


def _ratio(row: "Row") -> str:
    return "–" if row.ratio is None else f"{row.ratio:.2f}×"


def _word(row: "Row") -> str:
    return "" if row.change in ("same", "other") else f"[{STYLES[row.change]}]{row.change}[/]"


def _table(*columns: str) -> "Table":
    """Columns without lines; all but the first to the right."""
    from rich.table import Table

    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        show_header=any(columns),
        header_style="dim",
        title_justify="left",
    )
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table
