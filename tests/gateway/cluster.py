"""Several gateways of one cluster inside the test's loop, on one database and one bus."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import hub.app
from hub.app import Hub
from hub.bus.local import LocalExchange
from tests.waiting import until
from tests.websocket.conftest import World, opened, settings_for
from tests.websocket.world import fill

QUICK = {"heartbeat_s": 0.1, "bus_poll_s": 0.1, "lease_s": 0.5}
"""Tests do not wait for seconds."""


class Cluster:
    """Hubs that know of each other.

    Attributes:
        worlds: one for each hub, to connect to.
        exchange: their bus, where it is in-process.
    """

    def __init__(self, exchange: LocalExchange, worlds: list[World]) -> None:
        self.exchange = exchange
        self.worlds = worlds

    async def settled(self) -> None:
        """All workers have heard of each other, and nothing is missing anywhere."""
        others = [world.hub.gateway.others for world in self.worlds]

        async def is_settled() -> bool:
            return all(one.workers == len(others) and not one.heard.in_doubt for one in others)

        await until(is_settled)


StartCluster = Callable[..., Awaitable[Cluster]]


@asynccontextmanager
async def clusters(tmp_path: Path, monkeypatch: Any, **place: str) -> AsyncIterator[StartCluster]:
    """Start hubs on one database: ``await start_cluster(data, hubs=2, …settings)``.

    Args:
        place: where the database and the bus are; left out, they are a file and in-process.
    """
    async with AsyncExitStack() as stack:

        async def start(data: dict[str, Any], *, hubs: int = 2, **chosen: Any) -> Cluster:
            exchange = LocalExchange()
            if "bus_url" not in place:
                monkeypatch.setattr(hub.app, "make_bus", lambda _: exchange.bus())
            nowhere = {"bus_url": "unix:///nowhere"}
            settings = settings_for(tmp_path, **{**QUICK, **nowhere, **place, **chosen})
            async with opened(settings) as store:
                secrets = await store.transact(lambda tx: fill(tx, data))
            worlds = []
            for _ in range(hubs):
                one = Hub(settings)
                await one.start()
                stack.push_async_callback(one.stop)
                worlds.append(World(one, settings, secrets, stack))
            cluster = Cluster(exchange, worlds)
            await cluster.settled()
            return cluster

        yield start
