"""Where a command does its work: in the database of this installation, or on a hub elsewhere, over its REST API.

:func:`placed` gives a command the options that say so, and a :class:`Place` that hides the difference: work is written
once, against a ``Tx``.
"""

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hub.cli.options import Database
from hub.cli.output import misused, note, shown

if TYPE_CHECKING:
    from hub.cli.sessions import Session
    from hub.store import Tx

T = TypeVar("T")

AtUrl = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", envvar="HUB_URL", help="Work on the hub at this address, over its REST API."),
]
WithKey = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="KEY",
        envvar="HUB_KEY",
        show_default=False,
        help="An access key of an administrator, for --url. Others on this computer can read arguments: prefer the "
        "variable.",
    ),
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the work is done.

    Attributes:
        database: the database, where it is not the one of the settings.
        url, key: of the hub, and None where the work is done in a database.
    """

    database: str | None = None
    url: str | None = None
    key: str | None = field(default=None, repr=False)

    @property
    def is_remote(self) -> bool:
        return self.url is not None

    def transact(self, work: "Callable[[Tx], T]") -> T:
        """Run one piece of work and return what it returns. In a database it is one transaction; on a hub elsewhere
        each change is made by itself, so ``work`` has to look before it changes."""
        if not self.is_remote:
            from hub.cli.local import transact

            return transact(work, database=self.database)
        with self.session() as session:
            return session.change(work)

    def session(self) -> "AbstractContextManager[Session]":
        """For several pieces of work: the database or the connection stays open."""
        from hub.cli.sessions import local_session, remote_session

        if self.url is None:
            return local_session(self.database)
        return remote_session(self.url, self.key or "")

    def password(self, text: str | None) -> dict[str, str | None]:
        """What a ``Tx`` here is given of a new password. Only a hub itself may say how it keeps passwords, so one
        elsewhere is sent the password as it is."""
        if self.is_remote:
            return {"password": text}
        from hub.passwords import hash_password

        return {"password_hash": None if text is None else hash_password(text)}

    def told(self, question: str) -> str:
        """A question, with the place where that is not here."""
        return f"{question} At {self.url}." if self.is_remote else question


HERE = Place()
"""The database of the settings."""


def placed(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--database``, ``--url`` and ``--key`` instead of its parameter ``place``."""

    def run(
        context: typer.Context, database: str | None, at_url: str | None, with_key: str | None, **rest: Any
    ) -> None:
        command(place=_chosen(context, database, at_url, with_key), **rest)

    options = {"context": typer.Context, "database": Database, "at_url": AtUrl, "with_key": WithKey}
    own = inspect.signature(command).parameters.values()
    parameters = [one.replace(kind=one.KEYWORD_ONLY) for one in own if one.name != "place"]
    run.__doc__, run.__name__, run.__module__ = command.__doc__, command.__name__, command.__module__
    run.__annotations__ = {one.name: one.annotation for one in parameters} | options
    last = next((at for at, one in enumerate(parameters) if one.name == "as_json"), len(parameters))
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*parameters[:last], *(_option(name, kind) for name, kind in options.items()), *parameters[last:]]
    )
    return run


def _option(name: str, annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if name == "context" else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _chosen(context: typer.Context, database: str | None, url: str | None, key: str | None) -> Place:
    """What is written on the command line goes before the environment."""
    if database is not None:
        if _was_written(context, "at_url"):
            misused("--database and --url: give one of them; the REST API of a hub reaches its own database only")
        return Place(database)
    if url is None:
        if _was_written(context, "with_key"):
            misused("--key is for a hub elsewhere: name it with --url (HUB_URL)")
        return Place()
    if not key:
        misused("--url (HUB_URL) needs an access key as well: set HUB_KEY")
    if not _was_written(context, "at_url"):
        note(f"on {shown(url)} (HUB_URL)")
    return Place(url=url, key=key)


def _was_written(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
