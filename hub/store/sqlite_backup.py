"""A copy of a SQLite database that is in use."""

import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hub.store.sqlite_connect import connect_reader

PAGES_AT_ONCE = 512


def copy(path: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy the database as it is at this moment, whatever is written meanwhile.

    The copy has its name only when it is complete and on disk. Beside the copy stands nothing else; the pepper, without
    which its keys cannot be recognised, is a file of its own and not copied.

    Args:
        progress: gets (pages left, pages in all) after every step, in this thread.

    Raises:
        FileExistsError: there is something at ``target``.
        OSError: the copy failed; nothing is left of it.
    """
    _refuse_existing(target)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # mode 0600
    os.close(descriptor)
    draft = Path(name)
    try:
        _copy_pages(path, draft, progress)
        _refuse_existing(target)
        draft.rename(target)
        _sync(target.parent)
    except sqlite3.Error as exc:
        raise OSError(f"the backup to {target} failed: {exc}") from exc
    finally:
        draft.unlink(missing_ok=True)


def _copy_pages(path: Path, draft: Path, progress: Callable[[int, int], None]) -> None:
    with (
        closing(connect_reader(path, busy_timeout_s=5)) as source,
        closing(sqlite3.connect(draft, isolation_level=None)) as copied,
    ):
        # A transaction of our own holds the state of this moment; without it every commit would begin the copy anew.
        source.execute("BEGIN")
        source.execute("SELECT 1 FROM sqlite_master").fetchone()
        source.backup(copied, pages=PAGES_AT_ONCE, progress=lambda _, left, pages: progress(left, pages))
        copied.execute("PRAGMA journal_mode = DELETE")  # so that the copy is one file
    _sync(draft)


def _refuse_existing(target: Path) -> None:
    if target.exists():
        raise FileExistsError(f"{target} exists already; a backup never replaces a file")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
