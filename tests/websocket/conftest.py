"""A whole hub inside the test's own event loop, reached over real sockets."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hub.app import Hub, make_store
from hub.settings import Settings
from hub.store import Store
from tests.websocket.peer import Peer
from tests.websocket.world import Secrets, fill

IN_A_HURRY = {"accepts_per_s": 0.0, "accepts_per_key_per_s": 0.0}
"""Tests connect as fast as they can, with the same few keys; those of these limits set them."""

PEPPER = "a pepper that only tests ever use"


def settings_for(directory: Path, **chosen: Any) -> Settings:
    """Settings on a database in this directory; a free port, and no time wasted at the end."""
    basic = {"port": 0, "database_url": f"sqlite:///{directory / 'hub.db'}", "pepper": PEPPER, "drain_s": 0.0}
    return Settings(**{**basic, **IN_A_HURRY, **chosen})


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Store]:
    """Another store on the same file: how the command line works beside a hub."""
    store = make_store(settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class World:
    """A running hub, and what the store held when it started.

    Attributes:
        secrets: of the access keys, by their names in the data.
    """

    def __init__(self, hub: Hub, settings: Settings, secrets: Secrets, stack: AsyncExitStack) -> None:
        self.hub = hub
        self.settings = settings
        self.secrets = secrets
        self._stack = stack

    async def connect(self, path: str = "/websocket/client", **options: Any) -> Peer:
        """A new connection, closed when the test is over."""
        peer = await Peer.connect(self.hub.port, path, **options)
        self._stack.push_async_callback(peer.close)
        return peer

    async def user(self, login: str, **options: Any) -> Peer:
        """A connection of a user, whose password is in the data as the login and ``-pw``."""
        return await self._authenticated("client", options, login=login, password=f"{login}-pw")

    async def key(self, name: str, **options: Any) -> Peer:
        """A connection of an access key."""
        return await self._authenticated("client", options, accessKey=self.secrets[name])

    async def device(self, guid: str, key: str, **options: Any) -> Peer:
        """A connection of a device."""
        return await self._authenticated("device", options, deviceId=guid, deviceKey=key)

    async def _authenticated(self, endpoint: str, options: dict[str, Any], **credentials: str) -> Peer:
        peer = await self.connect(f"/websocket/{endpoint}", **options)
        await peer.succeed("authenticate", **credentials)
        return peer

    async def change(self, work: Callable[[Any], Any]) -> Any:
        """Change something beside the running hub, as the command line does."""
        async with opened(self.settings) as store:
            return await store.transact(work)


StartHub = Callable[..., Awaitable[World]]


@pytest.fixture
async def start_hub(tmp_path: Path) -> AsyncIterator[StartHub]:
    """Start a hub: ``await start_hub(data, compat="devicehive", …)``. It stops when the test is over."""
    async with AsyncExitStack() as stack:

        async def start(data: dict[str, Any], **chosen: Any) -> World:
            settings = settings_for(tmp_path, **chosen)
            async with opened(settings) as store:
                secrets = await store.transact(lambda tx: fill(tx, data))
            hub = Hub(settings)
            await hub.start()
            stack.push_async_callback(hub.stop)
            return World(hub, settings, secrets, stack)

        yield start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hub for each test takes its time: of these, ``make test-fast`` runs the replayed exchanges only."""
    for item in items:
        if Path(__file__).parent == item.path.parent and item.path.name not in (
            "test_exchanges.py",
            "test_matching.py",
        ):
            item.add_marker(pytest.mark.slow)
