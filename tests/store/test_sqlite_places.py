"""The places of notifications: brought up to date now and then, and nobody who reads by device notices."""

import random
import sqlite3
from contextlib import closing

import pytest
from alembic import command
from alembic.runtime.migration import MigrationContext

from hub.store import Append, Reach, migrations, sqlite_log
from hub.store.sqlite_connect import connect_writer, transaction, wrap
from protocol.names import Kind
from tests.builders import EARLIER_MS
from tests.store.conftest import opened, sqlite_at
from tests.store.world import add_device, append, notification, read


def places(path):
    """(device, id) of every place, and up to which id they are known."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT device_id, id FROM notification_place ORDER BY id").fetchall()
    (placed_to,) = [number for device_id, number in rows if device_id == 0]
    return [row for row in rows if row[0] != 0], placed_to


@pytest.fixture
async def store(tmp_path, monkeypatch):
    """A store that brings its places up to date after every seven notifications."""
    monkeypatch.setattr(sqlite_log, "UNPLACED", 7)
    async with opened(sqlite_at(tmp_path / "hub.db")) as store:
        yield store


@pytest.mark.parametrize("late", [0, 1, 30])
async def test_a_device_s_messages_are_found_wherever_the_places_end(store, late):
    """Known by their place or not yet, and also when they come later than others with greater ids."""
    devices = [await add_device(store, guid) for guid in ("lamp", "fan", "door")]
    dice = random.Random(late)
    told = [notification(dice.choice(devices)) for _ in range(40)]
    order = sorted(told, key=lambda one: one.id + dice.random() * late)

    for start in range(0, 40, 3):
        await append(store, order[start : start + 3])
        written = sorted(order[: start + 3], key=lambda one: one.id)
        for guids in (["lamp"], ["fan", "door"]):
            wanted = [one for one in written if one.device_guid in guids]
            assert wanted == await read(store, reach=Reach(frozenset(guids)), limit=4)


async def test_places_are_known_again_after_a_restart(store, tmp_path):
    """How far they are known is kept with them."""
    lamp = await add_device(store)
    told = [notification(lamp) for _ in range(20)]
    for one in told[:10]:
        await append(store, [one])
    await store.close()

    async with opened(sqlite_at(tmp_path / "hub.db")) as again:
        for one in told[10:]:
            await append(again, [one])
        assert told == await read(again, reach=Reach(frozenset({"lamp"})))
    known, placed_to = places(tmp_path / "hub.db")
    assert [one.id for one in told if one.id <= placed_to] == [number for _, number in known]
    assert placed_to >= told[10].id


async def test_large_messages_are_placed_sooner(store, tmp_path, monkeypatch):
    """A read by device looks through a bounded number of bytes, too."""
    monkeypatch.setattr(sqlite_log, "UNPLACED_BYTES", 1_000)
    lamp = await add_device(store)

    await append(store, [notification(lamp, parameters="x" * 1_000)])
    await append(store, [notification(lamp)])

    assert len(places(tmp_path / "hub.db")[0]) == 1


async def test_retention_takes_the_places_along(store, tmp_path):
    """What is gone, by age or by number, leaves no place behind."""
    lamp, fan = await add_device(store), await add_device(store, "fan")
    old = [notification(lamp, timestamp_ms=1) for _ in range(5)]
    new = [notification(device, timestamp_ms=EARLIER_MS) for _ in range(10) for device in (lamp, fan)]
    await append(store, old + new)
    await append(store, [notification(fan)])

    await store.prune(Kind.NOTIFICATION, before_ms=2, per_device=4)

    left = [(one.device_id, one.id) for one in await read(store)]
    assert len(left) == 8
    assert places(tmp_path / "hub.db")[0] == left


async def test_an_older_database_is_read_by_device_after_its_migration(tmp_path):
    """Everything that it holds gets its place."""
    path = tmp_path / "hub.db"
    _make_first_schema(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO device_class (name, version) VALUES ('Sensor', '1.0')")
        connection.execute("INSERT INTO device (guid, name, key, device_class_id) VALUES ('lamp', 'Lamp', 'k', 1)")
        connection.execute("INSERT INTO notification VALUES (5, 1, 'watts', 1, 'null'), (6, 2, 'watts', 1, 'null')")

    async with opened(sqlite_at(path)) as store:
        found = await read(store, reach=Reach(frozenset({"lamp"})))
        late = notification(await store.transact(lambda tx: tx.device("lamp")), id=4)
        await store.write([Append(late)])
        then = await read(store, reach=Reach(frozenset({"lamp"})))

    assert [one.id for one in found] == [5]
    assert [one.id for one in then] == [4, 5]
    assert places(path) == ([(1, 4), (1, 5), (2, 6)], 6)


def _make_first_schema(path):
    connection = connect_writer(path, busy_timeout_s=1)
    wrapped = wrap(connection)
    config = migrations._config()
    config.attributes["connection"] = wrapped
    with transaction(connection):
        MigrationContext.configure(wrapped).get_current_revision()  # From here on Alembic leaves the transaction to us.
        command.upgrade(config, "0001")
    wrapped.close()
    wrapped.engine.dispose()
