"""The schema: built by migrations, equal to the metadata, and never left half-way."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from hub.store import migrations
from hub.store.schema import REVISION, metadata
from hub.store.sqlite_connect import connect_writer, transaction, wrap
from tests.store.conftest import opened, sqlite_at
from tests.store.world import add_device, add_user


@pytest.fixture
async def migrated(tmp_path):
    """A database that a store has made."""
    async with opened(sqlite_at(tmp_path / "hub.db")):
        pass
    return tmp_path / "hub.db"


def definitions(path):
    """The statements that would build this database again."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE '%alembic%'").fetchall()
    # A column that was added later stands on the same line as the one before it.
    return {name: "".join(sql.split()) for name, sql in found if not name.startswith("sqlite_")}


def test_the_migrations_build_what_the_metadata_says(migrated, tmp_path):
    """To the letter but for spaces, so that nothing depends on how old a database is."""
    path = tmp_path / "plain.db"
    engine = create_engine(f"sqlite:///{path}", poolclass=NullPool)
    metadata.create_all(engine)

    assert definitions(path) == definitions(migrated)


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_nothing_is_left_to_migrate(migrated):
    """Alembic itself finds no difference; the indexes of which it sees nothing on SQLite were compared above."""
    engine = create_engine(f"sqlite:///{migrated}", poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_store_knows_the_newest_migration():
    """It skips Alembic when there is nothing to do, so it has to know."""
    assert migrations.newest() == REVISION


async def test_opening_again_keeps_everything(migrated):
    """A restart is no event."""
    async with opened(sqlite_at(migrated)) as store:
        lamp = await add_device(store)
    async with opened(sqlite_at(migrated)) as store:
        assert lamp == (await store.find_device("lamp")).device


async def test_two_processes_may_make_the_database_together(tmp_path):
    """One of them migrates, the other finds it done."""
    stores = [sqlite_at(tmp_path / "hub.db", busy_timeout_s=30) for _ in range(2)]

    await asyncio.gather(*(store.open() for store in stores))

    await add_user(stores[0])
    assert await stores[1].find_login("alice")
    await asyncio.gather(*(store.close() for store in stores))


def test_an_interrupted_migration_leaves_nothing(tmp_path):
    """All of it or none of it."""
    path = tmp_path / "hub.db"
    connection = connect_writer(path, busy_timeout_s=1)
    wrapped = wrap(connection)

    with pytest.raises(ZeroDivisionError):
        _upgrade_and_fail(connection, wrapped)
    connection.close()

    assert definitions(path) == {}


def _upgrade_and_fail(connection, wrapped):
    with transaction(connection):
        migrations.upgrade(wrapped)
        raise ZeroDivisionError


async def test_deleting_an_owner_is_enforced_by_the_database(migrated):
    """Foreign keys are on for the connection that writes."""
    async with opened(sqlite_at(migrated)) as store:
        lamp = await add_device(store, network="home")
        await store.transact(lambda tx: tx.delete_network(lamp.network_id))

        assert await store.find_device("lamp") is None
