"""The subscriptions at one node: asked for in batches, confirmed, and kept under watch."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Any

from hub.bus.redis_link import Command, Link, Lost

PING_S = 1.0
PINGS = 3
"""So many turns of ``PING_S`` without a sign of life, and the connection is given up. Turns are counted instead of
time, because a worker that was itself held up for seconds must not blame Redis."""

ECHO = b"echo"
"""What is said in a ping whose answer somebody waits for."""

BATCH = 64
"""Channels in one command."""


class Listener:
    """Makes the subscriptions at one node what they shall be. Two tasks, both of which end with ``Lost``: :meth:`read`,
    the only one that reads, and :meth:`keep`, which writes. Whoever asks for an :meth:`echo` writes, too.

    Args:
        heard: called with the data of each message.
        confirmed: called with channels that are subscribed from now on, in the order of the messages.
    """

    def __init__(
        self,
        link: Link,
        *,
        sharded: bool,
        heard: Callable[[bytes], None],
        confirmed: Callable[[list[bytes]], None],
    ) -> None:
        self.link = link
        self.lag_s = 0.0
        """How long the last ping took."""
        self._verbs = ("SSUBSCRIBE", "SUNSUBSCRIBE") if sharded else ("SUBSCRIBE", "UNSUBSCRIBE")
        # Channels of one sharded command must share a slot.
        self._batch = 1 if sharded else BATCH
        self._heard = heard
        self._confirmed = confirmed
        self._wanted: set[bytes] = set()
        self._asked: dict[bytes, int] = {}
        """Subscribed or about to be: by which batch."""
        self._batches: deque[list[bytes]] = deque()
        """Asked for and not yet confirmed, oldest first: Redis answers in order."""
        self._first_batch = 0
        self._answers = 0
        self._leaving: Counter[bytes] = Counter()
        self._again: list[bytes] = []
        self._wake = asyncio.Event()
        self._pinged_at: float | None = None
        self._silent = 0
        self._echoes: deque[Callable[[], None]] = deque()

    def want(self, channels: Iterable[bytes]) -> None:
        """Subscribe. What is subscribed already is confirmed once more."""
        for channel in channels:
            self._wanted.add(channel)
            self._again.append(channel)
        self._wake.set()

    def unwant(self, channels: Iterable[bytes]) -> None:
        self._wanted.difference_update(channels)
        self._wake.set()

    # --- writing ------------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Ask for what is wanted, and ping once a second."""
        loop = asyncio.get_running_loop()
        ping_at = loop.time()
        while True:
            await self._reconcile()
            if loop.time() >= ping_at:
                await self._ping()
                ping_at = loop.time() + PING_S
            await self._wait(ping_at - loop.time())

    async def _wait(self, at_most_s: float) -> None:
        try:
            async with asyncio.timeout(at_most_s):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _reconcile(self) -> None:
        gone = [channel for channel in self._asked if channel not in self._wanted]
        again = [channel for channel in self._again if channel in self._wanted and channel in self._asked]
        fresh = [channel for channel in self._wanted if channel not in self._asked]
        self._again.clear()
        self._forget(gone)
        batches = [fresh[at : at + self._batch] for at in range(0, len(fresh), self._batch)]
        for batch in batches:
            self._asked.update(dict.fromkeys(batch, self._first_batch + len(self._batches)))
            self._batches.append(batch)
        waiting = {self._first_batch + at for at in range(len(self._batches))}
        if ready := [channel for channel in again if self._asked[channel] not in waiting]:
            self._confirmed(ready)
        subscribe, unsubscribe = self._verbs
        commands: list[Command] = [(unsubscribe, channel) for channel in gone]
        commands += [(subscribe, *batch) for batch in batches]
        if commands:
            await self.link.write(commands)

    def _forget(self, channels: list[bytes]) -> None:
        for channel in channels:
            del self._asked[channel]
            self._leaving[channel] += 1

    async def _ping(self) -> None:
        if self._silent >= PINGS:
            await self.link.close()
            raise Lost(f"{self.link.address.place}: no sign of life for {PINGS * PING_S:.0f} s")
        self._silent += 1
        if self._pinged_at is None:
            self._pinged_at = asyncio.get_running_loop().time()
            await self.link.write([("PING",)])

    async def echo(self, heard: Callable[[], None]) -> None:
        """Call back when everything was heard that was published at this node until now."""
        self._echoes.append(heard)
        await self.link.write([("PING", ECHO)])

    # --- reading ------------------------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Take what comes, until the connection ends."""
        while True:
            answer = await self.link.read()
            self._silent = 0
            if answer == b"PONG":  # nothing is subscribed yet
                self._ponged()
            elif answer == ECHO:
                self._echoes.popleft()()
            else:
                self._take(answer)

    def _take(self, answer: list[Any]) -> None:
        match answer:
            case [b"message" | b"smessage", _, bytes(data)]:
                self._heard(data)
            case [b"pong", said] if said == ECHO:
                self._echoes.popleft()()
            case [b"pong", *_]:
                self._ponged()
            case [b"subscribe" | b"ssubscribe", *_]:
                self._subscribed()
            case [b"unsubscribe" | b"sunsubscribe", bytes(channel), _]:
                self._unsubscribed(channel)
            case _:
                raise Lost(f"{self.link.address.place}: an answer that Redis does not give")

    def _ponged(self) -> None:
        if self._pinged_at is not None:
            self.lag_s = asyncio.get_running_loop().time() - self._pinged_at
            self._pinged_at = None

    def _subscribed(self) -> None:
        self._answers += 1
        if not self._batches or self._answers < len(self._batches[0]):
            return
        number = self._first_batch
        batch = self._batches.popleft()
        self._first_batch, self._answers = number + 1, 0
        # A channel that was left and asked for again since then is confirmed by its later batch.
        self._confirmed([channel for channel in batch if self._asked.get(channel) == number])

    def _unsubscribed(self, channel: bytes) -> None:
        if self._leaving[channel] <= 0:
            # The slot of this channel has moved to another node, which nobody but this tells.
            raise Lost(f"{self.link.address.place}: the cluster has changed")
        self._leaving[channel] -= 1
        if not self._leaving[channel]:
            del self._leaving[channel]
