"""Event streams: connections that are written to as sockets are, over what was an HTTP request.

To the gateway a stream is a connection like others: it counts for the same limits, its rights change under it, and its
messages reach it in the same write. Nothing is read from it.
"""

import asyncio
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, cast

from starlette.types import Scope

from hub.actions.caller import Caller
from hub.actions.subscriptions import Streaming
from hub.core.backlog import Backlog
from hub.core.connection import Connection
from hub.gateway.admission import retry_after_s
from hub.rest.streams import RawHeaders
from hub.web.edge import Edge
from hub.web.writes import plain_fd
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


class Stream(asyncio.Protocol):
    """One event stream, from the request for it to the end of its transport."""

    __slots__ = (
        "_backlog",
        "_closing_s",
        "_edge",
        "_has_begun",
        "_writable",
        "_written_s",
        "connection",
        "fd",
        "transport",
    )

    def __init__(self, edge: Edge, transport: asyncio.Transport, connection: Connection) -> None:
        self._edge = edge
        self.transport = transport
        self.connection = connection
        self.fd = plain_fd(transport)
        if edge.writes is not None:
            connection.line = edge.writes.line(self)
        self._has_begun = False
        self._closing_s: float | None = None
        self._backlog: Backlog | None = None
        self._writable: asyncio.Future[None] | None = None
        self._written_s: float | None = None

    def __repr__(self) -> str:
        return f"Stream({self.connection!r})"

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

    def eof_received(self) -> bool:
        return False

    # --- writing

    def visit(self) -> None:
        """Write what the outbox holds, and act on a decision to close. Called once a turn by the gateway."""
        if not self._has_begun:
            return
        connection = self.connection
        data = connection.outbox.take(self.transport.get_write_buffer_size())
        if connection.outbox.overflowed and connection.closing is None:
            most = connection.outbox.limit
            self._too_slow(f"at most {most} bytes may wait", "outbox-bytes", most)
        if data:
            self._write_counted(data)
        if connection.closing is not None:
            self._close_now(*connection.closing)

    def _write_counted(self, data: bytes) -> None:
        self._edge.count_writes(1, len(data))
        self.write(data)

    def write(self, data: bytes) -> None:
        """Write through the transport, which keeps what the kernel does not take at once."""
        self.transport.write(data)
        if self._edge.writes is not None:
            self._edge.writes.wait(self)
        if self._written_s != self._edge.wheel.now_s:
            # What the kernel did not take is looked for at the wheel's next step: no more than once per step.
            self._written_s = self._edge.wheel.now_s
            self._edge.stalled[self] = None

    @property
    def is_closing(self) -> bool:
        """Whether its last event was written."""
        return self._closing_s is not None

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer."""
        return self.transport.get_write_buffer_size() + len(self.connection.outbox)

    def waited_s(self, now_s: float) -> float:
        """For how long the oldest of them has waited, as far as is known; 0: none waits."""
        return self._look(now_s)[0] if self._backlog is not None else 0.0

    def is_stalled(self, now_s: float) -> bool:
        """Whether the peer is behind with reading; one that is so for too long is closed."""
        if not self.transport.get_write_buffer_size():
            self._backlog = None
            return False
        if self._closing_s is None and (reason := self._edge.limits.too_slow(*self._look(now_s))) is not None:
            self._too_slow(*reason)
        return True

    def _look(self, now_s: float) -> tuple[float, float]:
        self._backlog = self._backlog or Backlog()
        unsent = self.transport.get_write_buffer_size()
        return self._backlog.look(now_s, written=self.connection.outbox.written, unsent=unsent)

    def _too_slow(self, what: str, name: str, value: float, **members: Any) -> None:
        detail = {"limit": name, "value": value}
        reason = f"reads too slowly: {what}"
        self._edge.gateway.close(self.connection, CloseCode.SLOW_READER, reason, detail=detail, **members)

    def cut(self) -> None:
        """Close it: all sockets together have too many bytes unsent."""
        most = self._edge.limits.send_memory_bytes
        what = f"at most {most} bytes may wait for all peers together"
        self._too_slow(what, "send-memory-bytes", most, retryAfter=retry_after_s())

    def pause_writing(self) -> None:
        self._edge.stalled[self] = None
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def writable(self) -> None:
        """Return when the transport's buffer has drained, or when the stream is gone."""
        await asyncio.sleep(0)
        while self._writable is not None:
            await asyncio.shield(self._writable)

    # What sockets are asked, because they are read from.

    def take_turn(self) -> None:
        """It never waits for a turn to read."""

    def is_over_rate(self, now_s: float) -> bool:
        """It sends nothing."""
        return False

    # --- time

    def tick(self, now_s: float) -> float | None:
        """A sign of life for whatever stands between, and the end of the time to read the last event."""
        if self._closing_s is not None:
            left_s = self._closing_s + self._edge.limits.close_wait_s - now_s
            if left_s > 0:
                return left_s
            self.transport.abort()
            return None
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
        edge.counters.closes[code] += 1
        if code is not CloseCode.RESTART:
            edge.log.info(
                "closed a connection",
                source=str(connection.peer.address),
                close_code=int(code),
                reason=reason,
                principal=connection.principal.identity,
            )
        self.transport.write(connection.farewell())
        self._closing_s = edge.wheel.now_s
        self._gone()
        if self.transport.get_write_buffer_size():
            edge.stalled[self] = None
            edge.wheel.add(self, edge.limits.close_wait_s)
        self.transport.close()

    def _gone(self) -> None:
        """No longer a subscriber, whatever becomes of the transport. Idempotent."""
        self._edge.gateway.disconnect(self.connection)
        self._edge.stalled.pop(self, None)
        self.resume_writing()

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        edge = self._edge
        edge.sockets.discard(self)
        edge.streams -= 1
        if edge.writes is not None:
            edge.writes.end(self)
        edge.gateway.admission.depart(self.connection.peer.address)
        if self._closing_s is None:
            # A reader just goes when it has had enough: that is no accident.
            edge.counters.closes[CloseCode.NORMAL if exc is None else 1006] += 1
        self._gone()
