"""Hubs that faults happen to: in processes of their own, and, where a clock or a store has to be held still, inside."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from hub.store import LogQuery
from protocol.names import Kind
from tests.fault.process import HubProcess
from tests.gateway.conftest import failing
from tests.gateway.inside import world
from tests.websocket.conftest import PEPPER, opened, settings_for, start_hub
from tests.websocket.world import fill

__all__ = ["failing", "start_hub"]


@dataclass
class Installation:
    """A hub in a process of its own, and its database.

    Attributes:
        key: an administrator's access key.
    """

    hub: HubProcess
    directory: Path
    key: str

    @property
    def database(self) -> Path:
        return self.directory / "hub.db"

    async def stored(self, kind: Kind) -> list[int]:
        """The ids in the log. Only while no hub runs."""
        async with opened(settings_for(self.directory)) as store:
            ids, query = [], LogQuery(kind)
            while True:
                page = await store.read(query)
                ids += [logged.message.id for logged in page.messages]
                if page.complete:
                    return ids
                query = LogQuery(kind, after=page.read_to)

    def writing(self) -> "closing[sqlite3.Connection]":
        """A connection that holds the database's write lock until it is closed."""
        connection = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        connection.execute("BEGIN IMMEDIATE")
        return closing(connection)


Install = Callable[..., Awaitable[Installation]]


@pytest.fixture
async def install(tmp_path: Path) -> AsyncIterator[Install]:
    """Fill a database and start a hub on it: ``await install(HUB_DURABILITY="queued")``. It ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(**environ: str) -> Installation:
            async with opened(settings_for(tmp_path)) as store:
                keys = await store.transact(lambda tx: fill(tx, world()))
            hub = HubProcess(tmp_path, HUB_PEPPER=PEPPER, HUB_DRAIN_S="0", **environ)
            await hub.start()
            stack.push_async_callback(hub.kill)
            return Installation(hub, tmp_path, keys["admin"])

        yield start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole hubs take their time: none of these is part of ``make test-fast``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
