"""Several gateways of one cluster inside the test's loop, on one database and one exchange of bundles."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hub.app
from hub.app import Hub
from hub.bus.local import LocalExchange
from hub.store.secrets import Secrets as Peppers
from hub.store.sqlite import SqliteStore
from tests.waiting import until
from tests.websocket.conftest import PEPPER, World, opened, settings_for
from tests.websocket.world import fill

QUICK = {"heartbeat_s": 0.1, "bus_poll_s": 0.1, "lease_s": 0.5}
"""Of the policy: tests do not wait for seconds."""


class Cluster:
    """Hubs that know of each other.

    Attributes:
        worlds: one for each hub, to connect to.
    """

    def __init__(self, exchange: LocalExchange, worlds: list[World], stack: AsyncExitStack) -> None:
        self.exchange = exchange
        self.worlds = worlds
        self._stack = stack

    async def settled(self) -> None:
        """All workers have heard of each other, and nothing is missing anywhere."""
        others = [world.hub.gateway.others for world in self.worlds]

        async def is_settled() -> bool:
            return all(one.workers == len(others) and not one.heard.in_doubt for one in others)

        await until(is_settled)


StartCluster = Callable[..., Awaitable[Cluster]]


@asynccontextmanager
async def clusters(tmp_path: Path, monkeypatch: Any) -> AsyncIterator[StartCluster]:
    """Start hubs on one database: ``await start_cluster(data, hubs=2, …settings)``."""
    async with AsyncExitStack() as stack:

        async def start(data: dict[str, Any], *, hubs: int = 2, **chosen: Any) -> Cluster:
            exchange, settings = LocalExchange(), settings_for(tmp_path, **chosen)
            async with opened(settings) as store:
                secrets = await store.transact(lambda tx: fill(tx, data))
            path = tmp_path / "hub.db"
            kept = Peppers([PEPPER.encode()])
            make_policy = hub.app.make_policy
            monkeypatch.setattr(hub.app, "make_store", lambda _: SqliteStore(path, kept, shared=True))
            monkeypatch.setattr(hub.app, "LocalBus", exchange.bus)
            monkeypatch.setattr(hub.app, "lock", lambda _: (tmp_path / "not-locked").open("ab"))
            monkeypatch.setattr(hub.app, "make_policy", lambda given: replace(make_policy(given), **QUICK))
            worlds = []
            for _ in range(hubs):
                one = Hub(settings)
                await one.start()
                stack.push_async_callback(one.stop)
                worlds.append(World(one, settings, secrets, stack))
            cluster = Cluster(exchange, worlds, stack)
            await cluster.settled()
            return cluster

        yield start
