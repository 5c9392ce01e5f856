"""Long polls: requests that wait for messages on the same fan-out as sockets do.

To the gateway a poll is a connection whose socket writes nothing: what it subscribes to holds its messages and wakes
the request at the end of the turn that brought them; changes of rights and the end of the process reach it as they
reach a socket. It needs no thread, and no question to the database while it waits.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hub.core.access import Peer, Principal
from hub.core.connection import Connection, ConnectionLimits
from hub.core.polls import MOST, Gathered
from hub.gateway.admission import retry_after_s
from hub.gateway.replays import published
from hub.store import SPREAD_MS, LogQuery
from protocol.codecs import JSON
from protocol.errors import NOT_AUTHENTICATED, TOO_MANY, HubError, StoreUnavailable
from protocol.names import Endpoint

if TYPE_CHECKING:
    from hub.gateway import Gateway

AT_ONCE = 32
"""How many polls are woken in one turn of the loop: an answer takes a tenth of a millisecond, and there may be
thousands who wait for the same message."""

OTHERS_S = 1.0
"""How long an answer is held back, at most, for what other workers may still commit before its end."""

OWN_S = 5.0
"""The same of this worker. An insert that takes longer is refused with 503."""

PASS_AGAIN_S = 0.001

PER_KEY_RETRY_S = 1

READERS = 16
"""How many polls read the log at a time; the others stand in line here, where no time limit of the store counts."""

_LIMITS = ConnectionLimits(outbox_bytes=4_096)
"""Nothing is ever written to a poll; an update that it is pushed only wakes it."""

Gone = Callable[[], Coroutine[Any, Any, None]]
"""Returns when whoever asked has gone."""


class Poll:
    """One request that waits; to the gateway, the socket under its connection."""

    __slots__ = ("_gone", "_has_news", "_is_late", "_polls", "_timer", "_waiter", "connection")

    # For whoever writes to many sockets at once: this one takes no bytes, and wants a visit of its own.
    fd = -1
    transport = None

    def __init__(self, polls: "Polls", connection: Connection) -> None:
        self.connection = connection
        self._polls = polls
        self._has_news = False
        self._is_late = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone: asyncio.Task[None] | None = None

    # --- as a socket

    def visit(self) -> None:
        """Something has come, or the connection is to end: wake the request, with some others in each turn."""
        self._polls.wake(self)

    def abort(self) -> None:
        self.wake()

    async def writable(self) -> None:
        """It always is."""

    # --- waiting

    def begin(self, wait_s: float, gone: Gone | None) -> None:
        """Wait for so long from now on, but not for somebody who has gone. Once; :meth:`end` follows."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(wait_s, self._late)
        if gone is not None:
            self._gone = loop.create_task(gone(), name="gone")
            self._gone.add_done_callback(self._late)

    @property
    def has_begun(self) -> bool:
        return self._timer is not None

    @property
    def is_over(self) -> bool:
        """Whether it is time to answer, with or without messages."""
        return self._is_late or self._polls.ended

    async def news(self) -> None:
        """Return when there is something to look at: a message, a change of rights, the end of the time."""
        if not self._has_news:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
            self._waiter = None
        self._has_news = False

    def wake(self) -> None:
        self._has_news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _late(self, _: object = None) -> None:
        self._is_late = True
        self.wake()

    def end(self) -> None:
        """Leave nothing behind. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._gone is not None:
            self._gone.cancel()


class Polls:
    """The long polls of one worker."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self._open: dict[Connection, Poll] = {}
        self._per_key: Counter[str] = Counter()
        self._awake: deque[Poll] = deque()
        self._readers = asyncio.Semaphore(READERS)
        self.answered: Counter[str] = Counter()
        """How polls ended: with ``messages``, ``empty``, or ``refused``."""
        self.ended = False
        """Whether nobody waits any more: the process shuts down."""

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._open

    @property
    def waiting(self) -> list[Poll]:
        """Those under way, also those that do not wait yet."""
        return list(self._open.values())

    # --- one poll

    @contextmanager
    def opened(self, principal: Principal, peer: Peer, *, epoch: int) -> Iterator[Poll]:
        """A poll of this principal.

        Args:
            epoch: of the rights, when reading about the principal began.

        Raises:
            LimitReached: too many, of this principal or in all.
        """
        self._check(principal.identity)
        gateway, identity = self._gateway, principal.identity
        connection = Connection(endpoint=Endpoint.CLIENT, codec=JSON, peer=peer, limits=_LIMITS, tally=gateway.tally)
        connection.principal = principal
        poll = self._open[connection] = Poll(self, connection)
        self._per_key[identity] += 1
        gateway.connect(connection, poll)
        if epoch != gateway.rights.epoch:
            gateway.rights.mark_stale(connection)
        try:
            yield poll
        except BaseException:
            self.answered["refused"] += 1
            raise
        finally:
            poll.end()
            gateway.disconnect(connection)
            del self._open[connection]
            self._per_key[identity] -= 1
            if not self._per_key[identity]:
                del self._per_key[identity]

    def _check(self, identity: str) -> None:
        policy = self._gateway.policy
        if policy.polls_per_key and self._per_key[identity] >= policy.polls_per_key:
            raise _too_many(policy.polls_per_key, "long polls of one key", "polls-per-key", PER_KEY_RETRY_S)
        if len(self._open) >= policy.polls:
            raise _too_many(policy.polls, "long polls", "polls", retry_after_s())

    # --- all of them

    def wake(self, poll: Poll) -> None:
        """Wake a poll soon, in its turn."""
        if not self._awake:
            asyncio.get_running_loop().call_soon(self._wake_some)
        self._awake.append(poll)

    def _wake_some(self) -> None:
        for _ in range(min(AT_ONCE, len(self._awake))):
            self._awake.popleft().wake()
        if self._awake:
            asyncio.get_running_loop().call_soon(self._wake_some)

    def end(self) -> None:
        """Answer everybody with what there is, and let nobody wait any more."""
        self.ended = True
        for poll in self._open.values():
            self.wake(poll)

    # --- what an answer needs

    async def settled(self, connection: Connection) -> None:
        """Return when the rights of a poll are those of now.

        Raises:
            Unauthorized: its principal is no longer valid.
            StoreUnavailable: they cannot be read.
        """
        if self._gateway.rights.is_stale(connection):
            await self._gateway.rights.settled(connection)
        if connection.closing is not None:
            raise NOT_AUTHENTICATED.error()

    async def read(self, gathered: Gathered, query: LogQuery) -> None:
        """Read to a poll what the log has for it: up to the time that is asked for, or until there is enough for an
        answer.

        Raises:
            StoreUnavailable: the log cannot be read.
        """
        gateway, complete, asks_all = self._gateway, False, query.up_to_ms is not None
        await gateway.all_stored()
        query = replace(query, limit=MOST + 1, spread_ms=0 if gateway.bus.alone else SPREAD_MS)
        async with self._readers:
            while not complete:
                page = await gateway.store.read(query)
                gathered.add([published(logged) for logged in page.messages])
                query = replace(query, after=page.read_to, limit=gateway.policy.replay_page)
                complete = page.complete
                if complete or asks_all:
                    continue
                if (border_ms := gathered.border(gateway.expiry_ms())) and gathered.is_full:
                    # Only what comes before is of interest any more. One worker gives timestamps in order.
                    complete = not query.spread_ms and page.messages[-1].message.timestamp_ms > border_ms
                    query = replace(query, up_to_ms=border_ms)

    async def pass_by(self, timestamp_ms: int) -> None:
        """Return when nothing with this timestamp or an earlier one can come any more, on any worker; after a few
        seconds in any case, for then the database or the bus does not answer."""
        gateway = self._gateway
        if not (gateway.bus.alone and gateway.ids.pass_by(timestamp_ms) and gateway.commits.is_idle):
            with suppress(TimeoutError, StoreUnavailable):
                async with asyncio.timeout(OWN_S):
                    while not gateway.ids.pass_by(timestamp_ms):  # noqa: ASYNC110 - it is the clock that has to move
                        await asyncio.sleep(PASS_AGAIN_S)
                    await gateway.all_ended()
        if not gateway.bus.alone:
            with suppress(TimeoutError):
                async with asyncio.timeout(OTHERS_S):
                    await gateway.others.pass_by(timestamp_ms)


def _too_many(value: int, what: str, name: str, again_s: float) -> HubError:
    return TOO_MANY.error(value=value, what=what, detail={"limit": name, "value": value}, retry_after_s=again_s)
