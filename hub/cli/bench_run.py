"""The commands of ``hub bench``: a scenario each, and the comparison."""

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hub.cli.bench_measure import end_with, measure, read_conditions, read_result, require_extra, write_file
from hub.cli.bench_options import OF_A_SCENARIO, OF_ALL
from hub.cli.options import AsJson
from hub.cli.output import misused, print_json

app = typer.Typer(rich_markup_mode="rich")


def _scenario(
    name: str, /, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[[], None]], Callable[..., None]]:
    """Make a command of a scenario, with its own options (name and default) and those of all.

    The function below it gives the command's name and its help, which are the same for no two of them.
    """

    def command(described: Callable[[], None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            measure(name, given)

        own = {option: (OF_A_SCENARIO[option], default) for option, default in defaults.items()}
        shared = {option: given for option, given in OF_ALL.items() if option not in without}
        run.__signature__ = _signature(own | shared)  # type: ignore[attr-defined]
        run.__doc__ = described.__doc__
        app.command(name)(run)
        return run

    return command


def _signature(options: Mapping[str, tuple[Any, Any]]) -> inspect.Signature:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Signature(
        [
            inspect.Parameter(option, kind, default=default, annotation=annotation)
            for option, (annotation, default) in options.items()
        ]
    )


@_scenario(
    "connect",
    without=("duration_s", "warmup_s", "drain_s", "payload_bytes", "check"),
    connections="1000",
    arrivals=None,
    stay_s="1s",
)
def connect() -> None:
    """How fast connections come in, all at once or at a steady rate; each authenticates and subscribes.

    [bold]Examples[/]

      hub bench connect
      hub bench connect --connections 20k --rate 500 --stay 1m
    """


@_scenario("fanout", publishers="1", dashboards="1000", devices="1", rate=None, window="1", filters="all")
def fanout() -> None:
    """Few devices publish, many dashboards receive every message.

    Without --rate so many messages are under way as --in-flight says: published, and not yet at every dashboard.

    [bold]Examples[/]

      hub bench fanout --in-flight 16
      hub bench fanout --dashboards 10k --rate 100 --html report.html
    """


@_scenario("fanin", devices="100", dashboards="1", rate=None, window="10")
def fanin() -> None:
    """Many devices publish, few dashboards receive; every message is acknowledged.

    Without --rate each device has as many messages under way as --in-flight says: sent, and not yet acknowledged.

    [bold]Examples[/]

      hub bench fanin
      hub bench fanin --devices 1000 --rate 20k --fail-if 'p99>100ms'
    """


@_scenario("commands", devices="100", dashboards="1", rate=None, window="1")
def commands() -> None:
    """Dashboards send commands, devices answer; measured until the result is back.

    [bold]Examples[/]

      hub bench commands --in-flight 10
      hub bench commands --rate 1000 --fail-if 'result.p99>20ms'
    """


@_scenario("mixed", devices="100", dashboards="20", rate="1000", commands_per_s="10", churn_per_s="1")
def mixed() -> None:
    """Like an ordinary day: devices report, dashboards watch, come and go, and send commands.

    [bold]Examples[/]

      hub bench mixed --duration 1m
      hub bench mixed --devices 1000 --dashboards 50 --rate 2k --churn 5
    """


@_scenario(
    "reconnect",
    dashboards="1000",
    publishers="1",
    rate="10",
    outage_s="1s",
    recover=True,
    backoff="immediate",
)
def reconnect() -> None:
    """Drop every dashboard at once and measure until all are back with what they missed.

    [bold]Examples[/]

      hub bench reconnect
      hub bench reconnect --dashboards 10k --outage 5s --backoff jitter
    """


@_scenario("slow", publishers="1", dashboards="100", slow_share="0.1", rate=None, window="1")
def slow() -> None:
    """Some dashboards stop reading: what becomes of them, and whether the others notice.

    [bold]Examples[/]

      hub bench slow
      hub bench slow --slow 0.5 --rate 1000 --fail-if 'p99>50ms'
    """


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="A file that --out or --json wrote.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one of the same scenario.")],
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="CONDITION", help="Exit with 1 if so: 'deliveries/s<0.9x'; repeatable."),
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write both as one page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two results: the ratio of B to A, and which is better.

    [bold]Examples[/]

      hub bench compare before.json after.json
      hub bench compare before.json after.json --fail-if 'deliveries/s<0.9x' --fail-if 'p99>1.2x'
    """
    require_extra()
    conditions = read_conditions(fail_if, ratio=True)
    from hub.bench.compare import NotComparable, failures
    from hub.bench.compare import compare as beside
    from hub.bench.report import comparison_report

    try:
        comparison = beside(read_result(a), read_result(b))
    except NotComparable as exc:
        misused(str(exc))
    if html is not None:
        write_file(html, comparison_report(comparison, (a.name, b.name)))
    failed = failures(comparison, conditions)
    if as_json:
        print_json(comparison.document() | {"failures": failed})
    else:
        from hub.cli.bench_text import print_comparison

        print_comparison(comparison, (a.name, b.name))
    end_with(failed)
