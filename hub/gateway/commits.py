"""Group commit: the writes of a turn, and of all turns that arrive while a commit runs, become one transaction."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from itertools import chain
from math import inf
from typing import Any

from hub.gateway.calls import Commit
from hub.store import Amend, Append, Lost, Store, Write
from protocol.errors import INTERNAL, STORAGE, HubError
from protocol.messages import Command, Notification

log = logging.getLogger("hub.log")

Waiting = tuple[Write, Commit, Callable[[Any], None], int, float]
"""A write, who waits for it, what follows from it, its size, and by when it is answered at the latest."""

WRITE_BYTES = 512
"""What a write takes in memory beside the values in it, about."""

TRANSACT_BYTES = 4_096
"""What a piece of work counts as; what it holds on to cannot be seen."""

BATCH_BYTES = 4 * 1024 * 1024
"""About how much one transaction writes at most: a statement of more would keep the others waiting."""

STOP_S = 10.0
"""How long an end waits for what is still to be written."""

AGAIN_S = 0.2
"""When a store that has failed is asked again whether it is back."""


class Commits:
    """The one queue to the log: what is submitted first is committed, answered and published first.

    Nobody waits for longer than ``patience_s``, whatever the store does. As soon as somebody has, the store counts as
    away: all who wait are refused, and from then on everybody is, at once, until the store has answered. What had not
    been handed to it never will be; what had been is followed up all the same, and published if it was committed.

    Args:
        batch: how many writes one transaction takes at most.
        most: how many writes may wait; beyond that they are refused with 503, for the database does not keep up.
        most_bytes: how much they may take in memory, about; those of the batch that is being written included.
        settled: called after each batch, in the turn that learned of it, when all its commits were given to ``finish``.
        catch_up: called between a batch that failed and the next: it may have been committed after all, and then
            whoever repeats one of its writes with an idempotency key hears that it is done, so it has to be published.
        finish: wakes whoever awaits a commit, at once or later, in the order of the calls.
        patience_s: how long a write may take, from when it is submitted to its answer.
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
        patience_s: float = 5.0,
    ) -> None:
        self._store = store
        self._settled = settled
        self._catch_up = catch_up
        self._finish = finish
        self._patience_s = patience_s
        self._doubt = self._puzzled = False
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
        self._passing: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._ended = 0
        """How many writes were answered, also without having been written."""
        self._watch: asyncio.TimerHandle | None = None
        self.away = False
        """Whether the store has not answered for too long: what is submitted is refused at once, until it does."""
        self.bytes = 0
        """What the writes that wait or are being written take in memory, about."""
        self.batches = 0
        self.writes = 0
        self.failures = 0

    @property
    def doubtful(self) -> bool:
        """Whether a batch was answered of which it is not known if it is in the log."""
        return self._doubt

    @property
    def is_idle(self) -> bool:
        """Whether all that was ever submitted is in the log."""
        return not (self._writing or self._waiting or self._doubt)

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
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
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
            StoreUnavailable: the store is away, or too many wait already, or too much. The write was not carried out.
        """
        return self._queue(write, then, due_s=asyncio.get_running_loop().time() + self._patience_s)

    def submit_answered(self, write: Append, then: Callable[[Any], None]) -> Commit:
        """Queue a message that is answered, and perhaps published, before it is stored. If it cannot be stored, its id
        is recorded as lost. It may wait for the store for as long as there is room."""
        commit = self._queue(write, then, due_s=inf)
        self._answered.add(write.message.id)
        return commit

    def _queue(self, write: Write, then: Callable[[Any], None], *, due_s: float) -> Commit:
        if self.away:
            raise STORAGE.error(retry_after_s=1)
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
            if self._watch is None:
                self._watch_until(asyncio.get_running_loop().time() + self._patience_s)
        self._waiting.append((write, commit, then, size, due_s))
        return commit

    # --- patience

    def _watch_until(self, when_s: float) -> None:
        self._watch = asyncio.get_running_loop().call_at(when_s, self._look)

    def _look(self) -> None:
        """As long as anything waits or is being written, this comes before anybody has waited too long: it was arranged
        when the first of them came, or when none of them was there, and looks again when the oldest is due."""
        self._watch = None
        under_way = chain(self._writing, self._waiting)
        due_s = next((due_s for _, commit, _, _, due_s in under_way if due_s < inf and not commit.done), inf)
        now_s = asyncio.get_running_loop().time()
        if due_s <= now_s:
            self.part()
            due_s = inf
        if self._writing or self._waiting:
            self._watch_until(min(due_s, now_s + self._patience_s))

    def part(self) -> None:
        """The store does not answer: refuse all who wait, and whoever comes until it does."""
        if not self.away:
            waiting = len(self._writing) + len(self._waiting)
            log.error("the store does not answer; writes are refused until it does", extra={"writes": waiting})
        self.away = self._doubt = True
        self._arrived.set()
        refused = [one for one in self._waiting if one[4] < inf]
        self._waiting = deque(one for one in self._waiting if one[4] == inf)
        self.bytes -= sum(size for _, _, _, size, _ in refused)
        self._ended += len(refused)
        error = STORAGE.error(retry_after_s=1)
        for one in [*self._writing, *refused]:
            self._answer(one, error)
        self._turn_ended()

    # --- writing

    async def passed(self) -> None:
        """Return when all that was submitted until now has ended, well or not, and what follows from it is done."""
        if self._writing or self._waiting:
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._passing.append((self._ended + len(self._writing) + len(self._waiting), ended))
            await ended

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            # The event is set in the turn of the first write, and this task runs in the next: the turn is complete.
            while self._waiting or self._doubt:
                if self._doubt and not await self._settle():
                    await asyncio.sleep(AGAIN_S)
                elif self._waiting:
                    self._writing = self._take()
                    self._end(self._writing, await self._commit(self._writing))
            self._arrived.clear()

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

    async def _settle(self) -> bool:
        """Find out what became of the batch that failed, before anything newer is written. Returns whether the store
        has answered."""
        try:
            await self._catch_up()
            if self._missing:
                # Before anything newer is stored: a crash in between would not know of them.
                await self._store.record_lost(sorted(self._missing))
                self._missing.clear()
        except HubError:
            return False
        except Exception:
            # One of the three places that must survive: it may fare better the next time.
            if not self._puzzled:
                log.exception("what became of a batch could not be found out")
            self._puzzled = True
            return False
        self._answers()
        return True

    def _answers(self) -> None:
        self._doubt = self._puzzled = False
        if self.away:
            self.away = False
            log.warning("the store answers again")

    async def _commit(self, batch: list[Waiting]) -> list[Any]:
        """Write a batch. Returns one outcome per write; where it failed, the same error for each."""
        try:
            outcomes = await self._store.write([write for write, _, _, _, _ in batch])
        except HubError as error:
            self._fail(batch)
            if not self.away:
                log.error("the log could not be written", extra={"writes": len(batch), "error": error.text})
            return [error] * len(batch)
        except Exception as exc:
            # One of the three places that must survive: the next batch may fare better.
            self._fail(batch)
            log.exception("the log could not be written", extra={"writes": len(batch)})
            unavailable = STORAGE.error()
            unavailable.__cause__ = exc
            return [unavailable] * len(batch)
        self._answers()
        if self._answered:
            self._answered.difference_update(_ids(batch))
        return outcomes

    def _fail(self, batch: list[Waiting]) -> None:
        self._doubt = True
        self.failures += 1
        if self._answered:
            lost = self._answered.intersection(_ids(batch))
            self._missing |= lost
            self._answered -= lost

    def _end(self, batch: list[Waiting], outcomes: list[Any]) -> None:
        self._writing = []
        self.batches += 1
        self.writes += len(batch)
        self._ended += len(batch)
        self._wake(batch, outcomes)

    def _wake(self, batch: list[Waiting], outcomes: list[Any]) -> None:
        for one, outcome in zip(batch, outcomes, strict=True):
            _, _, then, size, _ = one
            self.bytes -= size
            try:
                if not isinstance(outcome, BaseException):
                    then(outcome)
            except Exception:
                # What follows from one write must not keep the others waiting, nor end the log's loop.
                log.exception("what follows from a write failed")
                outcome = INTERNAL.error()
            self._answer(one, outcome, by=self._finish)
        self._turn_ended()

    def _answer(self, one: Waiting, outcome: Any, *, by: Callable[[Commit, Any], None] = Commit.finish) -> None:
        commit = one[1]
        if commit.done:
            return  # It was refused while it was being written.
        try:
            by(commit, outcome)
        except Exception:
            log.exception("whoever waited for a write failed")

    def _turn_ended(self) -> None:
        if not (self._writing or self._waiting):
            self._idle.set()
        try:
            self._settled()
        except Exception:
            log.exception("the end of a turn failed")
        while self._passing and self._passing[0][0] <= self._ended:
            ended = self._passing.popleft()[1]
            if not ended.done():
                ended.set_result(None)


def _ids(batch: list[Waiting]) -> Iterable[int]:
    return (write.message.id for write, _, _, _, _ in batch if isinstance(write, Append))


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
