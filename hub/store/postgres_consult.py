"""Reading entities on PostgreSQL, beside the writer."""

from collections.abc import Callable
from typing import Any, TypeVar

from asyncpg import Connection, ReadOnlySQLTransactionError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from hub.store import Tx
from hub.store.entities import Entities
from hub.store.errors import MayOnlyRead
from hub.store.postgres_log import BlockingLog, PostgresLog
from hub.store.postgres_session import ONLY_READING, transaction, wrap
from hub.store.secrets import Secrets

T = TypeVar("T")

_READ_ONLY = ReadOnlySQLTransactionError.sqlstate


class PostgresConsultant:
    """Runs pieces of work on connections of a pool. What SQLAlchemy needs for one is made once: it asks the server a
    dozen questions first."""

    def __init__(self, *, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        self._secrets = secrets
        self._now_ms = now_ms
        self._wrapped: dict[Connection, AsyncConnection] = {}

    async def consult(self, connection: Connection, work: Callable[[Tx], T]) -> T:
        """Run a piece of work on one state of the database.

        Raises:
            MayOnlyRead: it has tried to write.
        """
        wrapped = await self._wrap(connection)
        given: dict[str, Any] = {
            "log": BlockingLog(PostgresLog(connection)),
            "secrets": self._secrets,
            "now_ms": self._now_ms,
        }
        try:
            async with transaction(connection, begin=ONLY_READING):
                return await wrapped.run_sync(lambda sync: work(Entities(sync, **given)))
        except (ReadOnlySQLTransactionError, DBAPIError) as exc:
            if getattr(getattr(exc, "orig", exc), "sqlstate", None) == _READ_ONLY:
                raise MayOnlyRead from exc
            raise

    async def close(self) -> None:
        """Let go of connections, which are closed already."""
        await self._forget_closed()

    async def _wrap(self, connection: Connection) -> AsyncConnection:
        if connection not in self._wrapped:
            await self._forget_closed()
            self._wrapped[connection] = await wrap(connection)
        return self._wrapped[connection]

    async def _forget_closed(self) -> None:
        gone = [connection for connection in self._wrapped if connection.is_closed()]
        for wrapped in [self._wrapped.pop(connection) for connection in gone]:
            await wrapped.close()
