"""The other side of a conversation: a real socket, and just enough around it to say in a line what a test means."""

import asyncio
import json
from collections import deque
from itertools import count
from typing import Any, Self

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.documents import Exchanges
from tests.waiting import WAIT_S

Frame = dict[str, Any]

_numbers = count(1)


class Peer:
    """A connected client or device. Every frame is held against the AsyncAPI document.

    Frames are handed out in the order of their arrival; pushes that come before an awaited response are kept.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._binary = socket.subprotocol == "hub.1.msgpack"
        self._pushes: deque[Frame] = deque()
        self._exchanges = Exchanges(extended=socket.subprotocol is not None)

    @classmethod
    async def connect(cls, port: int, path: str = "/websocket/client", **options: Any) -> Self:
        """Open a connection; ``options`` are those of ``websockets``' client."""
        plain = {"proxy": None, "compression": None, "ping_interval": None, "max_size": None, "open_timeout": WAIT_S}
        return cls(await connect(f"ws://127.0.0.1:{port}{path}", **{**plain, **options}))

    @property
    def subprotocol(self) -> str | None:
        """What the hub selected."""
        return self._socket.subprotocol

    @property
    def is_open(self) -> bool:
        return self._socket.close_code is None

    # --- frames

    async def send(self, **members: Any) -> None:
        """Send a message in the codec of the connection."""
        self._exchanges.sent(members)
        await self._socket.send(msgpack.packb(members) if self._binary else json.dumps(members))

    async def send_raw(self, data: str | bytes) -> None:
        """Send a text message for a string, a binary one for bytes."""
        self._exchanges.sent(data if isinstance(data, str) else {})
        await self._socket.send(data)

    async def receive(self) -> Frame:
        """The next frame, whatever it is."""
        async with asyncio.timeout(WAIT_S):
            data = await self._socket.recv()
        assert isinstance(data, bytes) == self._binary, "a frame of the wrong kind"
        frame = msgpack.unpackb(data) if isinstance(data, bytes) else json.loads(data)
        self._exchanges.received(frame)
        return frame

    # --- requests and pushes

    async def ask(self, action: str, **members: Any) -> Frame:
        """Send a request and wait for its response."""
        request_id = f"test-{next(_numbers)}"
        await self.send(action=action, requestId=request_id, **members)
        while (frame := await self.receive()).get("requestId") != request_id:
            assert "requestId" not in frame, f"a response to something else: {frame}"
            self._pushes.append(frame)
        return frame

    async def succeed(self, action: str, **members: Any) -> Frame:
        """Send a request that must succeed."""
        response = await self.ask(action, **members)
        assert response["status"] == "success", response
        return response

    async def push(self) -> Frame:
        """The next push."""
        return self._pushes.popleft() if self._pushes else await self.receive()

    async def pushes(self) -> list[Frame]:
        """Every push that was on its way when this was called.

        Nobody has to wait for silence: the hub writes a message to all its subscribers before it reads anything
        further, so whatever a request caused that has been answered, here or on another connection, comes before the
        response to a request that is only made now.
        """
        await self.succeed("server/info")
        pushes, self._pushes = list(self._pushes), deque()
        return pushes

    # --- the end

    async def closed(self) -> int:
        """Wait until the hub has closed the connection, passing over what still comes; returns the code."""
        async with asyncio.timeout(WAIT_S):
            try:
                while True:
                    await self._socket.recv()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd is not None else 1006

    def abort(self) -> None:
        """Break the connection off, whatever is still to be read."""
        self._socket.transport.abort()

    async def close(self) -> None:
        await self._socket.close()
