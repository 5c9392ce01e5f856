"""What tests need to get at the inside of a running hub: its clock, its store, and a small world to start with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from hub.gateway import Gateway
from hub.store import Store
from protocol.errors import STORAGE

TURNS = 10
"""More turns of the loop than anything takes that waits for nothing else."""

DEVICES = ["lamp", "fan", "door"]


def world(devices: list[str] = DEVICES) -> dict[str, Any]:
    """An administrator with a key, and devices in one network."""
    given = {"status": None, "data": None, "network": "home", "blocked": False}
    return {
        "networks": [{"name": "home"}],
        "users": [{"login": "admin", "password": "admin-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []}],
        "deviceClass": {"name": "Sensor", "version": "1", "isPermanent": False, "offlineTimeout": None, "data": None},
        "devices": [{"guid": guid, "key": f"{guid}-key", "name": guid, **given} for guid in devices],
        "accessKeys": [{"name": "admin", "owner": "admin", "permissions": [{}]}],
    }


class Clock:
    """The hub's clock: stands still until it is moved."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def forward(self, seconds: float) -> None:
        self.now_us += int(seconds * 1e6)


def take_clock(gateway: Gateway) -> Clock:
    """Stop a running gateway's clock where it is."""
    clock = Clock(gateway.now_us())
    gateway.now_us = clock
    return clock


class LoopTime:
    """The running loop's own clock: with what really passes, it goes as far ahead as a test wants."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real_s, self._ahead_s = loop.time, 0.0
        loop.time = self  # type: ignore[method-assign]

    def __call__(self) -> float:
        return self._real_s() + self._ahead_s

    async def forward(self, seconds: float) -> None:
        """Let time pass, and what is due by then happen."""
        self._ahead_s += seconds
        for _ in range(TURNS):
            await asyncio.sleep(0)


class FailingStore:
    """A store whose methods do not answer when a test says so. Everything else is the real one's.

    Attributes:
        fails: asked before each call, by the method's name; true: the database does not answer.
        gates: by the method's name, what a call waits for before it is made.
    """

    def __init__(self, store: Store) -> None:
        self.fails: Callable[[str], bool] = lambda name: False
        self.gates: dict[str, Callable[[], Awaitable[Any]]] = {}
        self.failures = 0
        self._store = store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if name in ("open", "close", "key_matches"):
            return method

        async def call(*args: Any, **options: Any) -> Any:
            if name in self.gates:
                await self.gates[name]()
            if self.fails(name):
                self.failures += 1
                raise STORAGE.error()
            return await method(*args, **options)

        return call


class Gate:
    """Lets calls wait until it is opened, and tells that one is waiting."""

    def __init__(self) -> None:
        self.reached, self._open = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self._open.wait()

    def open(self) -> None:
        self._open.set()
