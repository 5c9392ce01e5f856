"""A whole hub inside the test's loop, whose store a test may take in its hands."""

from collections.abc import Callable
from pathlib import Path

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole hubs take their time: none of these is part of ``make test-fast``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
