"""A whole hub inside the test's loop, whose store a test may take in its hands."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

import hub.app
from tests.gateway.cluster import StartCluster, clusters
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


@pytest.fixture
async def start_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StartCluster]:
    """Start several hubs of one cluster: ``await start_cluster(data, hubs=3)``. They stop when the test is over."""
    async with clusters(tmp_path, monkeypatch) as start:
        yield start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole hubs take their time: none of these is part of ``make test-fast``."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.name != "test_heard.py":
            item.add_marker(pytest.mark.slow)
