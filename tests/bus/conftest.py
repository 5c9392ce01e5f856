"""Redis servers that start once for all tests, and buses that are closed after theirs."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import pytest
import pytest_asyncio

from hub.bus import Bus
from hub.bus.local import LocalExchange
from hub.bus.redis import RedisBus
from tests.bus.hearing import Ear
from tests.bus.servers import Cluster, Server

Joined = tuple[Bus, Ear]
Join = Callable[..., Awaitable[Joined]]


class Hall(Protocol):
    """Where buses meet."""

    def bus(self) -> Bus: ...


class RedisHall:
    """Where buses meet in a Redis, apart from those of other tests."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix

    def bus(self) -> Bus:
        return RedisBus(self._url, prefix=self._prefix)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A Redis for tests that leave it in good order."""
    server = Server(tmp_path_factory.mktemp("redis"))
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster of three masters for tests that leave it in good order."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        await cluster.start()
        yield cluster
    finally:
        await cluster.kill()


@pytest.fixture(
    params=[
        "local",
        pytest.param("redis", marks=pytest.mark.slow),
        pytest.param("cluster", marks=pytest.mark.slow),
    ]
)
def hall(request: pytest.FixtureRequest) -> Hall:
    """Each kind of place where buses meet."""
    if request.param == "local":
        return LocalExchange()
    server = request.getfixturevalue(f"shared_{request.param}")
    return RedisHall(server.url, request.node.name)


@pytest.fixture
async def join(hall: Hall) -> AsyncIterator[Join]:
    """Opens buses that meet in the hall; they follow the given topics already."""
    buses: list[Bus] = []

    async def joined(*topics: int) -> Joined:
        bus, ear = hall.bus(), Ear()
        buses.append(bus)
        await bus.open(ear)
        bus.follow(topics)
        await ear.until_joined(*topics)
        return bus, ear

    yield joined
    for bus in buses:
        await bus.close()


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Awaitable[tuple[RedisBus, Ear]]]]:
    """Opens Redis buses, and closes them after the test."""
    buses: list[RedisBus] = []

    async def open_bus(url: str, *topics: int, **options: Any) -> tuple[RedisBus, Ear]:
        bus, ear = RedisBus(url, **options), Ear()
        buses.append(bus)
        bus.follow(topics)
        await bus.open(ear)
        return bus, ear

    yield open_bus
    for bus in buses:
        await bus.close()


@pytest.fixture
async def server(tmp_path: Any) -> AsyncIterator[Server]:
    """A Redis of the test's own, to be ill-treated."""
    server = Server(tmp_path)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()
