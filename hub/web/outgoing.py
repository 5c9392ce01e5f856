"""What is written to: the half that sockets and event streams have in common, from a turn's bytes to a slow reader."""

import asyncio
from typing import Any

from hub.core.backlog import Backlog
from hub.core.connection import Connection
from hub.gateway.admission import retry_after_s
from hub.web.edge import Edge
from hub.web.writes import plain_fd
from protocol.names import CloseCode


class Outgoing(asyncio.Protocol):
    """One transport to a peer who reads, or does not.

    Attributes:
        fd: see :class:`hub.web.writes.Writer`.
    """

    __slots__ = ("_backlog", "_closing_s", "_edge", "_writable", "_written_s", "connection", "fd", "transport")

    def __init__(self, edge: Edge, transport: asyncio.Transport, connection: Connection) -> None:
        self._edge = edge
        self.transport = transport
        self.fd = plain_fd(transport)
        self.connection = connection
        if edge.writes is not None:
            connection.line = edge.writes.line(self)
        self._closing_s: float | None = None
        self._backlog: Backlog | None = None
        self._writable: asyncio.Future[None] | None = None
        self._written_s: float | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.connection!r})"

    # --- writing

    def write(self, data: bytes) -> None:
        """Write through the transport, which keeps what the kernel does not take at once."""
        self.transport.write(data)
        if self._edge.writes is not None:
            self._edge.writes.wait(self)
        if self._written_s != self._edge.wheel.now_s:
            # What the kernel did not take is looked for at the wheel's next step: no more than once per step.
            self._written_s = self._edge.wheel.now_s
            self._edge.stalled[self] = None

    def pause_writing(self) -> None:
        self._edge.stalled[self] = None
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None

    async def writable(self) -> None:
        """Return when the transport's buffer has drained, or when the peer is gone."""
        await asyncio.sleep(0)
        while self._writable is not None:
            await asyncio.shield(self._writable)

    # --- a peer who reads slowly

    @property
    def unsent(self) -> int:
        """Bytes that wait for the peer."""
        return self.transport.get_write_buffer_size() + len(self.connection.outbox)

    def waited_s(self, now_s: float) -> float:
        """For how long the oldest of them has waited, as far as is known; 0: none waits."""
        unsent = self.transport.get_write_buffer_size()
        if self._backlog is None or not unsent:
            return 0.0
        return self._backlog.look(now_s, written=self.connection.outbox.written, unsent=unsent)[0]

    def is_stalled(self, now_s: float) -> bool:
        """Whether the peer is behind with reading; one that is so for too long is closed."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent:
            self._backlog = None
            return False
        if self._backlog is None:
            self._backlog = Backlog()
        waited_s, stuck_s = self._backlog.look(now_s, written=self.connection.outbox.written, unsent=unsent)
        if self._closing_s is not None:
            return True  # Its time runs already.
        if (reason := self._edge.limits.too_slow(waited_s, stuck_s)) is not None:
            self._too_slow(*reason)
        return True

    def cut(self) -> None:
        """Close it: all peers together have too many bytes unsent."""
        most = self._edge.limits.send_memory_bytes
        what = f"at most {most} bytes may wait for all peers together"
        self._too_slow(what, "send-memory-bytes", most, retryAfter=retry_after_s())

    def _overflowed(self) -> None:
        """Its outbox took no more."""
        most = self.connection.outbox.limit
        self._too_slow(f"at most {most} bytes may wait", "outbox-bytes", most)

    def _too_slow(self, what: str, name: str, value: float, **members: Any) -> None:
        self._decide(CloseCode.SLOW_READER, f"reads too slowly: {what}", name, value, **members)

    # --- the end

    @property
    def is_closing(self) -> bool:
        """Whether it has said goodbye."""
        return self._closing_s is not None

    def _decide(self, code: CloseCode, reason: str, name: str, value: float, **members: Any) -> None:
        """Close at the end of the turn, because of a limit."""
        detail = {"limit": name, "value": value}
        self._edge.gateway.close(self.connection, code, reason, detail=detail, **members)

    def _note_close(self, code: CloseCode, reason: str, *, quietly: bool) -> None:
        """Count a close that we have decided, and log it unless it says nothing about the peer."""
        self._edge.counters.closes[code] += 1
        if not quietly:
            self._edge.log.info(
                "closed a connection",
                source=str(self.connection.peer.address),
                close_code=int(code),
                reason=reason,
                principal=self.connection.principal.identity,
            )

    def _tick_closing(self, now_s: float) -> float | None:
        """How much longer the peer may take to read our goodbye; None: it has taken too long."""
        assert self._closing_s is not None, "it has said goodbye"
        left_s = self._closing_s + self._edge.limits.close_wait_s - now_s
        if left_s <= 0:
            self.transport.abort()
            return None
        return left_s

    def _gone(self) -> None:
        """It gets nothing more, whatever becomes of the transport. Idempotent."""
        self._edge.gateway.disconnect(self.connection)
        self._edge.stalled.pop(self, None)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _lost(self) -> None:
        """Its transport has ended."""
        edge = self._edge
        edge.sockets.discard(self)
        if edge.writes is not None:
            edge.writes.end(self)
        edge.gateway.admission.depart(self.connection.peer.address)

    def eof_received(self) -> bool:
        return False

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        self.transport.abort()
