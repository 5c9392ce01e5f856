"""What tests of event streams need: to read events one by one, and to go on where one was cut off."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

from tests.edge_client import Response, Wire, request
from tests.rest.http import Client, Header

NOTIFICATIONS = "/device/lamp/notification/stream"
COMMANDS = "/device/lamp/command/stream"
OF_MANY = "/device/notification/stream"


@dataclass(frozen=True)
class Event:
    """One event, as a browser takes it apart."""

    id: int | None
    name: str
    data: dict[str, Any]
    retry_ms: int | None

    @classmethod
    def read(cls, block: str) -> Self:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        number, retry = fields.get("id"), fields.get("retry")
        return cls(
            None if number is None else int(number),
            fields.get("event", "message"),
            json.loads(fields["data"]),
            None if retry is None else int(retry),
        )


class Events:
    """An event stream that was opened.

    Attributes:
        wire: for what a well-behaved reader does not do.
        begun: the first event, which says where it begins.
    """

    def __init__(self, wire: Wire, head: Response, begun: Event) -> None:
        self.wire = wire
        self.head = head
        self.begun = begun

    async def event(self) -> Event:
        """The next event; signs of life in between are passed over."""
        while (block := await self.wire.block()).startswith(":"):
            pass
        return Event.read(block)

    async def message(self) -> dict[str, Any]:
        """The next message."""
        event = await self.event()
        assert (event.name, event.id) == ("message", event.data["id"]), event
        return event.data

    async def ids(self, number: int) -> list[int]:
        """The ids of the next messages."""
        return [(await self.message())["id"] for _ in range(number)]

    async def closing(self) -> Event:
        """The last event, whatever comes before it; nothing comes behind it."""
        while (event := await self.event()).name == "message":
            pass
        assert event.name == "connection/closing", event
        assert await self.wire.ended() == b""
        return event


@asynccontextmanager
async def stream(client: Client, path: str = NOTIFICATIONS, *headers: Header, **options: Any) -> AsyncIterator[Events]:
    """A stream of whoever this client is; it is left when the block is."""
    wire = await Wire.connect(client.port, **options)
    try:
        await wire.write(request(client.root + path, [("Host", "127.0.0.1"), *client.who, *headers]))
        head = await wire.response()
        assert head.status == 200, head
        yield Events(wire, head, Event.read(await wire.block()))
    finally:
        wire.close()


def last(event_id: int | str) -> Header:
    """The header of somebody who comes back."""
    return ("Last-Event-ID", str(event_id))
