"""The two ends of a conversation in memory, and what crosses between them, in a word or two each."""

from itertools import count
from typing import Any

from hub.core.access import EVERYTHING, Clause, Principal
from hub.core.connection import Connection, ConnectionLimits, Exchange
from hub.core.fanout import FanOut
from hub.core.subscription import Published, Subscription
from protocol.client import Client
from protocol.client_events import Event
from protocol.client_events import Subscription as Interest
from protocol.codecs import JSON, MSGPACK, Codec
from protocol.messages import Message
from protocol.names import Endpoint, Kind, Role, Subprotocol
from protocol.times import format_ms

_numbers = count(1)

ROOMY = ConnectionLimits(outbox_bytes=1 << 30, anonymous_requests=0)
"""Limits for tests whose claim is not about limits."""


# --- frames -----------------------------------------------------------------------------------------------------------


def unframed(data: bytes) -> list[tuple[int, bytes]]:
    """Opcode and payload of every frame of a server's stream (RFC 6455, 5.2), which has to end with one."""
    found = []
    while data:
        opcode, length, start = data[0] & 0xF, data[1], 2
        assert data[0] & 0xF0 == 0x80, "final, and no extension"
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        assert len(data) >= start + length, "the last frame is not whole"
        found.append((opcode, data[start : start + length]))
        data = data[start + length :]
    return found


def received(connection: Connection) -> list[dict[str, Any]]:
    """Take everything from a connection's outbox, as its peer reads it."""
    frames = unframed(connection.outbox.take(0))
    assert {opcode for opcode, _ in frames} <= {connection.codec.opcode}
    return [connection.codec.decode(payload) for _, payload in frames]


def shown(frame: dict[str, Any]) -> dict[str, Any]:
    """The message that a push shows."""
    return frame.get("notification") or frame["command"]


def ids(connection: Connection) -> list[int]:
    """Take everything: the ids of the messages in it, in order."""
    return [shown(frame)["id"] for frame in received(connection)]


def values(connection: Connection) -> list[Any]:
    """Take everything: the parameters of the messages in it, in order."""
    return [shown(frame)["parameters"] for frame in received(connection)]


# --- our end ----------------------------------------------------------------------------------------------------------


def connection(codec: Codec = JSON, **members: Any) -> Connection:
    """A connection of a client, without bounds."""
    return Connection(**{"endpoint": Endpoint.CLIENT, "codec": codec, "limits": ROOMY, **members})


def limited(codec: Codec = JSON, *, extended: bool = False, **limits: Any) -> Connection:
    """A connection with these limits and no other."""
    bounds = {"outbox_bytes": 1 << 30, "anonymous_requests": 0, **limits}
    return connection(codec, extended=extended, limits=ConnectionLimits(**bounds))


def subscription(to: Connection | None = None, *clauses: Clause, **members: Any) -> Subscription:
    """A subscription that is not routed to yet; without clauses it may see every device."""
    given = {"kind": Kind.NOTIFICATION, "principal": Principal(Role.ADMIN), **members}
    given["clauses"] = given.get("clauses", clauses or (EVERYTHING,))
    to = to if to is not None else connection()
    made = Subscription(f"00000000-0000-4000-8000-{next(_numbers):012}", connection=to, **given)
    to.subscriptions[made.id] = made
    return made


def subscribed(fan_out: FanOut, to: Connection | None = None, *clauses: Clause, **members: Any) -> Subscription:
    """A subscription that is routed to. ``to=None`` gives it a connection of its own."""
    made = subscription(to, *clauses, **members)
    fan_out.subscribe(made)
    return made


def placed(message: Message, network_id: int | None = 1, groups: tuple[int, ...] = ()) -> Published:
    """A message of a device in this place."""
    return Published(message, network_id, groups)


def publish(fan_out: FanOut, *messages: Message, network_id: int | None = 1, groups: tuple[int, ...] = ()) -> None:
    """Publish messages of devices in this place, within one turn."""
    for message in messages:
        fan_out.publish(placed(message, network_id, groups))


# --- both ends --------------------------------------------------------------------------------------------------------


class Pair:
    """A client and the connection that it talks to, joined in memory; the test carries out what is asked."""

    def __init__(self, subprotocol: Subprotocol | None = Subprotocol.JSON) -> None:
        codec = MSGPACK if subprotocol is Subprotocol.MSGPACK else JSON
        self.client = Client()
        self.connection = connection(codec, extended=subprotocol is not None)
        self.client.opened(subprotocol)

    def carry(self) -> list[Exchange]:
        """Bring what the client has to say to the connection; returns what is asked now."""
        exchanges = [self.connection.receive(payload) for payload in self.client.take()]
        return [exchange for exchange in exchanges if exchange is not None]

    def subscribe(self, interest: Interest) -> Exchange:
        """Let the client subscribe; returns what is asked, after any question about the time is answered."""
        self.client.subscribe(interest)
        *before, asked = self.carry()
        for exchange in before:
            self.connection.succeed(exchange, {"info": {"serverTimestamp": format_ms(0)}})
        return asked

    def deliver(self) -> list[Event]:
        """Bring what the connection owes to the client; returns what the client makes of it."""
        frames = unframed(self.connection.outbox.take(0))
        return [event for _, payload in frames for event in self.client.receive(payload)]
