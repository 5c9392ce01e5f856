"""``hub config`` and ``hub version``."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.local import load_settings
from hub.cli.options import AsJson
from hub.cli.output import note, print_json, print_table, say, shown
from protocol import API_VERSION, __version__

if TYPE_CHECKING:
    from hub.settings import Settings

app = typer.Typer(help="Show and check the settings.", no_args_is_help=True)


@app.command()
def show(
    changed: Annotated[bool, typer.Option("--changed", help="Only what is not the default.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print every setting: its value, where the value comes from, and what it means. Secrets are masked.

    [bold]Examples[/]

      hub config show --changed
      hub config show --json | jq .HUB_PORT
    """
    rows = [row for row in _rows(load_settings()) if not (changed and row["source"] == "default")]
    if as_json:
        print_json({row["name"]: {key: row[key] for key in ("value", "source", "description")} for row in rows})
        return
    print_table(
        ["setting", "value", "from", "meaning"],
        [(row["name"], _cell(row["value"]), row["source"], row["description"]) for row in rows],
        empty="everything is at its default",
    )


@app.command()
def check() -> None:
    """Check the settings without starting anything: exit code 2 and one line for each problem.

    [bold]Examples[/]

      hub config check && hub serve
    """
    settings = load_settings()
    for warning in settings.warnings():
        note(f"warning: {warning}")
    say("[green]ok[/]: the settings can be used")


def print_version(*, as_json: bool) -> None:
    import platform
    import sqlite3

    versions = {
        "hub": __version__,
        "api": API_VERSION,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    if as_json:
        print_json(versions)
        return
    say(", ".join(f"{name} {shown(version)}" for name, version in versions.items()))


def _rows(settings: "Settings") -> list[dict[str, Any]]:
    from hub.settings_places import variable

    return [
        {
            "name": variable(name),
            "value": _masked(getattr(settings, name)),
            "source": settings.source_of(name),
            "description": field.description,
        }
        for name, field in type(settings).model_fields.items()
    ]


def _masked(value: Any) -> Any:
    """The value as JSON has it; of a secret only that it is set."""
    from pathlib import Path

    from pydantic import SecretStr

    from hub.settings_urls import Url

    if isinstance(value, Url):
        return str(value)
    if isinstance(value, SecretStr):
        return "********"
    return str(value) if isinstance(value, Path) else value


def _cell(value: Any) -> str:
    """The value as an environment variable would have it."""
    if value is None:
        return "–"
    if isinstance(value, list):
        return ",".join(value) or "–"
    return str(value).lower() if isinstance(value, bool) else str(value)
