"""``hub doctor``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import load_settings
from hub.cli.options import Database
from hub.cli.output import Exit, console, print_json, shown

if TYPE_CHECKING:
    from hub.cli.findings import Finding


def doctor(
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for what stands in the way of a hub here. Changes nothing; exit code 1 if something fails.

    [bold]Examples[/]

      hub doctor
      hub doctor --json | jq '.[] | select(.state != "ok")'
    """
    import asyncio

    from hub.cli.findings import State, examine

    findings = asyncio.run(examine(load_settings(database_url=database)))
    if as_json:
        print_json([_view(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.state is State.FAIL for finding in findings):
        raise typer.Exit(Exit.FAILURE)


def _print(findings: Iterable["Finding"]) -> None:
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    out = console()
    for finding in findings:
        out.print(f"[{colours[finding.state]}]{finding.state:<4}[/] [bold]{finding.about}[/]: {shown(finding.text)}")
        if finding.todo:
            out.print(f"     {shown(finding.todo)}", style="dim")


def _view(finding: "Finding") -> dict[str, str]:
    return {"state": finding.state, "about": finding.about, "text": finding.text, "todo": finding.todo}
