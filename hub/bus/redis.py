"""A bus over Redis pub/sub: one Redis, or a Redis Cluster with sharded channels.

Two connections, both watched: a failure of either parts from the bus, and all is made anew until it works. Nothing is
kept for later, here or in Redis: whoever was away reads the log.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from hub.bus import Bundle, Receiver
from hub.bus.redis_address import Address
from hub.bus.redis_link import Link, Lost
from hub.bus.redis_nodes import ask_server
from hub.bus.redis_pending import Pending
from hub.bus.redis_session import Counts, Session, channel_of
from hub.bus.wire import LIMIT_BYTES, Malformed, decode, sender_mark, sender_of

log = logging.getLogger("hub.bus")

BUFFER_BYTES = 32 << 20
OPEN_S = 2.0
CLOSE_S = 1.0
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 1.0

_MOST_RUNS = 64
"""Own names that are remembered; a gateway has one."""


class RedisBus:
    """Keeps the promises of :class:`hub.bus.Bus` over Redis.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``; of a cluster, any of its nodes.
        prefix: of the names of all channels, so that hubs can share a Redis.
        buffer_bytes: how much may wait to be sent; what comes beyond it is dropped.
        limit_bytes: of one Redis message that is received.

    Raises:
        CannotOpen: the URL can never lead to a Redis server.
    """

    alone = False

    def __init__(
        self, url: str, *, prefix: str = "hub", buffer_bytes: int = BUFFER_BYTES, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._address = Address.parse(url)
        self._prefix = prefix
        self._limit_bytes = limit_bytes
        self._pending = Pending(buffer_bytes)
        self._receiver: Receiver | None = None
        self._followed: set[int] = set()
        self._heard: set[int] = set()
        """Of the followed topics, those that the receiver was told to be joined."""
        self._topics = {channel_of(prefix, None): -1}
        self._own: dict[bytes, None] = {}
        self._counts = Counts()
        self._received = self._refused = self._joins = 0
        self._session: Session | None = None
        self._up = False
        self._complaint = ""
        self._tried = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RedisBus {self._address.place} {'up' if self._up else 'away'}>"

    @property
    def is_up(self) -> bool:
        return self._up

    async def open(self, receiver: Receiver) -> None:
        """Join, or return after the first attempt has failed; it goes on in the background."""
        self._receiver = receiver
        self._supervisor = asyncio.create_task(self._supervise(), name="redis-bus")
        with suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S):
                await self._tried.wait()

    async def close(self) -> None:
        if self._supervisor is None:
            return
        if self._up and self._session is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._session.flushed()
        self._receiver = None
        supervisor, self._supervisor = self._supervisor, None
        supervisor.cancel()
        with suppress(asyncio.CancelledError):
            await supervisor

    # --- topics -------------------------------------------------------------------------------------------------------

    def follow(self, topics: Iterable[int]) -> None:
        fresh = set(topics) - self._followed
        self._followed |= fresh
        self._change(fresh, follow=True)

    def unfollow(self, topics: Iterable[int]) -> None:
        gone = self._followed.intersection(topics)
        self._followed -= gone
        self._heard -= gone
        self._change(gone, follow=False)

    def _change(self, topics: set[int], *, follow: bool) -> None:
        if not topics or self._session is None:
            return
        try:
            (self._session.want if follow else self._session.unwant)(self._channels(topics))
        except Lost:
            # A cluster that lacks a node notices it by itself.
            log.debug("a topic has no node", exc_info=True)

    def _channels(self, topics: Iterable[int]) -> list[bytes]:
        channels = {channel_of(self._prefix, topic): topic for topic in topics}
        self._topics |= channels
        return list(channels)

    # --- publishing ---------------------------------------------------------------------------------------------------

    def publish(self, bundle: Bundle) -> None:
        if not self._up or self._session is None or not self._remember(bundle.worker):
            self._counts.dropped += 1
            return
        if self._pending.offer(bundle):
            self._session.offered()
        else:
            self._counts.dropped += 1

    def fence(self, passed: Callable[[], None]) -> None:
        if self._up and self._session is not None:
            self._session.fence(passed)
        else:
            asyncio.get_running_loop().call_soon(passed)

    def _remember(self, worker: str) -> bool:
        try:
            mark = sender_mark(worker)
        except ValueError:
            return False
        if mark not in self._own:
            self._own[mark] = None
            if len(self._own) > _MOST_RUNS:
                del self._own[next(iter(self._own))]
        return True

    # --- hearing ------------------------------------------------------------------------------------------------------

    def _hear(self, data: bytes) -> None:
        if not self._up or sender_of(data) in self._own:
            return
        try:
            bundle = decode(data, self._heard, limit_bytes=self._limit_bytes)
        except Malformed:
            self._refused += 1
            return
        if self._receiver is not None and (bundle.sections or bundle.tells_everybody):
            self._received += 1
            try:
                self._receiver.deliver(bundle)
            except Exception:
                # One of the loops that must survive: the receiver's mistake ends nothing.
                log.exception("a bundle could not be delivered")

    def _confirmed(self, channels: list[bytes]) -> None:
        topics = {self._topics[channel] for channel in channels} & self._followed
        if not self._up:
            self._up = True
            self._joins += 1
            self._tried.set()
            self._complaint = ""
            log.info("the bus is there", extra={"place": self._address.place})
        elif not topics:
            return
        self._heard |= topics
        if self._receiver is not None:
            self._receiver.joined(topics)

    # --- the connections ----------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            began_s = loop.time()
            try:
                await self._live()
            except OSError as exc:
                self._complain(str(exc))
            except Exception as exc:
                # One of the loops that must survive: whatever it was, the next attempt may do better.
                self._complain(type(exc).__name__)
                log.exception("the bus failed")
            self._tried.set()
            # A connection that has lasted earns a quick return.
            pause_s = FIRST_PAUSE_S if loop.time() - began_s > LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311

    async def _live(self) -> None:
        session = self._session = Session(
            self._address,
            self._pending,
            prefix=self._prefix,
            counts=self._counts,
            heard=self._hear,
            confirmed=self._confirmed,
        )
        try:
            await session.run(lambda: [*self._channels(self._followed), channel_of(self._prefix, None)])
        finally:
            self._session = None
            self._part()
            session.let_pass()

    def _part(self) -> None:
        if not self._up:
            return
        self._up = False
        self._heard.clear()
        self._counts.dropped += self._pending.clear()
        if self._receiver is not None:
            self._receiver.parted()

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            log.warning("the bus is away", extra={"place": self._address.place, "error": why})

    # --- what is seen of it -------------------------------------------------------------------------------------------

    def figures(self) -> Mapping[str, float]:
        counts, session = self._counts, self._session
        return {
            "bundles_sent": counts.bundles,
            "bundles_received": self._received,
            "messages_sent": counts.messages,
            "commands_sent": counts.commands,
            "dropped": counts.dropped,
            "refused": self._refused,
            "reconnects": max(0, self._joins - 1),
            "buffered_bytes": self._pending.size_bytes,
            "up": int(self._up),
            "lag_ms": 0.0 if session is None else session.lag_s * 1e3,
        }

    async def check(self) -> Mapping[str, str]:
        link = Link(self._address)
        try:
            await link.connect()
            server = await ask_server(link)
        finally:
            await link.close()
        return {
            "kind": "redis",
            "version": server.version or "unknown",
            "place": self._address.place,
            "cluster": "yes" if server.cluster else "no",
        }
