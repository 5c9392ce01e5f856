"""One life of all connections to Redis, from the first to be made to the first to be lost."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby

from redis.exceptions import ResponseError

from hub.bus.redis_address import Address
from hub.bus.redis_link import Command, Link, Lost
from hub.bus.redis_listener import PING_S, Listener
from hub.bus.redis_nodes import Nodes, discover
from hub.bus.redis_pending import Parcel, Pending

GATHER_S = 0.001
"""Between the beginnings of two round trips at load: what comes one by one is joined, which takes a stream of single
messages from 10,000 to 35,000 a second. A bundle that has waited alone goes at once."""

READY_S = 5.0
"""How long the first subscriptions may take to be confirmed."""


class Counts:
    """What was sent over all sessions of a bus."""

    def __init__(self) -> None:
        self.bundles = self.messages = self.commands = self.dropped = 0


class Session:
    """Two connections to each node: one publishes, the other subscribes.

    Args:
        heard: called with the data of each message.
        confirmed: called with channels that are subscribed from now on; the first time with all that
            are, once every node has confirmed its own.
    """

    def __init__(
        self,
        address: Address,
        pending: Pending,
        *,
        prefix: str,
        counts: Counts,
        heard: Callable[[bytes], None],
        confirmed: Callable[[list[bytes]], None],
    ) -> None:
        self.ready = asyncio.Event()
        self._address = address
        self._pending = pending
        self._prefix = prefix
        self._counts = counts
        self._heard = heard
        self._on_confirmed = confirmed
        self._nodes = Nodes(False, (address,))
        self._links: list[Link] = []
        """All that were ever begun, to be closed."""
        self._publishers: list[Link] = []
        self._listeners: list[Listener] = []
        self._unconfirmed: set[bytes] = set()
        self._first: list[bytes] = []
        self._asked_at: list[float] = []
        self._offered = asyncio.Event()
        self._sent_all = asyncio.Event()
        self._fences: list[Callable[[], None]] = []
        self._passing: deque[list[Callable[[], None]]] = deque()
        """Fences that are on their way, those of each round trip."""

    @property
    def lag_s(self) -> float:
        """The round trip to the slowest node."""
        return max((listener.lag_s for listener in self._listeners), default=0.0)

    async def run(self, channels: Callable[[], list[bytes]]) -> None:
        """Connect, subscribe, publish, until something fails.

        Args:
            channels: asked when the connections are made: what to subscribe first.

        Raises:
            Lost: what failed first. All connections are closed.
        """
        try:
            await self._connect()
            self._subscribe(channels())
            async with asyncio.TaskGroup() as group:
                group.create_task(self._become_ready())
                group.create_task(self._publish())
                for listener in self._listeners:
                    group.create_task(listener.keep())
                    group.create_task(listener.read())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            for link in self._links:
                await link.close()

    async def _connect(self) -> None:
        seed = await self._link(self._address)
        self._nodes = await discover(seed)
        if self._nodes.cluster:
            await seed.close()
            self._publishers = [await self._link(address) for address in self._nodes.addresses]
        else:
            self._publishers = [seed]
        links = [await self._link(address) for address in self._nodes.addresses]
        self._listeners = [self._listener(link) for link in links]
        self._asked_at = [asyncio.get_running_loop().time()] * len(self._publishers)

    async def _link(self, address: Address) -> Link:
        link = Link(address)
        self._links.append(link)
        await link.connect()
        return link

    def _listener(self, link: Link) -> Listener:
        return Listener(link, sharded=self._nodes.cluster, heard=self._heard, confirmed=self._confirmed)

    # --- subscribing --------------------------------------------------------------------------------------------------

    def want(self, channels: Iterable[bytes]) -> None:
        """Subscribe. Before there are connections nothing is done: :meth:`run` asks what is wanted then."""
        self._each(channels, Listener.want)

    def unwant(self, channels: Iterable[bytes]) -> None:
        """Subscribe no more."""
        channels = list(channels)
        self._each(channels, Listener.unwant)
        self._confirmed_first([], given_up=channels)

    def _each(self, channels: Iterable[bytes], act: Callable[[Listener, Iterable[bytes]], None]) -> None:
        if self._listeners:
            for node, its in groupby(sorted(channels, key=self._nodes.of), key=self._nodes.of):
                act(self._listeners[node], list(its))

    def _subscribe(self, channels: list[bytes]) -> None:
        self._unconfirmed = set(channels)
        self.want(channels)

    def _confirmed(self, channels: list[bytes]) -> None:
        if self.ready.is_set():
            self._on_confirmed(channels)
        else:
            self._confirmed_first(channels)

    def _confirmed_first(self, channels: list[bytes], *, given_up: Iterable[bytes] = ()) -> None:
        """Nothing is told before everything that was asked for at first is confirmed, or not wanted any more."""
        if self.ready.is_set() or not self._listeners:
            return
        self._first += channels
        self._unconfirmed.difference_update(channels, given_up)
        if not self._unconfirmed:
            self._pending.wide = not self._nodes.cluster
            self.ready.set()
            self._on_confirmed(self._first)

    async def _become_ready(self) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await self.ready.wait()
        except TimeoutError:
            raise Lost(f"{self._address.place}: subscriptions were not confirmed in time") from None

    # --- publishing ---------------------------------------------------------------------------------------------------

    def offered(self) -> None:
        """Something waits to be sent."""
        self._sent_all.clear()
        self._offered.set()

    def fence(self, passed: Callable[[], None]) -> None:
        """Call back when all that was offered is at its node, and all that was there before it was heard."""
        self._fences.append(passed)
        self.offered()

    def let_pass(self) -> None:
        """Nothing is sent or heard any more: call back for every fence."""
        passing, self._fences = [*self._passing, self._fences], []
        self._passing.clear()
        for passed in (passed for fences in passing for passed in fences):
            passed()

    async def flushed(self) -> None:
        """Wait until nothing does any more."""
        if self._pending:
            await self._sent_all.wait()

    async def _publish(self) -> None:
        """One round trip at a time: what comes meanwhile is joined, and goes with the next."""
        loop = asyncio.get_running_loop()
        while True:
            if self._pending or self._fences:
                next_at = loop.time() + GATHER_S
                waiting = self._pending.bundles
                parcels = self._pending.take()
                step = None if self._pending or not self._fences else await self._begin_fence()
                await self._send_counted(parcels, waiting - self._pending.bundles)
                if step is not None:
                    step()
                if waiting > 1:
                    await asyncio.sleep(max(0.0, next_at - loop.time()))
            else:
                self._sent_all.set()
                await self._rest()

    async def _begin_fence(self) -> Callable[[], None]:
        """Have each node tell how far it was heard. Returns what to call when everything is sent."""
        self._passing.append(self._fences)
        self._fences = []
        left = 1 + len(self._listeners)

        def step() -> None:
            nonlocal left
            left -= 1
            if not left:
                for passed in self._passing.popleft():
                    passed()

        for listener in self._listeners:
            await listener.echo(step)
        return step

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(PING_S):
                await self._offered.wait()
        except TimeoutError:
            await self._send([])
        self._offered.clear()

    async def _send_counted(self, parcels: list[Parcel], bundles: int) -> None:
        try:
            await self._send(parcels)
        except BaseException:
            # Perhaps some of it got there; nobody can tell.
            self._counts.dropped += bundles
            raise
        self._counts.bundles += bundles

    async def _send(self, parcels: list[Parcel]) -> None:
        if not self._nodes.cluster:
            await self._ask(0, parcels)
            return
        shares: dict[int, list[Parcel]] = {node: [] for node in range(len(self._publishers))}
        for parcel in parcels:
            if parcel.topic is not None:
                shares[self._nodes.of(self._channel(parcel))].append(parcel)
        async with asyncio.TaskGroup() as group:
            for node, share in shares.items():
                group.create_task(self._ask(node, share))
        # What is told to everybody speaks of what was published before it, on other nodes perhaps.
        told = [parcel for parcel in parcels if parcel.topic is None]
        if told:
            await self._ask(self._nodes.of(self._channel(told[0])), told)

    def _channel(self, parcel: Parcel) -> bytes:
        return channel_of(self._prefix, parcel.topic)

    async def _ask(self, node: int, parcels: list[Parcel]) -> None:
        """Publish at one node; ping it when nothing was said to it for a while."""
        now = asyncio.get_running_loop().time()
        verb = "SPUBLISH" if self._nodes.cluster else "PUBLISH"
        commands: list[Command] = [(verb, self._channel(parcel), parcel.data) for parcel in parcels]
        if not commands:
            if now - self._asked_at[node] < PING_S * 0.9:
                return
            commands = [("PING",)]
        self._asked_at[node] = now
        answers = await self._publishers[node].pipeline(commands)
        self._counts.commands += len(commands)
        for parcel, answer in zip(parcels, answers, strict=False):
            if isinstance(answer, ResponseError):
                self._counts.dropped += 1
            else:
                self._counts.messages += parcel.items


def channel_of(prefix: str, topic: int | None) -> bytes:
    """The channel of a topic, or that of everybody."""
    return f"{prefix}:{'all' if topic is None else topic}".encode()
