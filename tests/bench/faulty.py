"""A server that speaks as much of the hub's language as a fan-out needs, and spoils what it delivers."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from websockets.asyncio.server import ServerConnection, serve

from hub.bench.plan import Names
from tests.waiting import WAIT_S


class Fault(StrEnum):
    """What the server does to every tenth message."""

    NONE = "none"
    DROP = "drop"
    REPEAT = "repeat"
    REORDER = "reorder"
    REFUSE = "refuse"


class FaultyHub:
    """The server's connections, and what it does to them."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.port = 0
        self._subscribers: list[ServerConnection] = []
        self._count = 0
        self._held = ""

    async def serve(self, started: threading.Event, stopped: threading.Event) -> None:
        async with serve(self._talk, "127.0.0.1", 0, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            started.set()
            await asyncio.to_thread(stopped.wait)

    async def _talk(self, connection: ServerConnection) -> None:
        async for text in connection:
            asked = json.loads(text)
            spoilt = False
            if asked["action"] == "notification/insert":
                self._count += 1
                spoilt = self._count % 10 == 0
            if asked["action"] == "notification/subscribe":
                self._subscribers.append(connection)
            refused = spoilt and self.fault is Fault.REFUSE
            status = {"status": "error", "code": 429} if refused else {"status": "success"}
            answer = {"action": asked["action"], "requestId": asked["requestId"], **status}
            await connection.send(json.dumps(answer, separators=(",", ":")))
            if asked["action"] == "notification/insert" and not refused:
                for payload in self._pushed(str(text), spoilt=spoilt):
                    await asyncio.gather(*(one.send(payload) for one in self._subscribers))

    def _pushed(self, text: str, *, spoilt: bool) -> list[str]:
        held, self._held = self._held, ""
        if not spoilt or self.fault is Fault.NONE:
            return [text, held] if held else [text]
        if self.fault is Fault.REORDER:
            self._held = text
            return []
        return [] if self.fault is Fault.DROP else [text, text]


@contextmanager
def faulty_hub(fault: Fault) -> Iterator[str]:
    """Such a server in a thread of its own; gives its address."""
    hub = FaultyHub(fault)
    started, stopped = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(hub.serve(started, stopped)))
    thread.start()
    try:
        assert started.wait(WAIT_S), "the server did not start"
        yield f"ws://127.0.0.1:{hub.port}/api/websocket"
    finally:
        stopped.set()
        thread.join(WAIT_S)


class Nothing:
    """Entities of a server that has none; it remembers what it was asked to remove."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    def make(self, names: Names, device_key: str) -> str:
        return "a key"

    def remove(self, names: Names) -> None:
        self.removed.append(names.tag)
