"""``hub backup``: a copy of the database while it is in use."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.local import load_settings, with_store
from hub.cli.options import Database
from hub.cli.output import console, fail, note, print_json, say, shown

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from hub.settings import Settings
    from hub.store import Store


def backup(
    file: Annotated[Path, typer.Argument(help="A new file; an existing one is never overwritten.")],
    database: Database = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy a SQLite database to a file, beside a running hub or without one; of PostgreSQL, print what does.

    The file of the pepper is not part of it: keep a copy of that, too, at another place. Without it no key works.

    [bold]Examples[/]

      hub backup hub-$(date +%F).db
    """
    if file.exists():
        fail(f"{file} exists already; choose another name")
    if not file.parent.is_dir():
        fail(f"there is no directory {file.parent}")
    settings = load_settings(database_url=database)
    if settings.database_url.scheme != "sqlite":
        fail(f"a PostgreSQL database has tools of its own: {pg_dump(settings, file)}")
    with _bar() as progress:
        task = progress.add_task("copying", total=None)

        async def copy(store: "Store") -> None:
            await store.backup(file, lambda left, pages: _advance(progress, task, left, pages))

        with_store(settings, copy)
    size = file.stat().st_size
    if as_json:
        print_json({"file": str(file), "bytes": size})
        return
    say(f"wrote [bold]{shown(str(file))}[/], {size / 1e6:.1f} MB")
    note("the pepper is not in it: keep a copy of its file elsewhere")


def pg_dump(settings: "Settings", file: Path) -> str:
    """The command that copies a PostgreSQL database; the password comes from where PostgreSQL looks for it."""
    import shlex

    address = settings.database_url.without_passwords()
    line = shlex.join(["pg_dump", "--format=custom", f"--file={file}", address])
    return f"{line}  (the password: PGPASSWORD or ~/.pgpass; pg_restore brings it back)"


def _bar() -> "Progress":
    from rich.progress import Progress

    out = console(stderr=True)
    return Progress(console=out, transient=True, disable=not out.is_terminal)


def _advance(progress: "Progress", task: "TaskID", left: int, pages: int) -> None:
    progress.update(task, completed=pages - left, total=max(pages, 1))
