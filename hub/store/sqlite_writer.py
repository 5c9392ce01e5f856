"""The one connection that writes to a SQLite file, as its thread uses it."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from hub.store import Advance, Amend, Append, Transact, Tx, Write
from hub.store.batches import plain_kind, plain_messages
from hub.store.entities import Entities
from hub.store.lane_files import WriteTurn
from hub.store.secrets import Secrets
from hub.store.sqlite_connect import connect_writer, is_unavailable, migrate, transaction, wrap
from hub.store.sqlite_log import SqliteLog

T = TypeVar("T")

_KEYS_AT_ONCE = 200


class SqliteWriter:
    """Batches, transactions and statements. Each is durable when it returns, and has done nothing when it raises."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        wrapped: Connection,
        *,
        secrets: Secrets,
        now_ms: Callable[[], int],
        turn: WriteTurn | None = None,
    ) -> None:
        self._connection = connection
        self._wrapped = wrapped
        self._log = SqliteLog(connection)
        self._shared = turn is not None
        self._turn: AbstractContextManager[None] = turn or nullcontext()
        self._secrets = secrets
        self._now_ms = now_ms

    @classmethod
    def connect(
        cls,
        path: Path,
        *,
        busy_timeout_s: float,
        secrets: Secrets,
        now_ms: Callable[[], int],
        shared: bool = False,
    ) -> "SqliteWriter":
        """Open the file and bring its schema up to date.

        Args:
            shared: whether other processes write to it as well.

        Raises:
            CannotOpen: it cannot be used.
        """
        connection = connect_writer(path, busy_timeout_s=busy_timeout_s)
        try:
            wrapped = wrap(connection)
            migrate(connection, wrapped, path)
        except BaseException:
            connection.close()
            raise
        turn = WriteTurn(path, most_s=busy_timeout_s / 2) if shared else None
        return cls(connection, wrapped, secrets=secrets, now_ms=now_ms, turn=turn)

    def close(self) -> None:
        if isinstance(self._turn, WriteTurn):
            self._turn.close()
        self._wrapped.close()
        self._wrapped.engine.dispose()  # closes the connection

    def write(self, batch: Sequence[Write]) -> list[Any]:
        """Carry out a batch in its order. Returns one outcome per write; an exception is one's own outcome."""
        if self._log.has_many_unplaced:
            self._log.place()
        messages = plain_messages(batch)
        if messages is not None and not self._shared:
            self._log.append(messages)  # one statement is a transaction already
            return messages
        with self._transaction():
            return self._in_order(batch)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._turn, transaction(self._connection):
            if self._shared:
                self._log.look_around()
            yield

    def place(self) -> None:
        """Bring the places of notifications up to date."""
        self._log.place()

    def transact(self, work: Callable[[Tx], T]) -> T:
        with self._transaction():
            return work(self._tx())

    def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run statements, which begin a transaction themselves if there are several."""
        with self._turn:
            return work(self._connection)

    def delete_expired_keys(self, before_ms: int) -> tuple[int, bool]:
        """Delete some keys that expired before a time. Returns how many, and whether there may be more."""
        with transaction(self._connection):
            gone = self._tx().delete_expired_keys(before_ms, limit=_KEYS_AT_ONCE)
        return gone, gone == _KEYS_AT_ONCE

    def _tx(self) -> Entities:
        return Entities(self._wrapped, log=self._log, secrets=self._secrets, now_ms=self._now_ms)

    def _in_order(self, batch: Sequence[Write]) -> list[Any]:
        outcomes: list[Any] = []
        for kind, writes in groupby(batch, key=plain_kind):
            if kind is None:
                outcomes.extend(self._one(write) for write in writes)
            else:
                messages = [write.message for write in writes if isinstance(write, Append)]
                self._log.append(messages)
                outcomes.extend(messages)
        return outcomes

    def _one(self, write: Write) -> Any:
        if isinstance(write, Amend):
            return self._log.amend(write)
        if isinstance(write, Advance):
            return self._log.advance(write)
        if isinstance(write, Transact):
            return self._isolated(write.work)
        assert write.idempotency is not None, "plain appends go in runs"
        return self._log.append_once(write.message, write.idempotency)

    def _isolated(self, work: Callable[[Tx], Any]) -> Any:
        """Run a piece of work so that its failure undoes nothing but itself."""
        self._connection.execute("SAVEPOINT work")
        try:
            outcome = work(self._tx())
        except Exception as exc:  # whatever it is, it is the outcome of this work and of no other
            if is_unavailable(exc) or not self._connection.in_transaction:
                raise
            self._connection.execute("ROLLBACK TO work")
            outcome = exc
        self._connection.execute("RELEASE work")
        return outcome
