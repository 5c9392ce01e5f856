"""Event streams: connections that are written to as sockets are, over what was an HTTP request.

To the gateway a stream is a connection like others: it counts for the same limits, its rights change under it, and its
messages reach it in the same write. Nothing is read from it.
"""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from starlette.types import Scope

from hub.actions.caller import Caller
from hub.actions.subscriptions import Streaming
from hub.core.connection import Connection
from hub.gateway.admission import retry_after_s
from hub.rest.streams import RawHeaders
from hub.web.edge import Edge
from hub.web.outgoing import Outgoing
from protocol.codecs import EVENTS
from protocol.errors import TURNED_AWAY
from protocol.names import CloseCode, Endpoint

TRANSPORT = "hub.transport"
"""The extension of an ASGI scope in which a request's transport is found."""

SIGN_OF_LIFE = b":\n\n"
RETRY_MS = 1_000, 3_000
"""How soon, at random, whoever loses a stream comes back that does not hear of a better time."""


class Handing(Protocol):
    """The protocol of an HTTP connection."""

    def hand_over(self) -> bool:
        """Have nothing more to do with the transport; False: it has ended."""
        ...


class Streams:
    """Makes the event streams of a worker."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @contextmanager
    def opened(self, scope: Scope, caller: Caller) -> Iterator["Stream"]:
        """A connection for whoever asks, which its principal has; it ends with the context unless it has begun.

        Raises:
            LimitReached, Unavailable: too many of one kind or another, or too fast.
        """
        edge, address = self._edge, caller.peer.address
        edge.gateway.admission.pace(caller.principal.identity)
        if (text := edge.turns_away()) is not None:
            raise TURNED_AWAY.error(text=text, retry_after_s=retry_after_s())
        edge.gateway.admission.arrive(address)
        stream = Stream(edge, scope["extensions"][TRANSPORT], _connection(edge, caller))
        try:
            edge.gateway.connect(stream.connection, stream)
            edge.gateway.authenticated(stream.connection, caller.principal, epoch=caller.epoch)
            yield stream
        finally:
            stream.end_unless_begun()


def _connection(edge: Edge, caller: Caller) -> Connection:
    return Connection(
        endpoint=Endpoint.CLIENT,
        codec=EVENTS,
        extended=True,
        peer=caller.peer,
        limits=edge.connection_limits,
        base_url=caller.base_url,
        tally=edge.tally,
    )


class Stream(Outgoing):
    """One event stream, from the request for it to the end of its transport."""

    __slots__ = ("_has_begun",)

    def __init__(self, edge: Edge, transport: asyncio.Transport, connection: Connection) -> None:
        super().__init__(edge, transport, connection)
        self._has_begun = False

    # --- beginning

    def begin(self, headers: RawHeaders, streaming: Streaming) -> None:
        """Take the transport over and write the head of the answer, and the first event. Once."""
        edge = self._edge
        if not cast(Handing, self.transport.get_protocol()).hand_over():
            return
        self._has_begun = True
        self.transport.set_protocol(self)
        edge.sockets.add(self)
        edge.streams += 1
        edge.counters.streams += 1
        self._expect_signs_of_life()
        lines = [b"HTTP/1.1 200 OK", *(b"%b: %b" % header for header in headers)]
        retry_ms = random.randint(*RETRY_MS)  # noqa: S311 - spreads retries, guards nothing
        first = EVENTS.opening(streaming.kind, streaming.answer, after=streaming.after, retry_ms=retry_ms)
        self._write_counted(b"\r\n".join(lines) + b"\r\n\r\n" + first)
        # Phases are random, so that streams which came together are not written to together.
        edge.wheel.add(self, edge.limits.ping_interval_s * random.uniform(0.5, 1.0))  # noqa: S311

    def _expect_signs_of_life(self) -> None:
        """A peer that vanished answers no pings here; so its kernel has to acknowledge what it is sent."""
        connected, option = self.transport.get_extra_info("socket"), getattr(socket, "TCP_USER_TIMEOUT", None)
        if connected is not None and option is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, option, max(1, int(self._edge.limits.ping_timeout_s * 1000)))

    def end_unless_begun(self) -> None:
        """What was asked for was refused: the request is answered by somebody else. Idempotent."""
        if not self._has_begun:
            self._gone()
            if self._edge.writes is not None:
                self._edge.writes.end(self)
            self._edge.gateway.admission.depart(self.connection.peer.address)

    # --- reading

    def data_received(self, data: bytes) -> None:
        """Nothing was asked for."""

    # --- writing

    def visit(self) -> None:
        """Write what the outbox holds, and act on a decision to close. Called once a turn by the gateway."""
        if not self._has_begun:
            return
        connection = self.connection
        data = connection.outbox.take(self.transport.get_write_buffer_size())
        if connection.outbox.overflowed and connection.closing is None:
            self._overflowed()
        if data:
            self._write_counted(data)
        if connection.closing is not None:
            self._close_now(*connection.closing)

    def _write_counted(self, data: bytes) -> None:
        self._edge.count_writes(1, len(data))
        self.write(data)

    # --- time

    def tick(self, now_s: float) -> float | None:
        """A sign of life for whatever stands between, and the end of the time to read the last event."""
        if self._closing_s is not None:
            return self._tick_closing(now_s)
        if self.transport.is_closing():
            return None
        if self.connection.outbox.offer(SIGN_OF_LIFE):
            self._edge.gateway.visit(self.connection)
        return self._edge.limits.ping_interval_s

    # --- the end

    def _close_now(self, code: CloseCode, reason: str) -> None:
        """Say why, and end."""
        if self._closing_s is not None:
            return
        edge, connection = self._edge, self.connection
        self._note_close(code, reason, quietly=code is CloseCode.RESTART)
        self.transport.write(connection.farewell())
        self._closing_s = edge.wheel.now_s
        self._gone()
        if self.transport.get_write_buffer_size():
            edge.stalled[self] = None
            edge.wheel.add(self, edge.limits.close_wait_s)
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        edge = self._edge
        edge.streams -= 1
        self._lost()
        if self._closing_s is None:
            # A reader just goes when it has had enough: that is no accident.
            edge.counters.closes[CloseCode.NORMAL if exc is None else 1006] += 1
        self._gone()
