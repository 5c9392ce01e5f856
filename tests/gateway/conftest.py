"""A whole hub inside the test's loop, whose store a test may take in its hands."""

from collections.abc import Callable

import pytest

import hub.app
from tests.gateway.inside import FailingStore, world
from tests.websocket.conftest import StartHub, World, start_hub

__all__ = ["start_hub"]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[World], FailingStore]:
    """Hubs that start from now on have a store that can fail; returns how to get at it."""
    make = hub.app.make_store
    monkeypatch.setattr(hub.app, "make_store", lambda settings: FailingStore(make(settings)))
    return lambda home: home.hub.store  # type: ignore[return-value]


@pytest.fixture
async def home(start_hub: StartHub) -> World:
    """A hub with an administrator and three devices in one network."""
    return await start_hub(world())
