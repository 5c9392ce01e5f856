"""The stores under test. A new one is done when this directory passes on it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from hub.store import Store
from hub.store.secrets import Secrets
from hub.store.sqlite import SqliteStore
from tests.builders import EARLIER_MS

PEPPER = b"a pepper of thirty-two bytes or more"

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_ms = EARLIER_MS

    def __call__(self) -> int:
        return self.now_ms


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """A store that is closed whatever happens."""
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def sqlite_at(path: Path, **options: object) -> SqliteStore:
    """A store on a file, with a pepper of the tests' own."""
    return SqliteStore(path, Secrets([PEPPER], readable=True), **options)


def on_sqlite(place: Path, clock: Clock) -> Store:
    return sqlite_at(place / "hub.db", now_ms=clock)


STORES = [pytest.param(on_sqlite, id="sqlite")]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=STORES)
def open_store(request, tmp_path, clock) -> OpenStore:
    """Opens a store; again and again the same database."""
    return lambda: opened(request.param(tmp_path, clock))


@pytest.fixture
async def store(open_store) -> AsyncIterator[Store]:
    """An empty store, open."""
    async with open_store() as store:
        yield store
