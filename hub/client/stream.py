"""Messages as they come, for ``async for``: in order, without repetitions, across reconnects."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Generic, Protocol, Self, TypeVar

from hub.client.errors import ClientError, NoAnswer
from protocol.client_events import MessageView, Subscribed, Subscription

T = TypeVar("T")


class Source(Protocol):
    """What a stream needs of the session that feeds it."""

    async def open_stream(self, stream: "Stream[Any]", *, timeout_s: float) -> None: ...

    def close_stream(self, stream: "Stream[Any]") -> None: ...

    def resume_stream(self, stream: "Stream[Any]") -> None: ...


class Stream(Generic[T]):
    """Messages of one subscription. It begins with the first ``async for``, or with ``async with``.

    A reader that falls behind by ``queue_limit`` messages costs neither memory nor the connection: the subscription is
    given back, and asked for again from the same place once half of what waits has been read. What the hub no longer
    stores by then is reported as any other gap.

    Attributes:
        recovered: whether the hub sent everything after the last resume point; None: it was not asked, or does not say.
        missed: what it could not send: ``reason``, ``after``, ``before``; None: nothing.
        dropped: how many messages the subscription's overflow policy has left out.
    """

    def __init__(
        self,
        source: Source,
        subscription: Subscription,
        wrap: Callable[[Any], T],
        *,
        queue_limit: int,
        timeout_s: float,
    ) -> None:
        self.recovered: bool | None = None
        self.missed: Mapping[str, Any] | None = None
        self.dropped = 0
        self.subscription = subscription
        self._source = source
        self._wrap = wrap
        self._queue: deque[MessageView] = deque()
        self._position = subscription.position
        self._queue_limit = queue_limit
        self._timeout_s = timeout_s
        self._news = asyncio.Event()
        self._opened = False
        self._closed = False
        self._error: ClientError | None = None

    def __repr__(self) -> str:
        return f"<Stream of {self.subscription!r} waiting={len(self._queue)}>"

    @property
    def position(self) -> int | None:
        """The id to give as ``since`` to go on after the last message that was read; None: unknown."""
        return self._position if self._queue else self.subscription.position

    async def open(self, *, timeout_s: float | None = None) -> None:
        """Subscribe and wait for the hub's answer; later calls do nothing.

        Raises:
            HubRefused: the hub does not allow it.
            NoAnswer: it did not answer in time.
        """
        if not self._opened:
            await self._source.open_stream(self, timeout_s=self._timeout_s if timeout_s is None else timeout_s)
            self._opened = True

    def close(self) -> None:
        """Unsubscribe; iterations end. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self._queue.clear()
            self._source.close_stream(self)
            self._news.set()

    async def next(self, *, timeout_s: float) -> T:
        """The next message.

        Raises:
            NoAnswer: none came in time.
            StopAsyncIteration: the stream was closed.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self.__anext__()
        except TimeoutError as exc:
            raise NoAnswer(f"no message within {timeout_s:g} s") from exc

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if not self._closed:
            await self.open()
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        message = self._queue.popleft()
        if self.subscription.position is not None:
            self._position = max(message.id, self._position or 0)
        if self.subscription.paused and len(self._queue) <= self._queue_limit // 2:
            self._source.resume_stream(self)
        return self._wrap(message)

    # --- from the session ---

    def offer(self, message: MessageView, dropped: int) -> bool:
        """Queue a message. Returns whether there is room for the next; if not, it is taken all the same."""
        self.dropped += dropped
        if not self._closed:
            self._queue.append(message)
            self._news.set()
        return len(self._queue) < self._queue_limit

    def note(self, event: Subscribed) -> None:
        """Keep what the hub said about the resume point."""
        self.recovered, self.missed = event.recovered, event.missed
        if self._position is None:
            self._position = self.subscription.position

    def fail(self, error: ClientError | None) -> None:
        """End with an error once what waits has been read; None: end without one."""
        if error is None:
            self._closed = True
        self._error = error
        self._news.set()
