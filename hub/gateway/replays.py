"""Running replays: the reading around :class:`hub.core.replay.Replay`, page by page, at the pace of the reader."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from weakref import WeakKeyDictionary

from hub.core.access import Clauses
from hub.core.replay import Replay
from hub.core.subscription import Published, Subscription
from hub.store import Logged, LogQuery, Page, Reach, Store
from protocol.errors import HubError
from protocol.messages import Command, Message
from protocol.names import CloseCode, CommandState, Kind

if TYPE_CHECKING:
    from hub.core.connection import Connection
    from hub.core.fanout import FanOut

log = logging.getLogger("hub")

PIECE_BYTES = 131_072
"""How much of a page is handed to an outbox at a time; then the socket has to have taken it."""

STALE_S = 0.01
FIRST_PAGE = 100
PAGE_BYTES = 524_288
"""About how much of the log a replay holds in memory, however slow its reader: later pages are sized by the first."""


class Socket(Protocol):
    """What the gateway knows about the transport under a connection."""

    def visit(self) -> None:
        """Write what the outbox holds, and act on a decision to close."""

    def abort(self) -> None:
        """End at once, without a word."""

    async def writable(self) -> None:
        """Return when the transport's buffer has drained, or when the socket is gone."""


class Replays:
    """The replays of one worker.

    At most ``at_once`` read the log at a time; a slow reader keeps none of the others from reading. Those of one
    connection take turns, or together they would overflow its outbox.
    """

    def __init__(
        self,
        store: Store,
        fan_out: "FanOut",
        *,
        now_ms: Callable[[], int],
        visit: "Callable[[Connection], None]",
        lifetime_enforced: bool,
        at_once: int,
        page: int,
        stored: Callable[[], Awaitable[None]],
        is_stale: "Callable[[Connection], bool]",
    ) -> None:
        self._store = store
        self._fan_out = fan_out
        self._now_ms = now_ms
        self._visit = visit
        self._lifetime_enforced = lifetime_enforced
        self._page = page
        self._stored = stored
        self._is_stale = is_stale
        self._turns: WeakKeyDictionary[Connection, asyncio.Lock] = WeakKeyDictionary()
        self._slots = asyncio.Semaphore(at_once)
        self._tasks: dict[Subscription, asyncio.Task[None]] = {}
        self._expected: set[Subscription] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription in self._tasks or subscription in self._expected

    def expect(self, subscription: Subscription) -> None:
        """A subscription that holds will be given to :meth:`start` or :meth:`stop`; nobody else lets it flow."""
        self._expected.add(subscription)

    def start(self, subscription: Subscription, query: LogQuery, socket: Socket) -> None:
        """Replay what ``query`` names to a subscription that is registered and holds, then let it flow."""
        self._expected.discard(subscription)
        replay = Replay(subscription)
        task = asyncio.create_task(self._run(replay, subscription, query, socket), name="replay")
        self._tasks[subscription] = task
        task.add_done_callback(lambda _: self._tasks.pop(subscription, None))

    def stop(self, subscription: Subscription) -> None:
        """The subscription is gone. Idempotent."""
        self._expected.discard(subscription)
        task = self._tasks.pop(subscription, None)
        if task is not None:
            task.cancel()

    async def _run(self, replay: Replay, subscription: Subscription, query: LogQuery, socket: Socket) -> None:
        try:
            await self._stored()
            if query.newer_than_ms is not None:
                await self._same_millisecond(replay, subscription, query, socket)
            await self._read_on(replay, subscription, query, socket)
        except HubError as error:
            # What was promised cannot be kept now; a new connection can replay from where this one came to.
            log.info("a replay was given up", extra={"error": error.text})
            subscription.connection.close(CloseCode.TRY_LATER, "the log cannot be read now")
            self._visit(subscription.connection)
        except Exception:
            log.exception("a replay failed")
            subscription.connection.close(CloseCode.NO_SIGN_OF_LIFE, "internal error")
            self._visit(subscription.connection)

    async def _same_millisecond(
        self, replay: Replay, subscription: Subscription, query: LogQuery, socket: Socket
    ) -> None:
        """Send again what shares the cursor's millisecond, unless only one message does: the client has that one.

        They may be many, when the clock was set back; so they go page by page, like the rest of the log.
        """
        first = min(FIRST_PAGE, self._page)
        assert query.newer_than_ms is not None, "there is a time to begin at"
        at_ms = query.newer_than_ms
        query = replace(query, newer_than_ms=at_ms - 1, up_to_ms=at_ms, pending_at_ms=None, limit=first)
        found: list[Published] = []
        several = complete = False
        while not complete:
            async with self._turn(subscription):
                page = await self._read(query)
                messages, complete = [published(logged) for logged in page.messages], page.complete
                query = replace(query, after=page.read_to, limit=self._next_limit(messages))
                found += [one for one in messages if subscription.admits(one)]
                several = several or len(found) > 1
                if several:
                    await self._send(replay.accept([one for one in found if self._pending(one)]), subscription, socket)
                    found = []

    def _pending(self, one: Published) -> bool:
        message = one.message
        if not isinstance(message, Command):
            return True
        return not (message.updated or message.state is CommandState.CANCELLED or self._expired(message))

    async def _read_on(self, replay: Replay, subscription: Subscription, query: LogQuery, socket: Socket) -> None:
        query = replace(query, limit=min(FIRST_PAGE, self._page))
        while True:
            async with self._turn(subscription):
                page = await self._read(replace(query, pending_at_ms=self._pending_at(query.kind)))
                found = [published(logged) for logged in page.messages]
                await self._send(replay.accept(found), subscription, socket)
                query = replace(query, after=page.read_to, limit=self._next_limit(found))
                # From here to the release nothing is awaited, so nothing can come in between.
                self._fan_out.settle()
                overrun = replay.overrun(self._fan_out.position)
                if page.complete and not overrun:
                    break
                del page, found  # Not while others read: a page is half a megabyte.
            if overrun:
                await self._stored()
        replay.join(self._fan_out.position)
        # No longer one of us before it flows: whoever looks from now on sees a live subscription.
        self._tasks.pop(subscription, None)
        if not self._is_stale(subscription.connection):  # Otherwise it flows when its rights are known.
            self.drop_expired(subscription)
            self._fan_out.release(subscription)
            self._visit(subscription.connection)

    def _turn(self, subscription: Subscription) -> asyncio.Lock:
        return self._turns.setdefault(subscription.connection, asyncio.Lock())

    async def _read(self, query: LogQuery) -> Page:
        async with self._slots:
            return await self._store.read(query)

    def _next_limit(self, found: Sequence[Published]) -> int:
        """How many messages the next page may have, so that it is about ``PAGE_BYTES``."""
        size = sum(one.size() for one in found)
        return min(self._page, max(1, len(found) * PAGE_BYTES // size)) if size else self._page

    def drop_expired(self, subscription: Subscription) -> None:
        """Of what a subscription holds, drop the commands whose time has passed."""
        if subscription.held and subscription.kind is Kind.COMMAND and self._lifetime_enforced:
            subscription.held = [one for one in subscription.held if not self._expired(one.message)]

    def _expired(self, message: Message) -> bool:
        return self._lifetime_enforced and message.expired(self._now_ms())

    def _pending_at(self, kind: Kind) -> int | None:
        if kind is Kind.NOTIFICATION:
            return None
        # Without enforcement nothing is ever expired: ask as of the beginning of time.
        return self._now_ms() if self._lifetime_enforced else 0

    async def _send(self, messages: Sequence[Published], subscription: Subscription, socket: Socket) -> None:
        connection = subscription.connection
        most = min(PIECE_BYTES, connection.outbox.limit // 4)
        for piece in _pieces(messages, head=len(subscription.head), most=most):
            await socket.writable()
            # The reader may be slow, and meanwhile a lifetime may have ended or the rights may have changed.
            while self._is_stale(connection):  # noqa: ASYNC110
                await asyncio.sleep(STALE_S)
            due = [one for one in piece if subscription.admits(one) and not self._expired(one.message)]
            self._fan_out.replayed(subscription, due)
            self._visit(connection)
            await socket.writable()


def published(logged: Logged) -> Published:
    """A message from the log, on its way again."""
    return Published(logged.message, logged.network_id, logged.groups)


def _pieces(messages: Sequence[Published], *, head: int, most: int) -> Iterator[list[Published]]:
    piece: list[Published] = []
    size = 0
    for one in messages:
        piece.append(one)
        size += head + one.size()
        if size >= most:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def reach_of(clauses: Clauses, guids: frozenset[str] | None) -> Reach | None:
    """The union of what these clauses name, for the database to narrow down a read; None: everything."""
    named_guids: set[str] = set()
    named_networks: set[int] = set()
    named_groups: set[int] = set()
    for clause in clauses:
        narrowed = clause.narrowed(guids=guids)
        if narrowed is None:
            continue
        if narrowed.guids is not None:
            named_guids |= narrowed.guids
        elif narrowed.networks is not None:
            named_networks |= narrowed.networks
        elif narrowed.groups is not None:
            named_groups |= narrowed.groups
        else:
            return None
    return Reach(frozenset(named_guids), frozenset(named_networks), frozenset(named_groups))
