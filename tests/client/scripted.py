"""A hub that does what a test says, over real sockets."""

import asyncio
import http
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from ssl import SSLContext
from typing import Any, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from hub.client import Options
from protocol.codecs import JSON, MSGPACK
from tests.waiting import WAIT_S

T = TypeVar("T")

TIMEOUT_S = WAIT_S
"""The longest that anything here may take."""

FAST = Options(backoff_first_s=0.01, backoff_most_s=0.02, timeout_s=TIMEOUT_S, stable_s=TIMEOUT_S)
"""Connect again at once."""


async def within(awaitable: Awaitable[T]) -> T:
    """Await, but not for ever."""
    async with asyncio.timeout(TIMEOUT_S):
        return await awaitable


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that only the client knows."""
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)


class Peer:
    """One connection, as the hub sees it."""

    def __init__(self, socket: ServerConnection, refusals: dict[str, dict[str, Any]]) -> None:
        self.socket = socket
        self.credentials: dict[str, Any] | None = None
        self.path = socket.request.path if socket.request else ""
        self._codec = MSGPACK if socket.subprotocol == "hub.1.msgpack" else JSON
        self._refusals = refusals
        self._requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def serve(self) -> None:
        """Answer authenticate at once, and keep everything else for the test."""
        try:
            while True:
                request = self._codec.decode(await self.socket.recv(decode=False))
                if request["action"] in self._refusals:
                    await self.refuse(request, **self._refusals[request["action"]])
                elif request["action"] == "authenticate":
                    self.credentials = request
                    await self.answer(request)
                else:
                    self._requests.put_nowait(request)
        except ConnectionClosed:
            pass

    async def request(self, action: str) -> dict[str, Any]:
        """The next request, which must be for this action."""
        request = await within(self._requests.get())
        assert request["action"] == action
        return request

    async def send(self, **members: Any) -> None:
        await self.socket.send(self._codec.encode(members), text=self._codec is JSON)

    async def answer(self, request: dict[str, Any], **members: Any) -> None:
        await self.send(action=request["action"], requestId=request["requestId"], status="success", **members)

    async def refuse(self, request: dict[str, Any], code: int, **members: Any) -> None:
        envelope = {"action": request["action"], "requestId": request["requestId"], "status": "error", "code": code}
        await self.send(**envelope, **{"error": "No", **members})

    async def subscribe(self, action: str = "notification/subscribe", **members: Any) -> dict[str, Any]:
        """Take a subscription and confirm it as ``s``."""
        request = await self.request(action)
        await self.answer(request, subscriptionId="s", **members)
        return request

    async def notify(self, *ids: int) -> None:
        for message_id in ids:
            view = {
                "id": message_id,
                "notification": "watts",
                "deviceGuid": "lamp",
                "parameters": {"value": message_id},
            }
            view["timestamp"] = "2026-01-01T00:00:00.000"
            await self.send(action="notification/insert", subscriptionId="s", deviceGuid="lamp", notification=view)

    async def command(self, action: str, message_id: int, **members: Any) -> None:
        view = {
            "id": message_id,
            "command": "on",
            "deviceGuid": "lamp",
            "timestamp": "2026-01-01T00:00:00.000",
            **members,
        }
        await self.send(action=action, subscriptionId="s", deviceGuid="lamp", command=view)

    async def close(self, code: int = 1012) -> None:
        await self.socket.close(code)

    async def drop(self) -> None:
        """Break the connection without a word."""
        self.socket.transport.abort()
        await self.socket.wait_closed()


class ScriptedHub:
    """Accepts connections and hands them to the test, one after another.

    Attributes:
        refusals: action → members of the error to answer it with.
        statuses: HTTP statuses with headers, to refuse as many handshakes with; afterwards connections are accepted.
    """

    def __init__(self, subprotocols: list[str]) -> None:
        self.refusals: dict[str, dict[str, Any]] = {}
        self.statuses: deque[tuple[int, dict[str, str]]] = deque()
        self.handshakes = 0
        self.subprotocols = subprotocols
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: Server | None = None
        self._scheme = "ws"

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"{self._scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/api/websocket"

    async def peer(self) -> Peer:
        """The next connection."""
        return await within(self._peers.get())

    async def start(self, ssl: SSLContext | None = None) -> Self:
        self._scheme = "ws" if ssl is None else "wss"
        self._server = await serve(
            self._serve, "127.0.0.1", 0, select_subprotocol=self._select, process_request=self._refuse, ssl=ssl
        )
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, socket: ServerConnection) -> None:
        peer = Peer(socket, self.refusals)
        self._peers.put_nowait(peer)
        await peer.serve()

    def _select(self, _: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((name for name in offered if name in self.subprotocols), None)

    def _refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        self.handshakes += 1
        if not self.statuses:
            return None
        status, headers = self.statuses.popleft()
        response = socket.respond(http.HTTPStatus(status), "")
        for name, value in headers.items():
            response.headers[name] = value
        return response


@asynccontextmanager
async def scripted(
    *, subprotocols: list[str] | None = None, ssl: SSLContext | None = None
) -> AsyncIterator[ScriptedHub]:
    """A running hub: in extended mode, unless ``subprotocols`` says otherwise."""
    hub = ScriptedHub(["hub.1.json", "hub.1.msgpack"] if subprotocols is None else subprotocols)
    await hub.start(ssl)
    try:
        yield hub
    finally:
        await hub.stop()
