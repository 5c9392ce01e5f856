"""A few connections that many ask, one statement at a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from asyncpg import Connection

from hub.store.postgres_connect import answering, ends_connection, is_unavailable
from protocol.errors import STORAGE

T = TypeVar("T")


FAREWELL_S = 1.0
"""How long a server has for its part in ending a connection."""


class Pool:
    """Connections for reading, and for whatever else may safely be done twice.

    They are made when they are needed. One that has broken is never used again, and what was asked on it is asked once
    more on a new one.

    Args:
        connect: makes a connection.
        size: how many there are at most.
        wait_s: how long a caller waits, for a connection and for its answer, before it hears that the store is not
            available.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], *, size: int, wait_s: float) -> None:
        self._connect = connect
        self._wait_s = wait_s
        self._free = asyncio.Semaphore(size)
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()
        self._running = True

    async def ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Have a connection do something; it must leave no transaction open.

        Raises:
            StoreUnavailable: no answer in time.
        """
        if not self._running:
            raise STORAGE.error()
        deadline_s = asyncio.get_running_loop().time() + self._wait_s
        with answering():
            async with asyncio.timeout_at(deadline_s):
                await self._free.acquire()
            try:
                return await self._ask(work, deadline_s)
            finally:
                self._free.release()

    async def close(self) -> None:
        """End every connection; one that is busy does not get to its end."""
        self._running = False
        for connection in self._busy:
            connection.terminate()
        idle, self._idle = self._idle, []
        await asyncio.gather(*(one.close(timeout=FAREWELL_S) for one in idle), return_exceptions=True)

    async def _ask(self, work: Callable[[Connection], Awaitable[T]], deadline_s: float) -> T:
        while self._idle:
            connection = self._idle.pop()
            try:
                return await self._use(connection, work, deadline_s)
            except Exception as exc:
                late = asyncio.get_running_loop().time() >= deadline_s
                if late or not (is_unavailable(exc) and connection.is_closed()):
                    raise
                # It had been cut while nobody looked.
        async with asyncio.timeout_at(deadline_s):
            connection = await self._connect()
        return await self._use(connection, work, deadline_s)

    async def _use(self, connection: Connection, work: Callable[[Connection], Awaitable[T]], deadline_s: float) -> T:
        self._busy.add(connection)
        try:
            async with ending_at(connection, deadline_s):
                return await work(connection)
        finally:
            self._busy.discard(connection)
            if not connection.is_closed():
                self._idle.append(connection) if self._running else connection.terminate()


@asynccontextmanager
async def ending_at(connection: Connection, deadline_s: float) -> AsyncIterator[None]:
    """Use a connection up to a time of the loop. When that comes, or anything else leaves it in an unknown state, the
    connection is cut: what runs on it fails at once, and it is closed when this returns."""
    timer = asyncio.get_running_loop().call_at(deadline_s, connection.terminate)
    try:
        yield
    except BaseException as exc:
        if ends_connection(exc):
            connection.terminate()
        if isinstance(exc, AttributeError) and connection.is_closed():
            # Cut between two steps of one question: asyncpg goes on to ask a protocol that is gone.
            raise ConnectionResetError("the connection was cut") from exc
        raise
    finally:
        timer.cancel()
