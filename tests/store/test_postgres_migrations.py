"""The schema on PostgreSQL, and what keeps a database from being opened."""

import asyncio
import time

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from hub.store import LogQuery, Reach, migrations
from hub.store.errors import CannotOpen
from hub.store.postgres_connect import Address
from hub.store.postgres_session import transaction, wrap
from hub.store.schema import metadata
from protocol.names import Kind
from tests.postgres import PASSWORD, name_of
from tests.store.conftest import opened, postgres_at
from tests.store.world import add_device, add_user, append, notification, read


@pytest.fixture
def empty(postgres):
    """The URL of a database in which nothing is."""
    with postgres.database(template="template1") as url:
        yield url


async def test_the_migrations_build_what_the_metadata_says(database):
    """But for the indexes that tell where messages are: SQLite has a table for that."""
    connection = await asyncpg.connect(database)
    wrapped = await wrap(connection)

    differences = await wrapped.run_sync(
        lambda one: compare_metadata(MigrationContext.configure(one, opts={"compare_server_default": True}), metadata)
    )
    await wrapped.close()

    assert {(what, index.name) for what, index in differences} == {
        ("remove_index", "ix_notification_place"),
        ("remove_index", "ix_command_place"),
        ("add_index", "ix_command_device_id"),
    }


async def test_two_processes_may_make_the_database_together(empty):
    """One of them migrates, the other finds it done."""
    stores = [postgres_at(empty) for _ in range(3)]

    await asyncio.gather(*(store.open() for store in stores))

    await add_user(stores[0])
    assert await stores[1].find_login("alice")
    await asyncio.gather(*(store.close() for store in stores))


async def test_opening_again_keeps_everything(empty):
    """A restart is no event."""
    async with opened(postgres_at(empty)) as store:
        lamp = await add_device(store)
        told = notification(lamp)
        await append(store, [told])
    async with opened(postgres_at(empty)) as store:
        assert lamp == (await store.find_device("lamp")).device
        assert [told] == await read(store)


async def test_an_interrupted_migration_leaves_nothing(empty):
    """All of it or none of it; the next start begins anew."""
    connection = await asyncpg.connect(empty)
    wrapped = await wrap(connection)
    with pytest.raises(ZeroDivisionError):
        await _upgrade_and_fail(connection, wrapped)
    left = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await wrapped.close()

    assert left == 0
    async with opened(postgres_at(empty)) as store:
        assert (await store.check())["schema"] == migrations.newest()


async def _upgrade_and_fail(connection, wrapped):
    async with transaction(connection):
        await wrapped.run_sync(migrations.upgrade)
        raise ZeroDivisionError


# --- databases that cannot be opened ----------------------------------------------------------------------------------


async def test_a_newer_schema_is_not_touched(postgres, database):
    """Whoever is older says so and changes nothing."""
    postgres.do(name_of(database), "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(CannotOpen, match="9999"):
        await postgres_at(database).open()

    assert postgres.do(name_of(database), "SELECT version_num FROM alembic_version") == "9999"


async def test_a_password_lets_in_and_is_never_shown(postgres, database):
    """Neither by the store nor by what it says of itself."""
    store = postgres_at(postgres.address(name_of(database)))
    async with opened(store):
        place = (await store.check())["place"]

    assert place == f"127.0.0.1:{postgres.port}/{name_of(database)}"
    assert PASSWORD not in repr(store)
    assert PASSWORD not in repr(vars(store))


@pytest.mark.parametrize("what", ["password", "database", "port", "encoding"])
async def test_what_cannot_be_opened_is_named(postgres, what):
    """Host, port and database, and what is wrong; never the password."""
    secret = "not-the-password" if what == "password" else PASSWORD
    name = {"database": "nowhere", "encoding": "latin"}.get(what, "postgres")
    if what == "encoding":
        postgres.do("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = postgres.address(name, password=secret)
    if what == "port":
        url = url.replace(f":{postgres.port}/", ":1/")

    with pytest.raises(CannotOpen) as caught:
        await postgres_at(url).open()

    assert f"127.0.0.1:{1 if what == 'port' else postgres.port}/{name}" in str(caught.value)
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://hub:pw@db.example.com/hub", "db.example.com:5432/hub"),
        ("postgres://hub:p%40w@db:6543/hub?sslmode=require", "db:6543/hub"),
        ("postgresql+asyncpg://hub@[::1]:5432/hub", "[::1]:5432/hub"),
        ("postgresql://hub@/hub?host=/run/postgresql", "/run/postgresql:5432/hub"),
        ("postgresql://hub:pw@one:1,two:2/hub", "one:1,two:2/hub"),
    ],
)
def test_an_address_is_shown_without_what_lets_one_in(url, place):
    """As it is written, or as it is meant."""
    assert (place, False) == (Address.parse(url).place, "pw" in repr(Address.parse(url)))


@pytest.mark.parametrize("url", ["mysql://hub:pw@db/hub", "postgresql:hub", "postgresql://hub:p/w@db/hub", ""])
def test_what_is_no_address_is_not_repeated(url):
    """It may have a password in the wrong place."""
    with pytest.raises(CannotOpen) as caught:
        Address.parse(url)

    assert "pw" not in str(caught.value)


# --- one page, however long the log -----------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_page_of_one_device_does_not_read_the_others(postgres, database):
    """Nor does anything else that a hub asks: an index leads to all of it, with statistics or without."""
    fill = """
        INSERT INTO device_class (name, version) VALUES ('c', '1');
        INSERT INTO device (guid, name, key, device_class_id)
        SELECT 'd' || n, 'd', 'k', 1 FROM generate_series(1, 1000) n;
        INSERT INTO notification (id, device_id, name, timestamp_ms, parameters)
        SELECT n, n % 1000 + 1, 'watts', n, '{"value":60}' FROM generate_series(1, 300000) n;
    """
    postgres.do(name_of(database), fill)
    async with opened(postgres_at(database)) as store:
        for _ in range(2):
            began_s = time.monotonic()
            for number in range(20):
                reach = Reach(frozenset({f"d{number + 1}"}))
                page = await store.read(LogQuery(Kind.NOTIFICATION, after=100_000, reach=reach, limit=50))
                assert {f"d{number + 1}"} == {logged.message.device_guid for logged in page.messages}
                device = (await store.find_device(f"d{number + 1}")).device
                assert device.guid == f"d{number + 1}"
            assert time.monotonic() - began_s < 2
            postgres.do(name_of(database), "ANALYZE")
