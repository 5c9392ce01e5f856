"""A whole hub in the test's own event loop, with a small world in it, asked over real HTTP."""

import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

import hub.passwords
from hub.app import Hub
from hub.settings import Settings
from hub.store import Tx
from tests.rest import http
from tests.rest.http import NOBODY, Client, Who
from tests.websocket import world as websocket_world
from tests.websocket.conftest import World, opened, settings_for
from tests.websocket.world import Secrets, fill

WORLD: dict[str, Any] = {
    "networks": [{"name": "home"}, {"name": "away", "key": "away-key"}],
    "users": [
        {"login": "admin", "password": "admin-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []},
        {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["home"]},
        {"login": "bob", "password": "bob-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["away"]},
    ],
    "deviceClass": {"name": "Sensor", "version": "1", "isPermanent": False, "offlineTimeout": None, "data": None},
    "devices": [
        {
            "guid": guid,
            "key": f"{guid}-key",
            "name": guid.title(),
            "status": None,
            "data": None,
            "network": network,
            "blocked": False,
        }
        for guid, network in (("lamp", "home"), ("door", "home"), ("oven", "away"), ("loose", None))
    ],
    "accessKeys": [
        {"name": "everything", "owner": "admin", "permissions": [{}]},
        {"name": "alices", "owner": "alice", "permissions": [{}]},
        {"name": "lamp-only", "owner": "alice", "permissions": [{"deviceGuids": ["lamp"]}]},
    ],
}
"""Ids are given in the order of the data: home 1, away 2; admin 1, alice 2, bob 3; everything 1, …"""

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A password that is checked with every request must not take a tenth of a second of a test."""
    monkeypatch.setattr(hub.passwords, "_hasher", CHEAP)
    monkeypatch.setattr(websocket_world, "_hashed", cache(hub.passwords.hash_password))
    hub.passwords._nobody.cache_clear()
    yield
    hub.passwords._nobody.cache_clear()


class Site(World):
    """A running hub, and clients of it for everybody in its world."""

    def client(self, who: Who = NOBODY, *, root: str = "/api/rest") -> Client:
        """Whoever has these headers."""
        return Client(self.hub.port, who, root=root)

    @property
    def nobody(self) -> Client:
        return self.client()

    def by_login(self, login: str) -> Client:
        """A user, whose password is in the data as the login and ``-pw``."""
        return self.client(http.user(login, f"{login}-pw"))

    def by_key(self, name: str) -> Client:
        """Whoever has this access key of the data."""
        return self.client(http.key(self.secrets[name]))

    def by_device(self, guid: str) -> Client:
        """A device, whose key is in the data as the guid and ``-key``."""
        return self.client(http.device(guid, f"{guid}-key"))

    @property
    def admin(self) -> Client:
        return self.by_login("admin")


StartSite = Callable[..., Awaitable[Site]]


Put = Callable[[Tx, dict[str, Any], Settings], Secrets]
"""Fills a new database with a world, under these settings."""


class Templates:
    """Databases with a world in them, made once and copied for each hub that starts in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: dict[str, tuple[Path, Secrets]] = {}

    async def copy(self, data: dict[str, Any], settings: Settings, put: Put) -> Secrets:
        """Put a world where the settings want their database; returns the secrets of its keys."""
        name = json.dumps([data, settings.access_keys_readable, settings.compat])
        if name not in self._made:
            path = self._directory / f"{len(self._made)}.db"
            template = settings.model_copy(update={"database_url": type(settings.database_url)(f"sqlite:///{path}")})
            async with opened(template) as store:
                self._made[name] = path, await store.transact(lambda tx: put(tx, data, template))
        path, secrets = self._made[name]
        shutil.copy(path, str(settings.database_path))
        return secrets


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture
async def start_site(tmp_path: Path, templates: Templates, cheap_passwords: None) -> AsyncIterator[StartSite]:
    """Start a hub: ``await start_site(compat="devicehive", …)``. It stops when the test is over.

    ``data=`` is another world, ``put=`` how a world gets into the store, ``then=`` what more goes there this once.
    """
    async with AsyncExitStack() as stack:

        async def start(
            data: dict[str, Any] = WORLD,
            put: Put = lambda tx, data, settings: fill(tx, data),
            then: Callable[[Tx], Secrets] | None = None,
            **chosen: Any,
        ) -> Site:
            settings = settings_for(tmp_path, **chosen)
            secrets = await templates.copy(data, settings, put)
            if then is not None:
                async with opened(settings) as store:
                    secrets = {**secrets, **await store.transact(then)}
            hub = Hub(settings)
            await hub.start()
            stack.push_async_callback(hub.stop)
            return Site(hub, settings, secrets, stack)

        yield start


@pytest.fixture
async def site(start_site: StartSite) -> Site:
    """A hub with the settings that it has by default, except that it does not count requests."""
    return await start_site(rest_requests_per_s=0.0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A hub for each test takes its time: of these, ``make test-fast`` runs those that need none."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "start_site" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
