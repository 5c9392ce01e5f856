"""Options of ``hub bench``. Each is named as the part of the plan that it sets, and says what that is."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hub.cli.output import misused
from hub.cli.target import Key, ProfileFile, Url

_NUMBER = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(k|M)?", re.ASCII)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h)?", re.ASCII)
_SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_TIMES_OF = {"k": 1_000, "M": 1_000_000, None: 1}

COUNT = "COUNT"
TIME = "TIME"


def count(text: str) -> int:
    """``1000``, ``10k``; a whole number."""
    match = _NUMBER.fullmatch(str(text))
    number = float(match[1]) * _TIMES_OF[match[2]] if match else 0.5
    if number != int(number):
        raise typer.BadParameter(f"{text!r}: give a whole number such as 1000 or 10k")
    return int(number)


def rate(text: str) -> float:
    """``1000``, ``2.5``, ``10k``, ``1M``."""
    match = _NUMBER.fullmatch(str(text))
    if match is None:
        raise typer.BadParameter(f"{text!r}: give a number such as 1000, 2.5 or 10k")
    return float(match[1]) * _TIMES_OF[match[2]]


def seconds(text: str) -> float:
    """``10``, ``10s``, ``500ms``, ``2m``, ``1h``."""
    match = _SECONDS.fullmatch(str(text))
    if match is None:
        raise typer.BadParameter(f"{text!r}: give a time such as 10s, 500ms or 2m")
    return float(match[1]) * _SECONDS_OF[match[2]]


def cores(text: str | None) -> tuple[int, ...]:
    """``1`` or ``2,3``."""
    if text is None:
        return ()
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", text, re.ASCII):
        misused(f"--pin: {text!r}: give processor cores such as 1 or 2,3")
    return tuple(map(int, text.split(",")))


def _option(*names: str, metavar: str, parser: Any, text: str, panel: str | None = None) -> Any:
    return typer.Option(*names, metavar=metavar, parser=parser, help=text, rich_help_panel=panel)


LOAD = "Load"
HOW = "How it runs"
OUT = "What comes out"

OF_A_SCENARIO: dict[str, Any] = {
    "connections": Annotated[
        int, _option("--connections", metavar=COUNT, parser=count, text="Sockets that come.", panel=LOAD)
    ],
    "dashboards": Annotated[
        int, _option("--dashboards", metavar=COUNT, parser=count, text="Sockets that subscribe.", panel=LOAD)
    ],
    "devices": Annotated[
        int,
        _option(
            "--devices",
            metavar=COUNT,
            parser=count,
            text="Devices that the hub knows; at least as many as publish.",
            panel=LOAD,
        ),
    ],
    "publishers": Annotated[
        int, _option("--publishers", metavar=COUNT, parser=count, text="Devices that publish.", panel=LOAD)
    ],
    "rate": Annotated[
        float | None,
        _option(
            "--rate",
            metavar="PER-SECOND",
            parser=rate,
            text="Messages a second, all senders together, on a schedule that the hub cannot slow down.",
            panel=LOAD,
        ),
    ],
    "arrivals": Annotated[
        float | None,
        _option(
            "--rate",
            metavar="PER-SECOND",
            parser=rate,
            text="Steady: so many new connections a second. Without it they come as fast as they can (a storm).",
            panel=LOAD,
        ),
    ],
    "window": Annotated[
        int,
        _option("--in-flight", metavar=COUNT, parser=count, text="Without a rate: messages under way.", panel=LOAD),
    ],
    "filters": Annotated[
        Literal["all", "own"],
        typer.Option("--filters", help="Dashboards see every device, or one each.", rich_help_panel=LOAD),
    ],
    "commands_per_s": Annotated[
        float,
        _option(
            "--commands-rate",
            metavar="PER-SECOND",
            parser=rate,
            text="Commands of all dashboards together.",
            panel=LOAD,
        ),
    ],
    "churn_per_s": Annotated[
        float,
        _option(
            "--churn",
            metavar="PER-SECOND",
            parser=rate,
            text="Dashboards that leave and come again each second.",
            panel=LOAD,
        ),
    ],
    "slow_share": Annotated[
        float,
        _option("--slow", metavar="SHARE", parser=rate, text="Part of the dashboards that stops reading.", panel=LOAD),
    ],
    "outage_s": Annotated[
        float,
        _option(
            "--outage", metavar=TIME, parser=seconds, text="How long the dropped connections stay away.", panel=LOAD
        ),
    ],
    "stay_s": Annotated[
        float, _option("--stay", metavar=TIME, parser=seconds, text="How long all of them stay connected.", panel=LOAD)
    ],
    "recover": Annotated[
        bool,
        typer.Option("--recover/--no-recover", help="They ask for what they missed.", rich_help_panel=LOAD),
    ],
    "backoff": Annotated[
        Literal["immediate", "jitter"],
        typer.Option("--backoff", help="They come back at once, or spread over a growing time.", rich_help_panel=LOAD),
    ],
}
"""Options that only some scenarios have."""

OF_ALL: dict[str, tuple[Any, Any]] = {
    "payload_bytes": (
        Annotated[
            int, _option("--payload", metavar="BYTES", parser=count, text="Size of a message's parameters.", panel=LOAD)
        ],
        "64",
    ),
    "codec": (
        Annotated[
            Literal["json", "msgpack"], typer.Option("--codec", help="How messages are written.", rich_help_panel=LOAD)
        ],
        "json",
    ),
    "duration_s": (
        Annotated[
            float, _option("--duration", "-t", metavar=TIME, parser=seconds, text="How long is measured.", panel=HOW)
        ],
        "10s",
    ),
    "warmup_s": (
        Annotated[
            float, _option("--warmup", metavar=TIME, parser=seconds, text="How long it runs before that.", panel=HOW)
        ],
        "1s",
    ),
    "repeat": (
        Annotated[int, typer.Option("--repeat", min=1, max=99, help="Runs; the median is told.", rich_help_panel=HOW)],
        1,
    ),
    "check": (
        Annotated[
            bool,
            typer.Option(
                "--check/--no-check", help="Look for lost, repeated, reordered messages.", rich_help_panel=HOW
            ),
        ],
        True,
    ),
    "processes": (
        Annotated[
            int | None,
            _option(
                "--processes", metavar=COUNT, parser=count, text="Load processes; by itself as many as help.", panel=HOW
            ),
        ],
        None,
    ),
    "pin": (
        Annotated[
            str | None,
            typer.Option("--pin", metavar="CORES", help="Cores for them, such as 2,3.", rich_help_panel=HOW),
        ],
        None,
    ),
    "handshakes": (
        Annotated[
            int,
            _option(
                "--handshakes", metavar=COUNT, parser=count, text="Connections on their way in at once.", panel=HOW
            ),
        ],
        "200",
    ),
    "sources": (
        Annotated[
            int | None,
            _option("--sources", metavar=COUNT, parser=count, text="Loopback addresses to connect from.", panel=HOW),
        ],
        None,
    ),
    "connect_s": (
        Annotated[
            float,
            _option("--connect-timeout", metavar=TIME, parser=seconds, text="For all connections.", panel=HOW),
        ],
        "60s",
    ),
    "drain_s": (
        Annotated[
            float,
            _option("--drain", metavar=TIME, parser=seconds, text="How long to wait for the last messages.", panel=HOW),
        ],
        "10s",
    ),
    "keep": (
        Annotated[bool, typer.Option("--keep", help="Leave devices, network and key of the run.", rich_help_panel=HOW)],
        False,
    ),
    "url": (Url, None),
    "key": (Key, None),
    "profile": (ProfileFile, None),
    "as_json": (Annotated[bool, typer.Option("--json", help="Print JSON instead.", rich_help_panel=OUT)], False),
    "out": (
        Annotated[
            Path | None,
            typer.Option("--out", "-o", metavar="FILE", help="Write JSON, to compare later.", rich_help_panel=OUT),
        ],
        None,
    ),
    "html": (
        Annotated[
            Path | None, typer.Option("--html", metavar="FILE", help="Write a report as one page.", rich_help_panel=OUT)
        ],
        None,
    ),
    "csv": (
        Annotated[
            Path | None, typer.Option("--csv", metavar="FILE", help="Write a line per second.", rich_help_panel=OUT)
        ],
        None,
    ),
    "hgrm": (
        Annotated[
            Path | None,
            typer.Option(
                "--hgrm", metavar="FILE", help="Write the percentiles as HdrHistogram does.", rich_help_panel=OUT
            ),
        ],
        None,
    ),
    "fail_if": (
        Annotated[
            list[str] | None,
            typer.Option(
                "--fail-if",
                metavar="CONDITION",
                help="Exit with 1 if so: 'p99>50ms', 'deliveries/s<100k'; repeatable.",
                rich_help_panel=OUT,
            ),
        ],
        None,
    ),
    "quiet": (
        Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing while it runs.", rich_help_panel=OUT)],
        False,
    ),
}
"""Options that every scenario has, with their defaults."""
