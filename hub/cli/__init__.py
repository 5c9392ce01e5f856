"""The command ``hub``.

Modules here import little at the top: ``hub --help`` answers before a database library would have been loaded.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hub.cli import (
    backup,
    bench,
    config,
    devices,
    doctor,
    keys,
    migrate,
    networks,
    oauth,
    send,
    serve,
    tail,
    transfer,
    users,
)
from hub.cli.output import complain, told_of
from protocol import __version__

HELP = """A hub that devices and dashboards stay connected to.

[bold]Try it[/]

  hub serve                    start; the first time prints a login and a key
  hub tail                     live messages in the terminal
  hub send lamp set on=true    send a command and wait for its result
  hub user create ann          make a user

Exit codes: 0 done, 1 failed, 2 wrong arguments or settings, 3 not started.
"""


class Commands(TyperGroup):
    """The root of the commands: the one place where an error becomes a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as exc:
            told = told_of(exc)
            if told is None:
                raise
            text, code = told
            complain(text)
            raise typer.Exit(code) from exc


app = typer.Typer(
    name="hub",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("serve")(serve.serve)
app.add_typer(users.app, name="user")
app.add_typer(networks.app, name="network")
app.add_typer(devices.app, name="device")
app.add_typer(keys.app, name="key")
app.add_typer(oauth.app, name="oauth")
app.command("tail")(tail.tail)
app.command("send")(send.send)
app.add_typer(bench.app, name="bench")
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.command("backup")(backup.backup)
app.command("migrate")(migrate.migrate)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")


@app.command()
def version(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print the version of the hub and of the API that it speaks."""
    config.print_version(as_json=as_json)


def _version_asked(asked: bool) -> None:
    if asked:
        typer.echo(f"hub {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def root(
    show: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version_asked)
    ] = False,
) -> None:
    """Options of every command."""


def main() -> None:
    """Run the command line of this process; ends it with an exit code."""
    app()
