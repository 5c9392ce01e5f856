"""Reading entities on SQLite, beside the writer."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hub.store import Tx
from hub.store.entities import Entities
from hub.store.errors import MayOnlyRead
from hub.store.secrets import Secrets
from hub.store.sqlite_connect import connect_reader, snapshot, wrap
from hub.store.sqlite_log import SqliteLog

T = TypeVar("T")


class SqliteConsultant:
    """Runs pieces of work on a connection that cannot write."""

    def __init__(
        self, connection: sqlite3.Connection, wrapped: Connection, *, secrets: Secrets, now_ms: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._wrapped = wrapped
        self._log = SqliteLog(connection)
        self._secrets = secrets
        self._now_ms = now_ms

    @classmethod
    def connect(
        cls, path: Path, *, busy_timeout_s: float, secrets: Secrets, now_ms: Callable[[], int]
    ) -> "SqliteConsultant":
        """Open a file that is there."""
        connection = connect_reader(path, busy_timeout_s=busy_timeout_s)
        connection.row_factory = None  # SQLAlchemy makes its own rows
        return cls(connection, wrap(connection), secrets=secrets, now_ms=now_ms)

    def close(self) -> None:
        self._wrapped.close()
        self._wrapped.engine.dispose()  # closes the connection

    def consult(self, work: Callable[[Tx], T]) -> T:
        """Run a piece of work on one state of the database.

        Raises:
            MayOnlyRead: it has tried to write.
        """
        try:
            with snapshot(self._connection):
                return work(Entities(self._wrapped, log=self._log, secrets=self._secrets, now_ms=self._now_ms))
        except (sqlite3.Error, DBAPIError) as exc:
            cause = exc.orig if isinstance(exc, DBAPIError) else exc
            if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
                raise MayOnlyRead from exc
            raise
