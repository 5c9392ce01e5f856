"""A whole hub inside the test's loop, whose store a test may take in its hands."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

import hub.app
from tests.bus.conftest import shared_redis
from tests.gateway.cluster import Cluster, StartCluster, clusters
from tests.gateway.inside import FailingStore, world
from tests.store.conftest import database, postgres
from tests.websocket.conftest import StartHub, World, start_hub

__all__ = ["database", "postgres", "shared_redis", "start_hub"]


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


@pytest.fixture(params=["sqlite", "postgres and redis"])
def cluster_place(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the database and the bus of a cluster are."""
    if request.param == "sqlite":
        return {}
    redis, url = request.getfixturevalue("shared_redis"), request.getfixturevalue("database")
    return {"database_url": url, "bus_url": redis.url, "bus_prefix": f"test-{uuid4().hex[:12]}"}


@pytest.fixture
async def start_cluster(
    cluster_place: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[StartCluster]:
    """Start several hubs of one cluster: ``await start_cluster(data, hubs=3)``. They stop when the test is over."""
    async with clusters(tmp_path, monkeypatch, **cluster_place) as start:
        yield start


@pytest.fixture
async def local_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Two hubs whose bus a test may take in its hands."""
    async with clusters(tmp_path, monkeypatch) as start:
        yield await start(world())


ARE_QUICK = ("test_heard.py", "test_known.py", "test_order.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole hubs take their time: none of these is part of ``make test-fast``."""
    for item in items:
        if Path(__file__).parent in item.path.parents and item.path.name not in ARE_QUICK:
            item.add_marker(pytest.mark.slow)
