"""A whole hub inside the test's loop, whose clock and store a test may take in its hands."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import hub.app
from hub.gateway import Gateway
from hub.store import Store
from protocol.errors import STORAGE
from tests.fault.conftest import world
from tests.websocket.conftest import StartHub, World, start_hub

__all__ = ["start_hub"]


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


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], FailingStore]:
    """Hubs that start from now on have a store that can fail; returns how to get at it."""
    make = hub.app.make_store
    monkeypatch.setattr(hub.app, "make_store", lambda settings: FailingStore(make(settings)))
    return lambda world: world.hub.store  # type: ignore[return-value]


@pytest.fixture
async def home(start_hub: StartHub) -> World:
    """A hub with an administrator and three devices in one network."""
    return await start_hub(world())
