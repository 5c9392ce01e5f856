"""The stores under test. A new one is done when this directory passes on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from hub.store import LogQuery, Page, Store, sqlite_read
from hub.store.secrets import Secrets
from hub.store.sqlite import SqliteStore
from tests import postgres as servers
from tests.builders import EARLIER_MS
from tests.waiting import WAIT_S

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


def postgres_at(url: str, **options: object) -> Store:
    """The same in a database of a server."""
    from hub.store.postgres import PostgresStore

    return PostgresStore(url, Secrets([PEPPER], readable=True), **{"wait_s": WAIT_S, **options})


async def read_examining(store: Store, query: LogQuery, *, examined: int) -> Page:
    """A page for which no more than so many rows are looked at."""
    if isinstance(store, SqliteStore):
        return await store._reader.do(lambda connection: sqlite_read.read_page(connection, query, examined=examined))
    from hub.store import postgres_read

    return await store._readers.ask(partial(postgres_read.read_page, query=query, examined=examined))


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Server]:
    """A server, whose new databases have the newest schema."""
    with servers.running() as server:
        server.do("postgres", "CREATE DATABASE migrated")
        asyncio.run(_migrate(server.url("migrated")))
        server.keep_as_template("migrated")
        yield server


async def _migrate(url: str) -> None:
    async with opened(postgres_at(url)):
        pass


@pytest.fixture
def database(postgres) -> Iterator[str]:
    """The URL of an empty database with the newest schema."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def on_sqlite(tmp_path) -> Callable[..., Store]:
    """Makes stores on a file."""
    return lambda **options: sqlite_at(tmp_path / "hub.db", **options)


@pytest.fixture
def on_postgres(database) -> Callable[..., Store]:
    """Makes stores in a database."""
    return lambda **options: postgres_at(database, **options)


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request, clock) -> OpenStore:
    """Opens a store; again and again the same database."""
    make = request.getfixturevalue(f"on_{request.param}")
    return lambda: opened(make(now_ms=clock))


@pytest.fixture
async def store(open_store) -> AsyncIterator[Store]:
    """An empty store, open."""
    async with open_store() as store:
        yield store
