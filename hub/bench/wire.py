"""A WebSocket client for load: it asks little of what it gets, and of Python as little as it can.

:class:`Socket` shakes hands, answers pings, notes how it was closed, and hands out whole messages. Where all that comes
has one shape, the sockets of :mod:`hub.bench.shaped` take whole chunks without looking at single frames, and fall back
to that as soon as something else comes. Nothing here knows the hub's requests; other servers can be measured with it as
well.
"""

import asyncio
import base64
import hashlib
import os
from collections import deque
from dataclasses import dataclass
from typing import Any, cast

from hub.bench import token

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0
FRAME_MAX = 16 * 1024 * 1024
HEAD_MAX = 16 * 1024
UNSENT_MAX = 64 * 1024 * 1024
"""Bytes that wait in a socket of ours because the server does not read; more are not sent, and are counted."""
NO_CLOSE_FRAME = 1006
ZERO_MASK = b"\0\0\0\0"
"""Masked with zeros a payload stays what it is: as legal as any mask, and frames can be put together once."""
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    """The server did not let us in.

    Attributes:
        reason: in few words, to be counted by: ``http 503``, ``closed 4401``, ``connection refused``.
        retry_after_s: when the server says to come back.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


# --- what goes out ----------------------------------------------------------------------------------------------------


def masked(opcode: int, payload: bytes) -> bytes:
    """One whole message, as a client has to send it."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 65_536:
        head = bytes((0x80 | opcode, 0xFE)) + length.to_bytes(2)
    else:
        head = bytes((0x80 | opcode, 0xFF)) + length.to_bytes(8)
    return head + ZERO_MASK + payload


@dataclass(frozen=True, slots=True)
class Upgrade:
    """An opening handshake, prepared once for many sockets."""

    request: bytes
    accept: bytes

    @classmethod
    def to(cls, host: str, path: str, *, subprotocol: str | None = None) -> "Upgrade":
        """``host``: with the port, as the Host header has it."""
        key = base64.b64encode(os.urandom(16)).decode()
        digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            *([] if subprotocol is None else [f"Sec-WebSocket-Protocol: {subprotocol}"]),
        ]
        return cls("\r\n".join([*lines, "", ""]).encode(), base64.b64encode(digest))


# --- what comes in ----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Ended:
    """How a connection ended. ``code`` 1006: without a close frame."""

    code: int = NO_CLOSE_FRAME
    reason: str = ""

    def __str__(self) -> str:
        return "cut off" if self.code == NO_CLOSE_FRAME else f"closed {self.code}"


class Socket(asyncio.Protocol):
    """A WebSocket of a load process. Subclasses override :meth:`message`, and :meth:`received` where speed counts.

    Attributes:
        opened: done when the handshake is; fails with :class:`Refused`.
        ended: set when the connection is over, and by a close frame before that.
        closed: done when the transport is gone; made by :meth:`wait_closed`.
    """

    def __init__(self, upgrade: Upgrade) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.ended: Ended | None = None
        self.lost = False
        self.unsent = 0
        self._upgrade = upgrade
        self._tail = b""
        self._fragments: list[bytes] = []
        self._answers: deque[asyncio.Future[bytes]] = deque()
        self._closed: asyncio.Future[None] | None = None
        self._ours = False

    # --- the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._upgrade.request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done():
            self.received(self._tail + data if self._tail else data)
        else:
            self._shake_hands(self._tail + data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self.ended is None:
            self.ended = Ended()
        refusal = Refused(str(self.ended))
        unanswered: list[asyncio.Future[Any]] = [self.opened, *self._answers]
        for waiting in unanswered:
            if not waiting.done():
                waiting.set_exception(refusal)
                waiting.exception()  # Nobody may be waiting any more; then nobody has to be told.
        self._answers.clear()
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)
        if not self._ours:
            self.gone(self.ended)

    # --- for subclasses

    def received(self, data: bytes) -> None:
        """Bytes came: all from the first that was not looked at yet."""
        self.walk(data)

    def message(self, payload: bytes, header: bytes) -> None:
        """A whole message came that answers no :meth:`ask`."""

    def gone(self, ended: Ended) -> None:
        """The connection ended, and not because of us."""

    # --- sending

    def send(self, frames: bytes) -> bool:
        """Write whole frames. Returns False, and writes nothing, when the server has not read for too long."""
        transport = self.transport
        if transport is None or self.lost or transport.get_write_buffer_size() > UNSENT_MAX:
            self.unsent += 1
            return False
        transport.write(frames)
        return True

    def ask(self, frame: bytes) -> "asyncio.Future[bytes]":
        """Send a request; the next message, or that after the answers that are waited for, is its answer."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        if not self.send(frame):
            self._answers.pop()
            answer.set_exception(Refused("cut off"))
        return answer

    def close(self) -> None:
        """Say goodbye and leave at once."""
        self._ours = True
        if self.transport is not None and not self.lost:
            self.transport.write(masked(CLOSE, (1000).to_bytes(2)))
            self.transport.close()

    def abort(self) -> None:
        """Vanish."""
        self._ours = True
        if self.transport is not None:
            self.transport.abort()

    async def wait_closed(self, within_s: float) -> bool:
        """Wait for the end of the transport. Returns whether it came."""
        if self.lost:
            return True
        self._closed = self._closed or asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait_for(asyncio.shield(self._closed), within_s)
        except TimeoutError:
            return False
        return True

    # --- the handshake

    def _shake_hands(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._tail = data
            if len(data) > HEAD_MAX:
                self._refuse(Refused("no handshake"))
            return
        lines = data[:end].split(b"\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
        status = lines[0].split(b" ")[1:2]
        if status != [b"101"]:
            told = b"".join(status).decode("ascii", "replace")
            self._refuse(Refused(f"http {told}" if told else "no handshake", _seconds(headers.get(b"retry-after"))))
        elif headers.get(b"sec-websocket-accept") != self._upgrade.accept:
            self._refuse(Refused("no handshake"))
        else:
            self._tail = b""
            self.opened.set_result(None)
            if rest := data[end + 4 :]:
                self.received(rest)

    def _refuse(self, refusal: Refused) -> None:
        self.abort()
        if not self.opened.done():
            self.opened.set_exception(refusal)

    # --- frame by frame

    def walk(self, data: bytes) -> None:
        """Take frames one by one; what is left of the last one waits for more."""
        at, size = 0, len(data)
        while size - at >= 2:
            length, start = data[at + 1], at + 2
            if length > 125:
                start = at + (4 if length == 126 else 10)
                if size < start:
                    break
                length = int.from_bytes(data[at + 2 : start])
                if length > FRAME_MAX:
                    self.violated()
                    return
            if size < start + length:
                break
            self._frame(data[at], data[start : start + length], data[at:start])
            at = start + length
        self._tail = data[at:]

    def rest(self, data: bytes) -> None:
        """Take what came behind a run of frames of one shape: part of the next one, or something else altogether."""
        self._tail = b""
        if data:
            self.walk(data)

    def violated(self) -> None:
        """What comes is no WebSocket."""
        self.ended = self.ended or Ended(1002, "the server broke the protocol")
        self._tail = b""
        if self.transport is not None:
            self.transport.abort()

    def _frame(self, first: int, payload: bytes, header: bytes) -> None:
        opcode = first & 0x0F
        if opcode == PING:
            self.send(masked(PONG, payload))
        elif opcode == CLOSE:
            self.ended = Ended(int.from_bytes(payload[:2]), payload[2:].decode("utf-8", "replace"))
            if self.transport is not None:
                self.send(masked(CLOSE, payload[:2]))
                self.transport.close()
        elif opcode in (TEXT, BINARY, CONTINUATION):
            self._data(first, payload, header)

    def _data(self, first: int, payload: bytes, header: bytes) -> None:
        if not first & 0x80 or first & 0x0F == CONTINUATION:
            self._fragments.append(payload)
            if sum(map(len, self._fragments)) > FRAME_MAX:
                self.violated()
            if not first & 0x80:
                return
            payload, self._fragments, header = b"".join(self._fragments), [], b""
        if self._answers and self.answers(payload):
            answer = self._answers.popleft()
            if not answer.done():
                answer.set_result(payload)
        else:
            self.message(payload, header)

    def answers(self, payload: bytes) -> bool:
        """Whether a message is an answer, and not something that came before it."""
        return token.PATTERN.search(payload) is None


def _seconds(value: bytes | None) -> float | None:
    try:
        return None if value is None else max(0.0, float(value))
    except ValueError:
        return None
