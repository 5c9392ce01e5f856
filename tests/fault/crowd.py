"""Inserters that repeat what they do not know the outcome of, and receivers that resume, at any of several gateways."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.protocol import State

from tests.fault.record import Insert, Mailbox, Receipt, Record

GONE = (OSError, ConnectionClosed, InvalidHandshake, InvalidMessage, TimeoutError, EOFError)
"""What a peer of a gateway that fails may see."""

WINDOW = 64
"""How many requests an inserter has under way."""

ANSWER_S = 10.0
"""How long an answer is waited for; then the connection is given up."""

AGAIN_S = 0.02
"""Before the next attempt to connect: as good as at once."""

REFUSED_S = 0.1
"""Before a request is repeated that was refused with 503."""


class Doors:
    """The ports of the gateways, and at which one to knock.

    Args:
        ports: of all gateways.
        first: which of them is tried first.
    """

    def __init__(self, ports: list[int], first: int = 0, *, stay: bool = False) -> None:
        self._ports = ports
        self._at = first
        self._stay = stay

    @property
    def port(self) -> int:
        return self._ports[self._at % len(self._ports)]

    def turn_to(self, number: int) -> None:
        """Knock next at this gateway."""
        self._at = number - 1

    def next(self) -> None:
        """The gateway is gone, or it is time to move."""
        if not self._stay:
            self._at += 1


class Peer:
    """Somebody who comes back until told to stop.

    Attributes:
        connections: how many there were.
        closes: when the gateway ended connections, and its close codes; None where there was no closing frame.
        pings_s: how often to look whether the gateway is alive; None: never.
    """

    def __init__(self, doors: Doors, endpoint: str, credentials: dict[str, str]) -> None:
        self.connections = 0
        self.closes: list[tuple[float, int | None]] = []
        self.pings_s: float | None = None
        self.online = False
        self._doors = doors
        self._endpoint = endpoint
        self._credentials = credentials
        self._stopping = False
        self._socket: ClientConnection | None = None

    def drop(self) -> None:
        """Lose the connection, without a word."""
        self.online = False
        if self._socket is not None:
            self._socket.transport.abort()

    def move(self, number: int) -> None:
        """Lose the connection, and go on at this gateway."""
        self._doors.turn_to(number)
        self.drop()

    def stop(self) -> None:
        self._stopping = True

    @property
    def done(self) -> bool:
        return self._stopping

    async def run(self) -> None:
        while not self.done:
            try:
                async with self._connected() as socket:
                    self._socket = socket
                    self.connections += 1
                    self.online = True
                    await self._live(socket)
            except GONE:
                await asyncio.sleep(AGAIN_S)
            finally:
                self.online = False
            self._doors.next()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        pings = {"ping_interval": self.pings_s, "ping_timeout": self.pings_s}
        async with connect(
            f"ws://127.0.0.1:{self._doors.port}/websocket/{self._endpoint}",
            proxy=None,
            compression=None,
            max_size=None,
            max_queue=1024,
            open_timeout=ANSWER_S,
            close_timeout=0.2,
            subprotocols=["hub.1.json"],  # type: ignore[list-item]
            **pings,
        ) as socket:
            try:
                await self.ask(socket, "authenticate", **self._credentials)
                yield socket
            finally:
                self._note_close(socket)

    def _note_close(self, socket: ClientConnection) -> None:
        close = socket.protocol
        if close.close_rcvd is not None and close.close_rcvd_then_sent:
            self.closes.append((time.monotonic(), close.close_rcvd.code))
        elif close.close_sent is None and close.state is not State.OPEN:
            self.closes.append((time.monotonic(), None))

    async def ask(self, socket: ClientConnection, action: str, **members: Any) -> dict[str, Any]:
        """Ask, pass by whatever comes before the answer, and return it.

        Raises:
            ConnectionAbortedError: a refusal that passes: 503.
        """
        await socket.send(orjson.dumps({"action": action, "requestId": action, **members}).decode())
        async with asyncio.timeout(ANSWER_S):
            while True:
                answer: dict[str, Any] = orjson.loads(await socket.recv())
                if answer.get("requestId") == action:
                    break
                self._take(answer)
        if answer.get("code") in (429, 503):
            raise ConnectionAbortedError(answer.get("error"))
        assert answer["status"] == "success", answer
        return answer

    async def _live(self, socket: ClientConnection) -> None:
        raise NotImplementedError

    def _take(self, frame: dict[str, Any]) -> None:
        """A push."""


class Inserter(Peer):
    """Inserts at a rate, each with an idempotency key, and goes on with each until it is acknowledged.

    Args:
        kind: ``notification`` or ``command``.
        devices: inserted for in turn.
        rate: a second; lower while answers are late.
    """

    _names = count()

    def __init__(
        self,
        record: Record,
        doors: Doors,
        kind: str,
        devices: list[str],
        rate: float,
        *,
        endpoint: str = "client",
        window: int = WINDOW,
        **credentials: str,
    ) -> None:
        super().__init__(doors, endpoint, credentials)
        self.refusals = 0
        self.refused_s: list[float] = []
        """How long each refusal took."""
        self.window = window
        self.kind = kind
        self._record = record
        self._devices = devices
        self._rate = rate
        self._mark = next(self._names)
        self._numbers = count()
        self._under_way: dict[str, float] = {}
        self._again: dict[str, float] = {}
        """What has to be sent once more, and when."""
        self._room = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._stopping and not self._under_way and not self._again

    async def _live(self, socket: ClientConnection) -> None:
        self._again = {**dict.fromkeys(self._under_way, 0.0), **self._again}
        self._under_way.clear()
        reading = asyncio.create_task(self._read(socket))
        try:
            await self._insert(socket, reading)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if reading.done() and not reading.cancelled() and (failure := reading.exception()) is not None:
            raise failure

    async def _insert(self, socket: ClientConnection, reading: asyncio.Task[None]) -> None:
        due_s = time.monotonic()
        while not self.done and not reading.done():
            await self._repeat(socket)
            due_s = max(due_s + 1 / self._rate, time.monotonic() - 1)
            if (late_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(late_s)
            if not self._stopping and len(self._under_way) < self.window and not self._again:
                await self._send(socket, self._fresh())
            elif self._under_way:
                self._room.clear()
                oldest_s = next(iter(self._under_way.values()))
                if time.monotonic() - oldest_s > ANSWER_S:
                    raise TimeoutError
                try:
                    async with asyncio.timeout(0.2):
                        await self._room.wait()
                except TimeoutError:
                    pass

    async def _repeat(self, socket: ClientConnection) -> None:
        now_s = time.monotonic()
        for name in [name for name, at_s in self._again.items() if at_s <= now_s]:
            if len(self._under_way) < self.window:
                del self._again[name]
                await self._send(socket, name)

    def _fresh(self) -> str:
        number = next(self._numbers)
        device = self._devices[number % len(self._devices)]
        name = f"{self.kind}-{self._mark}-{number}"
        self._record.send(Insert(self.kind, device, name, time.monotonic()))
        return name

    async def _send(self, socket: ClientConnection, name: str) -> None:
        self._under_way[name] = time.monotonic()
        frame = {
            "action": f"{self.kind}/insert",
            "requestId": name,
            "idempotencyKey": name,
            "deviceGuid": self._record.inserts[name].device,
            self.kind: {self.kind: name},
        }
        await socket.send(orjson.dumps(frame).decode())

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                answer = orjson.loads(text)
                name = answer.get("requestId")
                if name not in self._under_way:
                    continue
                sent_s = self._under_way.pop(name)
                if answer["status"] == "success":
                    self._record.acknowledge(name, answer[self.kind]["id"], time.monotonic())
                else:
                    assert answer["code"] == 503, answer
                    self.refusals += 1
                    self.refused_s.append(time.monotonic() - sent_s)
                    self._again[name] = time.monotonic() + REFUSED_S
                self._room.set()
            await socket.wait_closed()
            raise ConnectionResetError("the gateway has closed")
        finally:
            self._room.set()


class Receiver(Peer):
    """Subscribes, and after each end of its connection subscribes again from the greatest id it has.

    Args:
        mailbox: where it puts what it gets.
        devices: to name in the subscription; None: all that it may see.
        every_s: how long to stay at a gateway once subscribed; None: until the connection ends.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        doors: Doors,
        *,
        endpoint: str = "client",
        devices: list[str] | None = None,
        every_s: float | None = None,
        **credentials: str,
    ) -> None:
        super().__init__(doors, endpoint, credentials)
        self.unrecovered: list[dict[str, Any]] = []
        self.mailbox = mailbox
        self._devices = devices
        self._every_s = every_s
        self._cursors = dict.fromkeys(sorted(mailbox.kinds), 0)

    @property
    def moves(self) -> bool:
        """Whether it goes on to the next gateway now and then."""
        return self._every_s is not None

    def settle(self) -> None:
        """From the next gateway on it stays."""
        self._every_s = None

    async def _live(self, socket: ClientConnection) -> None:
        self.online = False
        self.mailbox.begin()
        where = {} if self._devices is None or self._endpoint == "device" else {"deviceGuids": self._devices}
        for kind, cursor in self._cursors.items():
            answer = await self.ask(socket, f"{kind}/subscribe", **where, since=cursor)
            if not answer["recovered"]:
                self.unrecovered.append(answer)
        self.online = True
        try:
            async with asyncio.timeout(self._every_s):
                async for text in socket:
                    self._take(orjson.loads(text))
        except TimeoutError:
            return

    def _take(self, frame: dict[str, Any]) -> None:
        kind, _, verb = frame["action"].partition("/")
        if verb != "insert" or kind not in self._cursors or kind not in frame:
            return
        message = frame[kind]
        self.mailbox.put(Receipt(kind, message["id"], message["deviceGuid"], message[kind], time.monotonic()))
        self._cursors[kind] = max(self._cursors[kind], message["id"])


@asynccontextmanager
async def running(peers: Callable[[], Any] | list[Peer]) -> AsyncIterator[dict[Peer, asyncio.Task[None]]]:
    """Let peers live beside the test; they end with it, and their errors show."""
    given = peers if isinstance(peers, list) else peers()
    tasks = {peer: asyncio.create_task(peer.run()) for peer in given}
    try:
        yield tasks
    finally:
        errors = [error for task in tasks.values() if task.done() and (error := task.exception()) is not None]
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        if errors:  # Rather than that somebody was waited for in vain.
            raise errors[0]
