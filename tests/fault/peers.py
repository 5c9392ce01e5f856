"""Producers that pipeline, and followers that come back for what they have missed."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.fault.ledger import Fact, Ledger

GONE = (OSError, ConnectionClosed, InvalidHandshake, TimeoutError, EOFError)
"""What a peer of a hub that dies may see."""

WINDOW = 32
"""How many requests a producer has under way: more than the hub starts at once."""

MEMBER = {"notification": "notification", "command": "command"}


@asynccontextmanager
async def socket_to(
    port: int, *, extended: bool = False, endpoint: str = "client", **options: Any
) -> AsyncIterator[ClientConnection]:
    plain: dict[str, Any] = {"proxy": None, "compression": None, "ping_interval": None, "max_size": None}
    if extended:
        plain["subprotocols"] = ["hub.1.json"]
    async with connect(
        f"ws://127.0.0.1:{port}/websocket/{endpoint}", close_timeout=0.2, **{**plain, **options}
    ) as socket:
        yield socket


async def request(socket: ClientConnection, action: str, **members: Any) -> dict[str, Any]:
    """Ask, before any push can come, and return the answer."""
    await socket.send(json.dumps({"action": action, "requestId": "first", **members}))
    answer: dict[str, Any] = json.loads(await socket.recv())
    assert answer.get("requestId") == "first", answer
    return answer


async def succeed(socket: ClientConnection, action: str, **members: Any) -> dict[str, Any]:
    answer = await request(socket, action, **members)
    assert answer["status"] == "success", answer
    return answer


class Producer:
    """Inserts messages as fast as they are answered, over one connection after another, until it is stopped.

    Args:
        kind: ``notification`` or ``command``.
        devices: inserted for in turn.
    """

    def __init__(self, ledger: Ledger, port: int, kind: str, devices: list[str], **credentials: str) -> None:
        self.refused: list[dict[str, Any]] = []
        self.pause_s = 0.0
        """How long to wait between two requests."""
        self.idempotent = False
        """Whether each request carries a key of its own by which a repetition is known."""
        self._ledger = ledger
        self._port = port
        self._kind = kind
        self._devices = devices
        self._credentials = credentials
        self._numbers = count()
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def run(self) -> None:
        while not self._stopping:
            try:
                async with socket_to(self._port) as socket:
                    await succeed(socket, "authenticate", **self._credentials)
                    await self._produce(socket)
            except GONE:
                await asyncio.sleep(0.02)

    async def _produce(self, socket: ClientConnection) -> None:
        room = asyncio.Semaphore(WINDOW)
        waiting: dict[str, str] = {}
        reading = asyncio.create_task(self._read(socket, room, waiting))
        try:
            while not self._stopping and not reading.done():
                await room.acquire()
                await self._send(socket, waiting)
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)
            while waiting and not reading.done():
                await asyncio.sleep(0.01)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _send(self, socket: ClientConnection, waiting: dict[str, str]) -> None:
        number = next(self._numbers)
        name, device = f"{self._kind}-{id(self)}-{number}", self._devices[number % len(self._devices)]
        waiting[name] = device
        members: dict[str, Any] = {
            "deviceGuid": device,
            self._kind: {MEMBER[self._kind]: name, "parameters": {"n": number}},
        }
        if self.idempotent:
            members["idempotencyKey"] = name
        await socket.send(json.dumps({"action": f"{self._kind}/insert", "requestId": name, **members}))

    async def _read(self, socket: ClientConnection, room: asyncio.Semaphore, waiting: dict[str, str]) -> None:
        try:
            async for frame in socket:
                answer = json.loads(frame)
                name = answer["requestId"]
                device = waiting.pop(name)
                if answer["status"] == "success":
                    stored = answer[self._kind]
                    self._ledger.acknowledge(Fact(stored["id"], device, stored["timestamp"], name))
                else:
                    self.refused.append(answer)
                room.release()
        except ConnectionClosed:
            pass
        finally:
            room.release()


class Follower:
    """Subscribes, and after each end of its connection subscribes again from where it was, until it is stopped.

    Args:
        by: ``since`` (an extended connection, every device) or ``timestamp`` (an ordinary one, one device).
        every_s: how long to stay connected; None: until the connection ends.
    """

    def __init__(
        self,
        ledger: Ledger,
        name: str,
        port: int,
        kind: str,
        *,
        by: str,
        device: str | None = None,
        every_s: float | None = None,
        **credentials: str,
    ) -> None:
        self.name = name
        self.connections = 0
        self.answers: list[dict[str, Any]] = []
        self._ledger = ledger
        self._port = port
        self._kind = kind
        self._by = by
        self._device = device
        self._every_s = every_s
        self._credentials = credentials
        self._cursor: Any = 0 if by == "since" else "2020-01-01T00:00:00.000"

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._follow()
            except GONE:
                if self._every_s is None:
                    await asyncio.sleep(0.02)

    async def _follow(self) -> None:
        async with socket_to(self._port, extended=self._by == "since") as socket:
            await succeed(socket, "authenticate", **self._credentials)
            where = {} if self._device is None else {"deviceGuids": [self._device]}
            answer = await succeed(socket, f"{self._kind}/subscribe", **where, **{self._by: self._cursor})
            self.answers.append(answer)
            self.connections += 1
            async for frame in socket:
                self._take(json.loads(frame))

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["action"] != f"{self._kind}/insert":
            return
        message = frame[self._kind]
        fact = Fact(message["id"], message["deviceGuid"], message["timestamp"], message[MEMBER[self._kind]])
        self._ledger.receive(self.name, fact)
        self._cursor = fact.id if self._by == "since" else fact.timestamp


@asynccontextmanager
async def running(*runners: Callable[[], Any]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run producers and followers beside the test; whatever is left of them ends with it, and their errors show."""
    tasks = [asyncio.create_task(run()) for run in runners]
    try:
        yield tasks
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
