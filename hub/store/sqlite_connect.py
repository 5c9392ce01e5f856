"""Connections to a SQLite file, transactions on them, and which of their errors mean "try again later"."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from hub.store.errors import CannotOpen
from hub.store.schema import REVISION
from protocol.errors import STORAGE

_OUR_MISTAKES = frozenset(
    {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE,
        sqlite3.SQLITE_RANGE,
    }
)
_WAL_KEPT_BYTES = 64 * 2**20


def connect_writer(path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    """The one connection that writes; the file is made, readable by its owner only, when it is missing.

    Raises:
        CannotOpen: the file cannot be used, or is locked for longer than ``busy_timeout_s``; the text says which.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as exc:
        raise CannotOpen(f"the database {path} cannot be opened: {exc.strerror}") from exc
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None)
    with _naming(path):
        mode = _write_ahead(connection, busy_timeout_s)
        if mode != "wal":
            raise CannotOpen(f"the database {path} is in a place where SQLite cannot keep a write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")  # a commit that was answered survives a power cut
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        connection.execute("PRAGMA cache_size = -16384")
    return connection


def _write_ahead(connection: sqlite3.Connection, busy_timeout_s: float) -> str:
    """Turn the write-ahead log on. Two that do so at once: SQLite refuses one at once, whatever its timeout says."""
    deadline_s = time.monotonic() + busy_timeout_s
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as exc:
            if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline_s:
                raise
            time.sleep(0.02)  # in the writer's own thread


def connect_reader(path: Path, *, busy_timeout_s: float) -> sqlite3.Connection:
    """A connection that cannot write."""
    with _naming(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=busy_timeout_s, isolation_level=None
        )
        connection.execute("PRAGMA cache_size = -16384")
    connection.row_factory = sqlite3.Row
    return connection


def wrap(connection: sqlite3.Connection) -> Connection:
    """The same connection for SQLAlchemy, which neither begins nor ends transactions on it: we do, on the original.

    To be called outside a transaction: telling the driver that there is autocommit ends the one that is open.
    """
    engine = create_engine(
        # An error must not carry the values, which may be secrets, into the log.
        "sqlite://",
        creator=lambda: connection,
        poolclass=StaticPool,
        hide_parameters=True,
    )
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def migrate(connection: sqlite3.Connection, wrapped: Connection, path: Path) -> None:
    """Bring the schema up to date, wholly or not at all, whoever else is trying the same.

    Raises:
        CannotOpen: the file is locked, read-only, no database of ours, or written by a newer version.
    """
    with _naming(path):
        # Off while tables may be built anew: dropping the old one would take its dependants along.
        connection.execute("PRAGMA foreign_keys = OFF")
        with transaction(connection):
            if _revision(connection) != REVISION:
                from hub.store import migrations  # late: Alembic costs 100 ms, and is rarely needed

                try:
                    migrations.upgrade(wrapped)
                except CannotOpen as exc:
                    raise CannotOpen(f"{path}: {exc}") from exc
        connection.execute("PRAGMA foreign_keys = ON")


def _revision(connection: sqlite3.Connection) -> str | None:
    known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if known else None
    return str(row[0]) if row else None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, for writing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # of itself, SQLite rolls back when the disk is full, for one
            connection.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Several reads of the same state."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


@contextmanager
def answering() -> Iterator[None]:
    """Turn a database that does not answer into ``StoreUnavailable``, and leave our own mistakes as they are."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as exc:
        if is_unavailable(exc):
            raise STORAGE.error() from exc
        raise


def is_unavailable(exc: BaseException) -> bool:
    """Whether an error says that the database is locked, full, broken or gone."""
    cause = exc.orig if isinstance(exc, DBAPIError) else exc
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code & 0xFF not in _OUR_MISTAKES


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in whatever SQLite has against it."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        raise CannotOpen(f"the database {path} cannot be opened: {cause}") from exc
