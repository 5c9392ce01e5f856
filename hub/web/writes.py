"""The writes of one turn, made together.

A transport's ``write`` costs the interpreter and the event loop about half as much as the kernel's ``send``. Where the
compiled helper is there, sockets whose transports hold nothing are written to directly, all in one call that lets other
threads run meanwhile. What the kernel does not take at once goes the ordinary way, through the transport.
"""

import asyncio
import socket
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from hub.core.audience import Share
from hub.core.connection import Connection
from hub.core.fanout import FanOut

SendEach = Callable[[tuple[int, ...], tuple[bytes, ...]], Sequence[tuple[int, int]]]
"""Sends each payload to its file descriptor without waiting; returns (index, bytes sent) of those not sent whole."""

SendShared = Callable[["array[int]", bytearray, int, bytearray, list[bytes]], Sequence[tuple[int, int]]]
"""Sends ``head.join(segments)`` to each of the first so many lines with its own head (``lines, heads, count, open,
segments``), but to none whose byte in ``open`` is 0; returns (seat, bytes sent) of those not sent whole."""


class Send(NamedTuple):
    """The two calls of the compiled helper."""

    each: SendEach
    shared: SendShared


class Writer(Protocol):
    """A socket as its writes see it.

    Attributes:
        fd: takes the transport's bytes as they are; -1: nothing does.
    """

    fd: int
    transport: asyncio.Transport

    def write(self, data: bytes) -> None:
        """Write through the transport, which keeps what the kernel does not take, and tell :meth:`Writes.wait`."""
        ...


class Writes:
    """Writes to every socket of a turn that has nothing but bytes to send.

    A connection's *line* is its file descriptor. A line is open while its transport holds no bytes that others written
    to it directly would overtake. Of what audiences share, only this is asked for each subscriber, and in the helper:
    no object of a connection is touched.

    Args:
        count: told how many writes there were, and how many bytes.
    """

    def __init__(self, send: Send, fan_out: FanOut, *, count: Callable[[int, int], None]) -> None:
        self._send = send
        self._fan_out = fan_out
        self._count = count
        self._open = bytearray()
        self._waiting: dict[Writer, None] = {}

    # --- lines

    def line(self, writer: Writer) -> int:
        """Open a line for a new socket."""
        if writer.fd >= len(self._open):
            self._open.extend(bytes(writer.fd + 1_024 - len(self._open)))
        if writer.fd >= 0:
            self._open[writer.fd] = 1
        return writer.fd

    def wait(self, writer: Writer) -> None:
        """Write no more to a line until its transport holds nothing."""
        if writer.fd >= 0:
            self._open[writer.fd] = 0
            self._waiting[writer] = None

    def end(self, writer: Writer) -> None:
        """The socket has ended; its descriptor may soon be another's. Idempotent."""
        if writer.fd >= 0:
            self._open[writer.fd] = 0
            self._waiting.pop(writer, None)

    def _reopen(self) -> None:
        for writer in list(self._waiting):
            if not writer.transport.get_write_buffer_size():
                del self._waiting[writer]
                self._open[writer.fd] = 1

    # --- a turn

    def __call__(
        self, visits: dict[Connection, None], sockets: Mapping[Connection, Writer], shares: Sequence[Share]
    ) -> list[Connection]:
        """Write what audiences share and what outboxes hold.

        Args:
            visits: the connections whose outboxes hold something. Those join whose lines were not open.

        Returns:
            The connections that want a visit of their own all the same.
        """
        if shares:
            self._write_shares(shares, visits, sockets)
        left: list[Connection] = []
        writers: list[Writer] = []
        fds: list[int] = []
        payloads: list[bytes] = []
        deferred_to, some_deferred = self._fan_out.deferred_to, self._fan_out.has_deferred
        for connection in visits:
            # This loop runs once per socket and turn. A descriptor is good only while its transport is open, and
            # bytes must not overtake those that the transport holds; nothing runs between these questions and the call.
            writer = sockets.get(connection)
            if writer is None:
                continue
            transport = writer.transport
            if (
                writer.fd < 0
                or connection.closing is not None
                or transport.is_closing()
                or transport.get_write_buffer_size()
                or (some_deferred and deferred_to(connection))
            ):
                left.append(connection)
                continue
            outbox = connection.outbox
            data = outbox.take(0)
            if data:
                writers.append(writer)
                fds.append(writer.fd)
                payloads.append(data)
            elif outbox.overflowed:
                left.append(connection)
        if fds:
            self._write_each(writers, tuple(fds), tuple(payloads))
        return left

    def _write_each(self, writers: list[Writer], fds: tuple[int, ...], payloads: tuple[bytes, ...]) -> None:
        for index, sent in self._send.each(fds, payloads):
            writers[index].write(payloads[index][sent:])
        self._count(len(payloads), sum(map(len, payloads)))

    def _write_shares(
        self, shares: Sequence[Share], visits: dict[Connection, None], sockets: Mapping[Connection, Writer]
    ) -> None:
        self._reopen()
        # Whoever is visited has something that goes first: its share goes the same way, behind it.
        closed = [line for connection in visits if (line := connection.line) >= 0 and self._open[line]]
        for line in closed:
            self._open[line] = 0
        for share in shares:
            self._write_share(share, visits, sockets)
        for line in closed:
            self._open[line] = 1

    def _write_share(self, share: Share, visits: dict[Connection, None], sockets: Mapping[Connection, Writer]) -> None:
        audience = share.audience
        unsent = self._send.shared(audience.lines, audience.heads, share.seats, self._open, share.segments)
        for seat, sent in unsent:
            connection = audience.subscriptions[seat].connection
            payload = share.payload(seat)
            if sent:
                sockets[connection].write(payload[sent:])
                connection.outbox.written += len(payload)
            else:
                connection.outbox.offer(payload)
                visits[connection] = None
        size = len(share.payload(0))
        written = share.seats - sum(not sent for _, sent in unsent)
        self._count(written, written * size)


def plain_fd(transport: asyncio.Transport) -> int:
    """The file descriptor that takes a transport's bytes as they are; -1: there is none, they are encrypted first."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    fd: int = connected.fileno()
    return fd


def plain_send_each(fds: Sequence[int], payloads: Sequence[bytes]) -> list[tuple[int, int]]:
    """What the compiled helper does, in Python: slower than a transport's ``write``, so only the tests use it."""
    unsent = []
    for index, (fd, payload) in enumerate(zip(fds, payloads, strict=True)):
        sent = _send(fd, payload)
        if sent != len(payload):
            unsent.append((index, sent))
    return unsent


def _send(fd: int, payload: bytes) -> int:
    try:
        peer = socket.socket(fileno=fd)
    except OSError:
        return 0
    try:
        return peer.send(payload, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return 0  # The transport will meet the error again, and knows what to do about it.
    finally:
        peer.detach()


def plain_send_shared(
    lines: "array[int]", heads: bytearray, count: int, open_lines: bytearray, segments: list[bytes]
) -> list[tuple[int, int]]:
    """What the compiled helper does, in Python; only the tests use it."""
    size = len(heads) // len(lines) if lines else 0
    seats = [seat for seat in range(count) if 0 <= lines[seat] < len(open_lines) and open_lines[lines[seat]]]
    payloads = [bytes(heads[seat * size : (seat + 1) * size]).join(segments) for seat in seats]
    sent = dict(zip(seats, map(len, payloads), strict=True))
    for index, bytes_sent in plain_send_each([lines[seat] for seat in seats], payloads):
        sent[seats[index]] = bytes_sent
    whole = sum(map(len, segments)) + (len(segments) - 1) * size
    return [(seat, sent.get(seat, 0)) for seat in range(count) if sent.get(seat, 0) != whole]


PLAIN = Send(plain_send_each, plain_send_shared)


def compiled() -> Send | None:
    """The compiled helper, where it was built."""
    try:
        from hub.web._send import send_each, send_shared
    except ImportError:
        return None
    return Send(send_each, send_shared)
