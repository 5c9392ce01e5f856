"""The one connection that writes: whose turn it is, how long that may take, and what follows when it is cut."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from hub.store import Lane, Renewal
from hub.store import postgres_lanes as lanes
from hub.store.errors import LaneLost
from hub.store.postgres_connect import ALIVE, INDEXED, Address, answering, connect
from hub.store.postgres_pool import ending_at
from hub.store.postgres_session import Session
from hub.store.secrets import Secrets
from protocol.errors import STORAGE

T = TypeVar("T")


class PostgresWriter:
    """Does what is asked on one connection, in the order in which it was asked for.

    When the connection breaks, the next that asks gets a new one; but not before the old one has ended on the server
    too and the lane is held again. So nothing that was written earlier can come to light later.

    Args:
        wait_s: how long a caller waits before it hears that the store is not available. What has begun by then is cut,
            and nobody knows what became of it. Locks are waited for a little shorter, so that this is rare.
    """

    def __init__(self, address: Address, *, secrets: Secrets, now_ms: Callable[[], int], wait_s: float) -> None:
        self._address = address
        self._secrets = secrets
        self._now_ms = now_ms
        self._wait_s = wait_s
        self._turn = asyncio.Lock()
        self._jobs: set[asyncio.Task[object]] = set()
        self._running = True
        self._session: Session | None = None
        self._cut: list[Session] = []  # may still be there for the server
        self._is_sure = False  # whether nothing of the past can still come, and the lane is held
        self._held: lanes.Held | None = None
        self._is_lost = False

    async def do(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Have something done on the connection. Whoever does not wait for it any more does not disturb it.

        Raises:
            StoreUnavailable: no answer in time, or the lane is not surely held.
        """
        try:
            return await self._queue(work)
        except LaneLost as exc:
            raise STORAGE.error() from exc

    async def close(self) -> None:
        """Finish what was asked for, and let go of the connection. Calling it twice is harmless."""
        self._running = False
        if self._jobs:
            await asyncio.wait(self._jobs)
        if self._session is not None:
            session, self._session = self._session, None
            await session.end()

    # --- the lane ---

    async def open_lane(self, owner: str, *, queued: bool) -> Lane:
        """As :meth:`hub.store.Store.open_lane`. A lane that was held before is let go."""

        async def open_lane(session: Session) -> Lane:
            if self._held is not None and not self._is_lost:
                await lanes.unlock(session.connection, self._held.number)
            self._held = None
            lane = await lanes.open_lane(session.connection, owner, queued=queued)
            self._held, self._is_lost, self._is_sure = lanes.Held(lane.number, owner), False, True
            return lane

        return await self._queue(open_lane, needs_lane=False)

    async def renew(self, held: lanes.Held, *, safe: int, lease_ms: int) -> Renewal:
        """As :meth:`hub.store.Store.renew`."""

        async def renew(session: Session) -> Renewal:
            if held != self._held:
                raise LaneLost(f"lane {held.number} is not held")
            try:
                return await lanes.renew(session.connection, held, safe=safe, lease_ms=lease_ms)
            except LaneLost:
                self._is_lost = True
                await lanes.unlock(session.connection, held.number)
                raise

        return await self._queue(renew)

    async def close_lane(self, held: lanes.Held, *, complete: bool) -> None:
        """As :meth:`hub.store.Store.close_lane`; nothing, where the lane is not held any more."""

        async def close_lane(session: Session) -> None:
            if held == self._held:
                await lanes.close_lane(session.connection, held, complete=complete)
                self._held = None

        with suppress(LaneLost):
            await self._queue(close_lane)

    # --- one after the other ---

    async def _queue(self, work: Callable[[Session], Awaitable[T]], *, needs_lane: bool = True) -> T:
        if not self._running:
            raise STORAGE.error()
        job = asyncio.create_task(self._in_turn(work, needs_lane=needs_lane))
        self._jobs.add(job)
        job.add_done_callback(self._done)
        return await asyncio.shield(job)

    def _done(self, job: "asyncio.Task[object]") -> None:
        self._jobs.discard(job)
        if not job.cancelled():
            job.exception()  # Whoever still waits gets it, too; if nobody does, asyncio would complain.

    async def _in_turn(self, work: Callable[[Session], Awaitable[T]], *, needs_lane: bool) -> T:
        deadline_s = asyncio.get_running_loop().time() + self._wait_s
        with answering():
            async with asyncio.timeout_at(deadline_s):
                await self._turn.acquire()
            try:
                async with asyncio.timeout_at(deadline_s):
                    session = await self._connected()
                async with ending_at(session.connection, deadline_s):
                    await self._make_sure(session, needs_lane=needs_lane)
                    return await work(session)
            finally:
                self._turn.release()

    async def _connected(self) -> Session:
        if self._session is not None and self._session.connection.is_closed():
            cut, self._session = self._session, None
            self._is_sure = False
            self._cut.append(cut)
            await cut.end()
        if self._session is None:
            self._session = await self._connect()
        return self._session

    async def _connect(self) -> Session:
        connection = await connect(self._address, wait_s=self._wait_s, settings=self._settings())
        try:
            return await Session.begin(connection, secrets=self._secrets, now_ms=self._now_ms)
        except BaseException:
            connection.terminate()
            raise

    async def _make_sure(self, session: Session, *, needs_lane: bool) -> None:
        """Leave only when nothing that was begun earlier can still happen, and the lane is held, if there is one."""
        while self._cut:
            await lanes.end_backend(session.connection, self._cut[-1].backend)
            self._cut.pop()
        if not needs_lane:
            return
        if self._is_lost:
            raise LaneLost("another worker has the lane")
        if not self._is_sure and self._held is not None:
            try:
                is_held = await lanes.reclaim(session.connection, self._held)
            except LaneLost:
                self._is_lost = True
                raise
            if not is_held:
                raise STORAGE.error()
        self._is_sure = True

    def _settings(self) -> dict[str, str]:
        wait_ms = self._wait_s * 1_000
        return {
            **INDEXED,
            **ALIVE,
            "lock_timeout": str(max(1, round(wait_ms * 0.8))),
            # Whoever stops in the middle of a transaction keeps others waiting.
            "idle_in_transaction_session_timeout": str(max(1, round(wait_ms * 2))),
        }
