"""The writes of one turn, made together.

A transport's ``write`` costs the interpreter and the event loop about half as much as the kernel's ``send``. Where the
compiled helper is there, sockets whose transports hold nothing are written to directly, all in one call that lets other
threads run meanwhile. What the kernel does not take at once goes the ordinary way, through the transport.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from hub.core.connection import Connection
from hub.core.fanout import FanOut

SendEach = Callable[[tuple[int, ...], tuple[bytes, ...]], Sequence[tuple[int, int]]]
"""Sends each payload to its file descriptor without waiting; returns (index, bytes sent) of those not sent whole."""


class Writer(Protocol):
    """A socket as its writes see it.

    Attributes:
        fd: takes the transport's bytes as they are; -1: nothing does.
    """

    fd: int
    transport: asyncio.Transport

    def write(self, data: bytes) -> None:
        """Write through the transport, which keeps what the kernel does not take at once."""
        ...


class Writes:
    """Writes to every socket of a turn that has nothing but bytes to send.

    Args:
        count: told how many writes there were, and how many bytes.
    """

    def __init__(self, send_each: SendEach, fan_out: FanOut, *, count: Callable[[int, int], None]) -> None:
        self._send_each = send_each
        self._fan_out = fan_out
        self._count = count

    def __call__(self, visits: Iterable[Connection], sockets: Mapping[Connection, Writer]) -> list[Connection]:
        """Write what outboxes hold. Returns the connections that want a visit of their own all the same."""
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
            self._send(writers, tuple(fds), tuple(payloads))
        return left

    def _send(self, writers: list[Writer], fds: tuple[int, ...], payloads: tuple[bytes, ...]) -> None:
        for index, sent in self._send_each(fds, payloads):
            writers[index].write(payloads[index][sent:])
        self._count(len(payloads), sum(map(len, payloads)))


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


def compiled() -> SendEach | None:
    """The compiled helper, where it was built."""
    try:
        from hub.web._send import send_each
    except ImportError:
        return None
    found: SendEach = send_each
    return found
