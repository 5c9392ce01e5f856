"""Group commit: the writes of a turn, and of all turns that arrive while a commit runs, become one transaction."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from hub.gateway.calls import Commit
from hub.store import Store, Write
from protocol.errors import INTERNAL, STORAGE, HubError

log = logging.getLogger("hub.log")

Waiting = tuple[Write, Commit, Callable[[Any], None]]


class Commits:
    """The one queue to the log: what is submitted first is committed, answered and published first.

    Args:
        batch: how many writes one transaction takes at most.
        most: how many writes may wait; beyond that they are refused with 503, for the database does not keep up.
        settled: called after each batch, in the turn that learned of it, when all its commits have been woken.
        catch_up: called between a batch that failed and the next: it may have been committed after all, and then
            whoever repeats one of its writes with an idempotency key hears that it is done, so it has to be published.
    """

    def __init__(
        self,
        store: Store,
        *,
        settled: Callable[[], None],
        catch_up: Callable[[], Awaitable[None]],
        batch: int = 1_000,
        most: int = 100_000,
    ) -> None:
        self._store = store
        self._settled = settled
        self._catch_up = catch_up
        self._doubt = self._failed = False
        self._batch = batch
        self._most = most
        self._waiting: deque[Waiting] = deque()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.batches = 0
        self.writes = 0
        self.failures = 0

    @property
    def doubtful(self) -> bool:
        """Whether it is not known of the last batch that has ended if it is in the log."""
        return self._failed

    @property
    def alive(self) -> bool:
        """Whether the loop that writes is running."""
        return self._task is not None and not self._task.done()

    def __len__(self) -> int:
        """How many writes wait."""
        return len(self._waiting)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="commits")

    async def stop(self) -> None:
        """Write what waits, then end."""
        await self._idle.wait()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def submit(self, write: Write, then: Callable[[Any], None]) -> Commit:
        """Queue a write. Await the commit, or leave it: it is carried out either way.

        Args:
            then: called with the outcome once it is durable, before whoever awaits the commit goes on; not when the
                write failed. What has to follow from a commit belongs here, for nobody may be left to await it.

        Raises:
            StoreUnavailable: too many wait already.
        """
        if len(self._waiting) >= self._most:
            raise STORAGE.error(detail={"limit": "pending-writes", "value": self._most}, retry_after_s=1)
        commit = Commit()
        self._waiting.append((write, commit, then))
        self._arrived.set()
        self._idle.clear()
        return commit

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            # The event is set in the turn of the first write, and this task runs in the next: the turn is complete.
            while self._waiting:
                await self._commit(self._take())
            self._arrived.clear()
            self._idle.set()

    def _take(self) -> list[Waiting]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(len(waiting), self._batch))]

    async def _commit(self, batch: list[Waiting]) -> None:
        try:
            if self._doubt:
                await self._catch_up()
            self._doubt = True
            outcomes = await self._store.write([write for write, _, _ in batch])
            self._doubt = self._failed = False
        except HubError as error:
            self._failed = True
            self.failures += 1
            log.error("the log could not be written", extra={"writes": len(batch), "error": error.text})
            outcomes = [error] * len(batch)
        except Exception as exc:
            # One of the three places that must survive: the next batch may fare better.
            self._failed = True
            self.failures += 1
            log.exception("the log could not be written", extra={"writes": len(batch)})
            unavailable = STORAGE.error()
            unavailable.__cause__ = exc
            outcomes = [unavailable] * len(batch)
        self.batches += 1
        self.writes += len(batch)
        self._wake(batch, outcomes)

    def _wake(self, batch: list[Waiting], outcomes: list[Any]) -> None:
        for (_, commit, then), outcome in zip(batch, outcomes, strict=True):
            try:
                if not isinstance(outcome, BaseException):
                    then(outcome)
            except Exception:
                # What follows from one write must not keep the others waiting, nor end the log's loop.
                log.exception("what follows from a write failed")
                outcome = INTERNAL.error()
            try:
                commit.finish(outcome)
            except Exception:
                log.exception("whoever waited for a write failed")
        try:
            self._settled()
        except Exception:
            log.exception("the end of a turn failed")
