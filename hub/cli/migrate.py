"""``hub migrate``: the schema of the database, brought up to date before a hub of this version starts on it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.local import existing_store, load_settings, newest_schema
from hub.cli.options import AsJson, Database
from hub.cli.output import Exit, print_json, say, shown

if TYPE_CHECKING:
    from hub.settings import Settings
    from hub.store import Store


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 if something is to be done.")] = (
        False
    ),
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Bring the database up to date for this version of the hub, and say what was done.

    A hub does the same when it starts. Before a rolling upgrade of several workers this does it once, for all of them.

    [bold]Examples[/]

      hub migrate --check || hub migrate
      HUB_DATABASE_URL=postgresql://hub@db/hub hub migrate
    """
    import asyncio

    before, after = asyncio.run(_migrate(load_settings(database_url=database), only_look=check))
    is_done = before == after
    if as_json:
        print_json({"before": before, "newest": after, "migrated": not (is_done or check)})
    elif is_done:
        say(f"the schema is {shown(after)}: nothing is to be done")
    elif check:
        say(f"the schema is {_named(before)}; this version has {shown(after)}: run `hub migrate`")
    else:
        say(f"brought the schema from {_named(before)} to {shown(after)}")
    if check and not is_done:
        raise typer.Exit(Exit.FAILURE)


def _named(revision: str | None) -> str:
    return "empty" if revision is None else shown(revision)


async def _migrate(settings: "Settings", *, only_look: bool) -> tuple[str | None, str]:
    """The schema before, and the newest that there is."""
    newest = newest_schema()
    store = existing_store(settings, uses_keys=False)
    found = await look(store)
    before = None if found is None else str(found["schema"])
    if before == newest or only_look:
        return before, newest
    await store.open()  # It refuses what a newer version has made.
    await store.close()
    return before, newest


async def look(store: "Store") -> dict[str, Any] | None:
    """What a database says of itself; None: it is one, with nothing in it."""
    import sqlite3

    try:
        return await store.check()
    except Exception as exc:
        missing = isinstance(exc, sqlite3.OperationalError) and "no such table" in str(exc)
        if missing or getattr(exc.__cause__, "sqlstate", None) == "42P01":
            return None
        raise
