"""What commands say: people get tables and colours, programs get JSON, and errors go to stderr with an exit code."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from rich.console import Console


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    """Wrong arguments, or settings that cannot be used."""
    NOT_STARTED = 3
    """The hub could not start."""


class Failure(Exception):
    """A command cannot do what it was asked to; the text says why, and what would help.

    Attributes:
        code: what the process exits with.
    """

    def __init__(self, text: str, *, code: Exit = Exit.FAILURE) -> None:
        super().__init__(text)
        self.code = code


def fail(text: str, *, code: Exit = Exit.FAILURE) -> NoReturn:
    """End the command with one line on stderr."""
    raise Failure(text, code=code)


def misused(text: str) -> NoReturn:
    """End the command because of its arguments: exit code 2."""
    raise Failure(text, code=Exit.USAGE)


@cache
def console(*, stderr: bool = False) -> "Console":
    """A console for people. It obeys NO_COLOR, and writes no colours where nobody is looking."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    # Where nobody is looking there is no edge to wrap at.
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=None if stream.isatty() else 250)


def plain(text: str) -> str:
    """Text from the database or the network, made safe to show: no control character of it reaches the terminal."""
    from hub.logs import escaped

    return str(escaped(text))


def say(text: str) -> None:
    """One line of result for a person. ``text`` may carry rich's markup; escape what comes from outside with
    :func:`shown`."""
    console().print(text)


def shown(value: object) -> str:
    """A value as part of a line with markup: escaped twice, for the terminal and for rich."""
    from rich.markup import escape

    return "–" if value is None else escape(plain(value if isinstance(value, str) else str(value)))


def note(text: str) -> None:
    """One line beside the result, on stderr, so that stdout stays what a program expects."""
    console(stderr=True).print(text, style="dim")


def complain(text: str) -> None:
    """An error, on stderr; each line of the text is a problem of its own."""
    out = console(stderr=True)
    for line in text.splitlines() or [""]:
        out.print(f"[bold red]error:[/] {shown(line)}")


def print_json(value: Any) -> None:
    """One JSON document on stdout; indented for people, one line for programs."""
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table, or one line when there is nothing to show."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    lines = [[shown(value) for value in row] for row in rows]
    if not lines:
        note(empty)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(*line)
    console().print(table)


def print_members(members: Mapping[str, object]) -> None:
    """One thing, a line for each of its members."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in members.items():
        table.add_row(name, shown(value))
    console().print(table)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone. ``yes`` answers in advance; without a terminal it must."""
    if yes:
        return
    if not sys.stdin.isatty():
        misused(f"{question} Say so with --yes; nobody is here to ask.")
    import typer

    if not typer.confirm(question):
        fail("nothing was changed")


def told_of(error: BaseException) -> tuple[str, Exit] | None:
    """The line and the exit code of an error that a user can do something about; None for a bug.

    Raises nothing and imports nothing: an error's class is known only to those who have its module already.
    """
    if isinstance(error, Failure):
        return str(error), error.code
    for module, name, code in _TOLD:
        known = getattr(sys.modules.get(module), name, None)
        if known is not None and isinstance(error, known):
            return str(error), code
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        return str(error), Exit.FAILURE
    return None


_TOLD = (
    ("hub.settings_places", "SettingsError", Exit.USAGE),
    ("hub.store.errors", "CannotOpen", Exit.FAILURE),
    ("hub.bus.errors", "CannotOpen", Exit.FAILURE),
    ("protocol.errors", "HubError", Exit.FAILURE),
    ("hub.client.errors", "ClientError", Exit.FAILURE),
    ("hub.client.profile", "BadProfile", Exit.FAILURE),
)
