"""The least client there can be: bytes on a TCP socket, and WebSocket frames with any header one likes.

It reads only when it is told to, so a test decides what a slow reader is; and it sends what no well-behaved client
would.
"""

import asyncio
import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import msgpack

from tests.documents import check_frame
from tests.waiting import WAIT_S

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

UPGRADE = (
    ("Host", "127.0.0.1"),
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)
"""A valid handshake, and nothing more; the key is the sample of RFC 6455."""

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The answer to that key."""

Headers = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; names of headers are in lower case."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame that the hub sent."""

    opcode: int
    payload: bytes
    fin: bool

    def members(self) -> dict[str, Any]:
        """The message in it."""
        return msgpack.unpackb(self.payload) if self.opcode == BINARY else json.loads(self.payload)

    def code(self) -> int:
        """The code of a close frame."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2])

    def reason(self) -> str:
        """The reason of a close frame."""
        return self.payload[2:].decode()


def request(path: str = "/websocket/client", headers: Headers = UPGRADE, *, method: str = "GET") -> bytes:
    """The head of an HTTP request."""
    lines = [f"{method} {path} HTTP/1.1".encode()]
    lines += [
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode("latin-1"))
        for name, value in headers
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def upgrade(path: str = "/websocket/client", *extra: tuple[str, str | bytes], **changed: str | None) -> bytes:
    """A handshake with further headers, and some of the usual ones changed or, with None, left out."""
    values = {name.replace("_", "-").lower(): value for name, value in changed.items()}
    usual = [(name, values.get(name.lower(), value)) for name, value in UPGRADE]
    return request(path, [*((name, value) for name, value in usual if value is not None), *extra])


def basic(login: str, password: str) -> tuple[str, str]:
    """The header of HTTP's Basic authentication."""
    return "Authorization", "Basic " + b64encode(f"{login}:{password}".encode()).decode()


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    claimed: int | None = None,
    length_size: int | None = None,
) -> bytes:
    """One frame as a client sends it.

    Args:
        reserved: the three reserved bits, as a number up to 7.
        masked: with a random mask; without one it is a violation.
        claimed: the length that the header tells; that of the payload if it is left out.
        length_size: bytes of the extended length: 0, 2 or 8; as few as possible if it is left out.
    """
    length = len(payload) if claimed is None else claimed
    if length_size is None:
        length_size = 0 if length < 126 else 2 if length < 65_536 else 8
    short = {0: length, 2: 126, 8: 127}[length_size]
    head = bytes([fin << 7 | reserved << 4 | opcode, masked << 7 | short]) + (
        length.to_bytes(length_size) if length_size else b""
    )
    if not masked:
        return head + payload
    mask = os.urandom(4)
    pattern = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return head + mask + (int.from_bytes(payload) ^ int.from_bytes(pattern)).to_bytes(len(payload))


def message(**members: Any) -> bytes:
    """A request in one text frame."""
    return frame(TEXT, json.dumps(members).encode())


class Wire:
    """One TCP connection to a hub."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = bytearray()
        self._extended = False
        self.received = 0
        """Bytes read so far."""

    # --- beginning and end

    @classmethod
    async def connect(cls, port: int, *, receive_bytes: int | None = None) -> Self:
        """A connection on which nothing has been said yet.

        Args:
            receive_bytes: the kernel's receive buffer; a small one makes a slow reader.
        """
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(WAIT_S):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @classmethod
    async def open(
        cls, port: int, path: str = "/websocket/client", *extra: tuple[str, str | bytes], **options: Any
    ) -> Self:
        """A connection whose handshake has succeeded."""
        wire = await cls.connect(port, **options)
        try:
            await wire.write(upgrade(path, *extra))
            response = await wire.response()
            assert response.status == 101, response
            wire._extended = "sec-websocket-protocol" in response.headers
        except BaseException:
            wire.close()
            raise
        return wire

    def abort(self) -> None:
        """Vanish: the peer gets a reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def close(self) -> None:
        self._socket.close()

    # --- writing

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while the hub does not read."""
        async with asyncio.timeout(WAIT_S):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def write_sliced(self, data: bytes, *cuts: int) -> None:
        """Send bytes in several segments, cut at these places; the hub reads each of them before the next comes."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = 0
        for cut in sorted({*cuts, len(data)}):
            if cut > begin:
                await self.write(data[begin:cut])
                for _ in range(3):  # The loop is the hub's too: after a few turns it has read what there is.
                    await asyncio.sleep(0)
                begin = cut

    async def send(self, **members: Any) -> None:
        """Send a request as JSON."""
        await self.write(message(**members))

    # --- reading

    async def read_some(self, most: int = 65_536) -> bytes:
        """Whatever comes next, past all that was read before; empty at the end."""
        async with asyncio.timeout(WAIT_S):
            data = await asyncio.get_running_loop().sock_recv(self._socket, most)
        self.received += len(data)
        return data

    async def _fill(self, size: int) -> None:
        while len(self._buffer) < size:
            data = await self.read_some()
            if not data:
                raise EOFError(bytes(self._buffer))
            self._buffer += data

    async def response(self, *, to_head: bool = False) -> Response:
        """The next HTTP response.

        Args:
            to_head: it answers a HEAD, so its body does not come whatever its length says.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            await self._fill(len(self._buffer) + 1)
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if to_head else int(headers.get("content-length", "0"))
        await self._fill(end + 4 + length)
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        _, status, reason = first.split(" ", 2)
        return Response(int(status), reason, headers, body)

    async def block(self) -> str:
        """The next lines of an event stream, up to an empty one."""
        while (end := self._buffer.find(b"\n\n")) < 0:
            await self._fill(len(self._buffer) + 1)
        block = self._buffer[:end].decode()
        del self._buffer[: end + 2]
        return block

    async def frame(self) -> Frame:
        """The next frame."""
        await self._fill(2)
        first, length = self._buffer[0], self._buffer[1]
        assert not length & 0x80, "the hub must not mask"
        at = 2 + {126: 2, 127: 8}.get(length, 0)
        await self._fill(at)
        if at > 2:
            length = int.from_bytes(self._buffer[2:at])
        await self._fill(at + length)
        payload = bytes(self._buffer[at : at + length])
        del self._buffer[: at + length]
        return Frame(first & 0x0F, payload, bool(first & 0x80))

    async def members(self) -> dict[str, Any]:
        """The next message, which is as its document says; pings of the hub in between are passed over."""
        while (one := await self.frame()).opcode == PING:
            pass
        assert one.opcode in (TEXT, BINARY), f"not a message: {one}, code {one.payload[:2].hex()}"
        members = one.members()
        check_frame(members, extended=self._extended)
        return members

    async def ask(self, action: str, **members: Any) -> dict[str, Any]:
        """Send a request; the next message is its answer."""
        await self.send(action=action, **members)
        return await self.members()

    async def succeed(self, action: str, **members: Any) -> dict[str, Any]:
        """Send a request that must succeed."""
        answer = await self.ask(action, **members)
        assert answer.get("status") == "success", answer
        return answer

    async def closing(self) -> Frame:
        """The close frame, whatever comes before it."""
        while (one := await self.frame()).opcode != CLOSE:
            pass
        return one

    async def closed(self) -> int:
        """The close code, whatever comes before it; 1006 when the connection ends without one."""
        try:
            return (await self.closing()).code()
        except (EOFError, ConnectionResetError):
            return 1006

    async def ended(self) -> bytes:
        """Wait for the end of the connection; returns what came before it."""
        rest = bytes(self._buffer)
        try:
            while data := await self.read_some():
                rest += data
        except ConnectionResetError:
            pass
        return rest
