"""A whole hub with a small world in it, for tests of its edge."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.edge_client import Wire
from tests.websocket.conftest import World
from tests.websocket.conftest import start_hub as start_hub

WORLD: dict[str, Any] = {
    "networks": [{"name": "home"}],
    "users": [{"login": "admin", "password": "admin-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []}],
    "deviceClass": {"name": "Sensor", "version": "1", "isPermanent": False, "offlineTimeout": None, "data": None},
    "devices": [
        {
            "guid": guid,
            "key": f"{guid}-key",
            "name": guid,
            "status": None,
            "data": None,
            "network": "home",
            "blocked": False,
        }
        for guid in ("lamp", "door")
    ],
    "accessKeys": [
        {"name": "dashboard", "owner": "admin", "permissions": [{}]},
        {"name": "office", "owner": "admin", "permissions": [{"subnets": ["192.0.2.0/24"]}]},
    ],
}

StartHub = Callable[..., Awaitable[World]]


@pytest.fixture
def start(start_hub: StartHub) -> StartHub:
    """Start a hub with these settings: ``await start(fragments=4)``. It stops when the test is over."""

    async def start(**chosen: Any) -> World:
        return await start_hub(WORLD, **chosen)

    return start


@pytest.fixture
async def world(start: StartHub) -> World:
    """A hub with the settings it has by default."""
    return await start()


class Wires:
    """Opens wires to a hub, and closes them when the test is over."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    async def connect(self, world: World, **options: Any) -> Wire:
        """A TCP connection on which nothing has been said."""
        return self._kept(await Wire.connect(world.hub.port, **options))

    async def open(self, world: World, *args: Any, **options: Any) -> Wire:
        """An anonymous WebSocket."""
        return self._kept(await Wire.open(world.hub.port, *args, **options))

    async def dashboard(self, world: World, *extra: tuple[str, str], **options: Any) -> Wire:
        """A WebSocket of the key that may do everything."""
        bearer = ("Authorization", f"Bearer {world.secrets['dashboard']}")
        return await self.open(world, "/websocket/client", bearer, *extra, **options)

    async def device(self, world: World, guid: str = "lamp", *extra: tuple[str, str], **options: Any) -> Wire:
        """A WebSocket of a device."""
        credentials = (("Auth-DeviceID", guid), ("Auth-DeviceKey", f"{guid}-key"))
        return await self.open(world, "/websocket/device", *credentials, *extra, **options)

    def _kept(self, wire: Wire) -> Wire:
        self._stack.callback(wire.close)
        return wire


@pytest.fixture
async def wires() -> AsyncIterator[Wires]:
    with ExitStack() as stack:
        yield Wires(stack)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole hubs take their time: none of these is part of ``make test-fast``."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)
