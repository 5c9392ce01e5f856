"""Following messages: what ``hub tail`` does once it knows what is wanted. Imported when it is needed."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hub.cli.output import note, shown
from hub.client import Hub, HubRefused, Profile, Stream, connect
from protocol.client_events import MessageView
from protocol.names import Kind

Print = Callable[[MessageView], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show.

    Attributes:
        since: stored messages with a greater id come first; None: only live ones.
        timestamp: the same by time.
        count: how many messages; None: until interrupted.
    """

    kinds: tuple[Kind, ...]
    devices: list[str] | None
    names: list[str] | None
    since: int | None
    timestamp: str | None
    count: int | None


class Watch:
    """Prints the messages of one or two subscriptions.

    Attributes:
        last: the greatest id that was printed; None: nothing was.
    """

    def __init__(self, wanted: Wanted, show: Print) -> None:
        self.last: int | None = None
        self._wanted = wanted
        self._show = show
        self._printed = 0
        self._enough = asyncio.Event()

    async def run(self, target: Profile) -> None:
        """Connect and print until there is enough, or the hub turns us away.

        Raises:
            ClientError: see there.
        """
        async with connect(target.url, access_key=target.access_key) as hub:
            streams = await self._open(hub)
            jobs = [asyncio.create_task(self._follow(stream)) for stream in streams]
            jobs.append(asyncio.create_task(self._stop_when_enough()))
            try:
                done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
                for job in done:
                    job.result()
            finally:
                for job in jobs:
                    job.cancel()
                await asyncio.gather(*jobs, return_exceptions=True)

    async def _open(self, hub: Hub) -> Sequence[Stream[Any]]:
        """Subscribe. A key that may see only one kind gets that one, unless the other was asked for by name."""
        streams: list[Stream[Any]] = []
        refused: list[HubRefused] = []
        for kind in self._wanted.kinds:
            stream = self._stream(hub, kind)
            try:
                await stream.open()
            except HubRefused as exc:
                refused.append(exc)
            else:
                streams.append(stream)
        if refused and (not streams or len(self._wanted.kinds) == 1):
            raise refused[0]
        for error in refused:
            note(shown(f"only one kind of message: {error}"))
        return streams

    def _stream(self, hub: Hub, kind: Kind) -> Stream[Any]:
        wanted = self._wanted
        subscribe = hub.notifications if kind is Kind.NOTIFICATION else hub.commands
        return subscribe(devices=wanted.devices, names=wanted.names, since=wanted.since, timestamp=wanted.timestamp)

    async def _follow(self, stream: Stream[Any]) -> None:
        async for message in stream:
            if self._enough.is_set():
                return
            self._show(message)
            self.last = max(message.id, self.last or 0)
            self._printed += 1
            if self._printed == self._wanted.count:
                self._enough.set()

    async def _stop_when_enough(self) -> None:
        await self._enough.wait()


class _Notes(logging.Handler):
    """What the client has to say (that it connects again, and why; that messages are missing), as notes on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        note(shown(record.getMessage()))


def tell_of_reconnects() -> None:
    """Let the person at the terminal know what the client does on its own."""
    log = logging.getLogger("hub.client")
    log.handlers[:] = [_Notes()]
    log.setLevel(logging.INFO)
    log.propagate = False
