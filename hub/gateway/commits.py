"""Group commit: the writes of a turn, and of all turns that arrive while a commit runs, become one transaction."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from hub.gateway.calls import Commit
from hub.store import Amend, Append, Lost, Store, Write
from protocol.errors import INTERNAL, STORAGE, HubError
from protocol.messages import Command, Notification

log = logging.getLogger("hub.log")

Waiting = tuple[Write, Commit, Callable[[Any], None], int]
"""A write, who waits for it, what follows from it, and its size."""

WRITE_BYTES = 512
"""What a write takes in memory beside the values in it, about."""

TRANSACT_BYTES = 4_096
"""What a piece of work counts as; what it holds on to cannot be seen."""

BATCH_BYTES = 4 * 1024 * 1024
"""About how much one transaction writes at most: a statement of more would keep the others waiting."""

STOP_S = 10.0
"""How long an end waits for what is still to be written."""


class Commits:
    """The one queue to the log: what is submitted first is committed, answered and published first.

    Args:
        batch: how many writes one transaction takes at most.
        most: how many writes may wait; beyond that they are refused with 503, for the database does not keep up.
        most_bytes: how much they may take in memory, about; those of the batch that is being written included.
        settled: called after each batch, in the turn that learned of it, when all its commits were given to ``finish``.
        catch_up: called between a batch that failed and the next: it may have been committed after all, and then
            whoever repeats one of its writes with an idempotency key hears that it is done, so it has to be published.
        finish: wakes whoever awaits a commit, at once or later, in the order of the calls.
    """

    def __init__(
        self,
        store: Store,
        *,
        settled: Callable[[], None],
        catch_up: Callable[[], Awaitable[None]],
        finish: Callable[[Commit, Any], None] = Commit.finish,
        batch: int = 1_000,
        most: int = 100_000,
        most_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._store = store
        self._settled = settled
        self._catch_up = catch_up
        self._finish = finish
        self._doubt = self._failed = False
        self._batch = batch
        self._most = most
        self._most_bytes = most_bytes
        self._waiting: deque[Waiting] = deque()
        self._writing: list[Waiting] = []
        self._answered: set[int] = set()
        self._missing: set[int] = set()
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self.bytes = 0
        """What the writes that wait or are being written take in memory, about."""
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

    @property
    def lost(self) -> list[Lost]:
        """Ids of messages that were answered and could not be stored, as long as the store does not know of them."""
        return [Lost(min(self._missing) - 1, max(self._missing) + 1)] if self._missing else []

    def __len__(self) -> int:
        """How many writes wait."""
        return len(self._waiting)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="commits")

    async def stop(self, *, within_s: float = STOP_S) -> None:
        """Write what waits, then end. What is not written in time is given up: whoever waits for it hears 503."""
        try:
            async with asyncio.timeout(within_s):
                await self._idle.wait()
        except TimeoutError:
            log.error("writes were given up", extra={"writes": len(self._writing) + len(self._waiting)})
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if left := [*self._writing, *self._waiting]:
            self._waiting.clear()
            self._fail(left)
            self._end(left, [STORAGE.error()] * len(left))

    def submit(self, write: Write, then: Callable[[Any], None]) -> Commit:
        """Queue a write. Await the commit, or leave it: it is carried out either way.

        Args:
            then: called with the outcome once it is durable, before whoever awaits the commit goes on; not when the
                write failed. What has to follow from a commit belongs here, for nobody may be left to await it.

        Raises:
            StoreUnavailable: too many wait already, or too much.
        """
        if len(self._waiting) >= self._most:
            raise STORAGE.error(detail={"limit": "pending-writes", "value": self._most}, retry_after_s=1)
        if type(write) is Append and type(write.message) is Notification:  # nearly always, and a call less
            size = WRITE_BYTES + len(write.message.parameters) + len(write.message.name)
        else:
            size = _size(write)
        if self.bytes + size > self._most_bytes:
            raise STORAGE.error(detail={"limit": "pending-write-bytes", "value": self._most_bytes}, retry_after_s=1)
        commit = Commit()
        self.bytes += size
        if not self._waiting:
            self._arrived.set()
            self._idle.clear()
        self._waiting.append((write, commit, then, size))
        return commit

    def submit_answered(self, write: Append, then: Callable[[Any], None]) -> Commit:
        """Queue a message that is answered, and perhaps published, before it is stored. If it cannot be stored, its id
        is recorded as lost."""
        commit = self.submit(write, then)
        self._answered.add(write.message.id)
        return commit

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            # The event is set in the turn of the first write, and this task runs in the next: the turn is complete.
            while self._waiting:
                self._writing = self._take()
                outcomes = await self._commit(self._writing)
                self._end(self._writing, outcomes)
            self._arrived.clear()
            self._idle.set()

    def _take(self) -> list[Waiting]:
        waiting, size = self._waiting, 0
        if len(waiting) <= self._batch and self.bytes < BATCH_BYTES:
            self._waiting = deque()
            return list(waiting)
        taken: list[Waiting] = []
        while waiting and len(taken) < self._batch and size < BATCH_BYTES:
            taken.append(waiting.popleft())
            size += taken[-1][3]
        return taken

    async def _commit(self, batch: list[Waiting]) -> list[Any]:
        """Write a batch. Returns one outcome per write; where it failed, the same error for each."""
        try:
            if self._doubt:
                await self._catch_up()
            if self._missing:
                # Before anything newer is stored: a crash in between would not know of them.
                await self._store.record_lost(sorted(self._missing))
                self._missing.clear()
            self._doubt = True
            outcomes = await self._store.write([write for write, _, _, _ in batch])
            self._doubt = self._failed = False
        except HubError as error:
            self._fail(batch)
            log.error("the log could not be written", extra={"writes": len(batch), "error": error.text})
            return [error] * len(batch)
        except Exception as exc:
            # One of the three places that must survive: the next batch may fare better.
            self._fail(batch)
            log.exception("the log could not be written", extra={"writes": len(batch)})
            unavailable = STORAGE.error()
            unavailable.__cause__ = exc
            return [unavailable] * len(batch)
        if self._answered:
            self._answered.difference_update(_ids(batch))
        return outcomes

    def _fail(self, batch: list[Waiting]) -> None:
        self._failed = True
        self.failures += 1
        if self._answered:
            lost = self._answered.intersection(_ids(batch))
            self._missing |= lost
            self._answered -= lost

    def _end(self, batch: list[Waiting], outcomes: list[Any]) -> None:
        self._writing = []
        self.batches += 1
        self.writes += len(batch)
        self._wake(batch, outcomes)

    def _wake(self, batch: list[Waiting], outcomes: list[Any]) -> None:
        for (_, commit, then, size), outcome in zip(batch, outcomes, strict=True):
            self.bytes -= size
            try:
                if not isinstance(outcome, BaseException):
                    then(outcome)
            except Exception:
                # What follows from one write must not keep the others waiting, nor end the log's loop.
                log.exception("what follows from a write failed")
                outcome = INTERNAL.error()
            try:
                self._finish(commit, outcome)
            except Exception:
                log.exception("whoever waited for a write failed")
        try:
            self._settled()
        except Exception:
            log.exception("the end of a turn failed")


def _ids(batch: list[Waiting]) -> Iterable[int]:
    return (write.message.id for write, _, _, _ in batch if isinstance(write, Append))


def _size(write: Write) -> int:
    """Bytes in memory, about; text counts by its letters."""
    if isinstance(write, Append):
        message = write.message
        size = WRITE_BYTES + len(message.parameters) + len(message.name)
        return size + len(message.result) + len(message.status or "") if isinstance(message, Command) else size
    if isinstance(write, Amend):
        values = write.patch.members.values()
        return WRITE_BYTES + sum(len(value) for value in values if isinstance(value, str | bytes))
    return TRANSACT_BYTES
