"""Buses inside one process: of a worker that is alone, and between gateways that share an event loop."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from hub.bus import Bundle, Receiver


class LocalBus:
    """Keeps the promises of :class:`hub.bus.Bus` for a worker that is alone: there is nobody to tell."""

    alone = True
    is_up = True

    async def open(self, receiver: Receiver) -> None:
        """Nobody will ever be heard."""

    async def close(self) -> None:
        """Nothing to leave."""

    def follow(self, topics: Iterable[int]) -> None:
        """There is nothing to hear."""

    def unfollow(self, topics: Iterable[int]) -> None:
        """There was nothing to hear."""

    def publish(self, bundle: Bundle) -> None:
        """Nobody listens."""

    def fence(self, passed: Callable[[], None]) -> None:
        """Nothing comes before anything."""
        asyncio.get_running_loop().call_soon(passed)

    def figures(self) -> Mapping[str, float]:
        return {}

    async def check(self) -> Mapping[str, str]:
        return {"kind": "in-process"}


class LocalExchange:
    """Joins the gateways of one event loop, for programs that embed several and for tests.

    Each gets a bus of its own with :meth:`bus`; what one publishes, the others hear in the loop's next turn.
    """

    def __init__(self) -> None:
        self.buses: list[ExchangeBus] = []
        self.is_up = True

    def bus(self) -> "ExchangeBus":
        bus = ExchangeBus(self)
        self.buses.append(bus)
        return bus

    def cut(self) -> None:
        """Lose every connection, until :meth:`mend`."""
        self.is_up = False
        for bus in self.buses:
            bus.part()

    def mend(self) -> None:
        self.is_up = True
        for bus in self.buses:
            bus.join()


class ExchangeBus:
    """One gateway's end of a :class:`LocalExchange`."""

    alone = False

    def __init__(self, exchange: LocalExchange) -> None:
        self._exchange = exchange
        self._receiver: Receiver | None = None
        self._topics: set[int] = set()
        self._heard: set[int] = set()
        """Of the topics, those that the receiver was told to be joined."""
        self.lost = 0
        """Bundles of others that did not get here."""

    @property
    def is_up(self) -> bool:
        return self._exchange.is_up and self._receiver is not None

    async def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._exchange.is_up:
            self._hear_from_now_on(set(self._topics))

    async def close(self) -> None:
        self._receiver = None
        with suppress(ValueError):
            self._exchange.buses.remove(self)

    def follow(self, topics: Iterable[int]) -> None:
        fresh = set(topics) - self._topics
        self._topics |= fresh
        if fresh and self.is_up:
            asyncio.get_running_loop().call_soon(self._joined, fresh)

    def _joined(self, topics: set[int]) -> None:
        if self.is_up and self._receiver is not None:
            self._hear_from_now_on(topics & self._topics)

    def _hear_from_now_on(self, topics: set[int]) -> None:
        assert self._receiver is not None, "whoever calls has looked"
        self._heard |= topics
        self._receiver.joined(topics)

    def unfollow(self, topics: Iterable[int]) -> None:
        gone = set(topics)
        self._topics -= gone
        self._heard -= gone

    def part(self) -> None:
        self._heard.clear()
        if self._receiver is not None:
            self._receiver.parted()

    def join(self) -> None:
        if self._receiver is not None:
            self._hear_from_now_on(set(self._topics))

    def publish(self, bundle: Bundle) -> None:
        loop = asyncio.get_running_loop()
        for other in self._exchange.buses:
            if other is not self:
                loop.call_soon(other.hear, bundle)

    def fence(self, passed: Callable[[], None]) -> None:
        # Behind whatever the loop already has to deliver, here and to the others.
        asyncio.get_running_loop().call_soon(passed)

    def hear(self, bundle: Bundle) -> None:
        if not self.is_up or self._receiver is None:
            self.lost += 1
            return
        sections = [section for section in bundle.sections if section.topic in self._heard]
        if sections or bundle.tells_everybody:
            self._receiver.deliver(replace(bundle, sections=sections))

    def figures(self) -> Mapping[str, float]:
        return {}

    async def check(self) -> Mapping[str, str]:
        return {"kind": "in-process"}
