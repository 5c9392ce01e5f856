"""One connection that writes to PostgreSQL: batches and pieces of work, each in a transaction of its own."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from asyncpg import Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from hub.store import Advance, Amend, Append, Transact, Tx, Write
from hub.store.batches import plain_messages, runs
from hub.store.entities import Entities
from hub.store.postgres_connect import BROKEN, ends_connection, is_unavailable
from hub.store.postgres_log import BlockingLog, PostgresLog
from hub.store.postgres_pool import FAREWELL_S, ending_at
from hub.store.secrets import Secrets

T = TypeVar("T")

_ABOUT = """
    SELECT pid, backend_start, CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', false) END
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
"""Who serves this connection; and whatever the database says, what was committed is on disk."""


WORK_LOCK = 0x48756201
"""Held by the one piece of work that is going on in the database."""

BESIDE_OTHERS = "BEGIN"

ALONE = f"BEGIN; SELECT pg_advisory_xact_lock({WORK_LOCK})"
"""As the only one in the database, beside those that only write messages. Whatever a piece of work reads is still so
when it writes; revisions of changes are seen in their order; and no two wait in a circle."""

ONLY_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
"""One state of the database, whatever is being written."""


class Session:
    """Batches, transactions and statements. Each is durable when it returns, and has done nothing when it raises,
    unless the connection broke: then nobody knows."""

    def __init__(
        self,
        connection: Connection,
        wrapped: AsyncConnection,
        *,
        backend: tuple[int, datetime.datetime],
        secrets: Secrets,
        now_ms: Callable[[], int],
    ) -> None:
        self.connection = connection
        self.backend = backend
        self._secrets = secrets
        self._now_ms = now_ms
        self._log = PostgresLog(connection)
        self._blocking_log = BlockingLog(self._log)
        self._wrapped = wrapped

    @classmethod
    async def begin(cls, connection: Connection, *, secrets: Secrets, now_ms: Callable[[], int]) -> "Session":
        """Take over a connection that has just been made."""
        pid, since, _ = await connection.fetchrow(_ABOUT)
        wrapped = await wrap(connection)
        return cls(connection, wrapped, backend=(pid, since), secrets=secrets, now_ms=now_ms)

    async def end(self) -> None:
        """Let go of the connection, in whatever state it is, and at once of its locks."""
        async with ending_at(self.connection, asyncio.get_running_loop().time() + FAREWELL_S):
            if not self.connection.is_closed():
                with suppress(*BROKEN):
                    await self.connection.execute("SELECT pg_advisory_unlock_all()")
            await self._wrapped.close()  # closes ours too

    async def write(self, batch: Sequence[Write]) -> list[Any]:
        """Carry out a batch in its order. Returns one outcome per write; an exception is one's own outcome."""
        messages = plain_messages(batch)
        if messages is not None:
            await self._log.append_at_once(messages)
            return messages
        alone = any(isinstance(write, Transact) for write in batch)
        async with transaction(self.connection, begin=ALONE if alone else BESIDE_OTHERS):
            return [outcome for run in runs(batch) for outcome in await self._carry_out(run)]

    async def transact(self, work: Callable[[Tx], T]) -> T:
        async with transaction(self.connection, begin=ALONE):
            return await self._work(work)

    async def delete_expired_keys(self, before_ms: int, *, limit: int) -> int:
        """Delete some keys that expired before a time. Returns how many."""
        async with transaction(self.connection, begin=ALONE):
            return await self._work(lambda tx: tx.delete_expired_keys(before_ms, limit=limit))

    async def _carry_out(self, run: Sequence[Write]) -> Sequence[Any]:
        first = run[0]
        if isinstance(first, Amend):
            return await self._log.amend([write for write in run if isinstance(write, Amend)])
        if isinstance(first, Advance):
            return [await self._log.advance(first)]
        if isinstance(first, Transact):
            return [await self._isolated(first.work)]
        if first.idempotency is not None:
            return [await self._log.append_once(first.message, first.idempotency)]
        messages = [write.message for write in run if isinstance(write, Append)]
        await self._log.append(messages)
        return messages

    async def _isolated(self, work: Callable[[Tx], Any]) -> Any:
        """Run a piece of work so that its failure undoes nothing but itself."""
        await self.connection.execute("SAVEPOINT work")
        try:
            outcome = await self._work(work)
        except Exception as exc:  # whatever it is, it is the outcome of this work and of no other
            if is_unavailable(exc) or self.connection.is_closed():
                raise
            await self.connection.execute("ROLLBACK TO SAVEPOINT work")
            outcome = exc
        await self.connection.execute("RELEASE SAVEPOINT work")
        return outcome

    async def _work(self, work: Callable[[Entities], T]) -> T:
        given: dict[str, Any] = {"log": self._blocking_log, "secrets": self._secrets, "now_ms": self._now_ms}
        return await self._wrapped.run_sync(lambda wrapped: work(Entities(wrapped, **given)))


@asynccontextmanager
async def transaction(connection: Connection, *, begin: str = BESIDE_OTHERS) -> AsyncIterator[None]:
    """All of it or nothing."""
    try:
        await connection.execute(begin)
        yield
        ended = await connection.execute("COMMIT")
    except BaseException as exc:
        if not (ends_connection(exc) or connection.is_closed()):
            await connection.execute("ROLLBACK")
        raise
    # After an error that somebody has swallowed, the server takes everything back and only says so.
    assert ended == "COMMIT", "a transaction went on after an error"


async def wrap(connection: Connection) -> AsyncConnection:
    """The same connection for SQLAlchemy, which neither begins nor ends transactions on it: we do, on the original.

    Closing it closes the original.
    """
    wrapped = await _engine(lambda: _given(connection)).connect()
    return await wrapped.execution_options(isolation_level="AUTOCOMMIT")


async def _given(connection: Connection) -> Connection:
    return connection


def _engine(creator: Callable[[], Awaitable[Connection]]) -> AsyncEngine:
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=creator,
        poolclass=NullPool,
        # An error must not carry the values, which may be secrets, into the log.
        hide_parameters=True,
    )
