"""SQLite when things go wrong: what was acknowledged holds, what failed left nothing, and it works again afterwards."""

import asyncio
import os
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from hub.store import Append, LogQuery, Transact
from hub.store.errors import CannotOpen
from protocol.errors import StoreUnavailable
from protocol.names import Kind
from tests.store.conftest import opened, sqlite_at
from tests.store.world import add_device, append, command, notification, read
from tests.waiting import WAIT_S, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hub.db"


@pytest.fixture
async def store(path):
    async with opened(sqlite_at(path, wait_s=WAIT_S, busy_timeout_s=0.2)) as store:
        yield store


@contextmanager
def locked(path, how="IMMEDIATE"):
    """Somebody else is writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")


@contextmanager
def disk_full(path):
    """No file of this process can grow beyond what the write-ahead log has already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = path.with_name(path.name + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 8_192, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- a database that does not take a write ----------------------------------------------------------------------------


async def test_a_full_disk_leaves_nothing_half_done(store, path):
    """Neither the batch of messages nor the transaction; and when there is room again, both are taken."""
    lamp = await add_device(store)
    kept = notification(lamp)
    await append(store, [kept])
    large = [notification(lamp, parameters="x" * 10_000) for _ in range(20)]
    mixed = [Transact(lambda tx: tx.update_device(lamp.id, status="On")), *(Append(message) for message in large)]

    with disk_full(path):
        for batch in ([Append(message) for message in large], mixed):
            with pytest.raises(StoreUnavailable):
                await store.write(batch)
        with pytest.raises(StoreUnavailable):
            await store.transact(lambda tx: tx.update_device(lamp.id, data="x" * 100_000))

    assert [kept] == await read(store)
    assert lamp == (await store.find_device("lamp")).device
    await store.write(mixed)
    assert [kept, *large] == await read(store)
    assert (await store.find_device("lamp")).device.status == "On"


async def test_a_message_that_cannot_be_stored_is_not_acknowledged(store):
    """Passing over a known id must not pass over anything else: a mistake of ours is loud, and nothing is half done."""
    lamp = await add_device(store)

    with pytest.raises(sqlite3.IntegrityError):
        await append(store, [notification(lamp), notification(lamp, name=None)])

    assert await read(store) == []


async def test_a_full_disk_in_the_middle_of_a_batch_fails_all_of_it(store, path):
    """A piece of work that meets it cannot be told from the rest: the whole batch did not happen."""
    lamp = await add_device(store)
    first = notification(lamp)

    def fill(tx):
        for _ in range(20):
            tx.append(notification(lamp, parameters="x" * 300_000), lamp)

    with disk_full(path), pytest.raises(StoreUnavailable):
        await store.write([Append(first), Transact(fill), Transact(lambda tx: tx.users())])

    assert await read(store) == []


async def test_a_lock_held_too_long_is_told(store, path):
    """The writer gives up, nothing is written, reads go on, and the next write works."""
    lamp = await add_device(store)

    with locked(path):
        for batch in ([Append(notification(lamp))], [Append(notification(lamp)), Append(command(lamp))]):
            with pytest.raises(StoreUnavailable):
                await store.write(batch)
        with pytest.raises(StoreUnavailable):
            await store.transact(lambda tx: tx.users())
        assert lamp == (await store.find_device("lamp")).device
        assert await read(store) == []

    told = notification(lamp)
    await append(store, [told])
    assert [told] == await read(store)


async def test_a_lock_held_shortly_is_waited_for(path):
    """Commands on the command line do not disturb a hub."""
    async with opened(sqlite_at(path, wait_s=WAIT_S, busy_timeout_s=WAIT_S)) as store:
        lamp = await add_device(store)
        with locked(path):
            writing = asyncio.create_task(append(store, [notification(lamp)]))
            await asyncio.sleep(0.05)
            assert not writing.done()

        await writing


async def test_who_waits_too_long_hears_it_and_the_store_goes_on(path):
    """A stuck write fails its followers by their own deadline; those that never began are not done later."""
    async with opened(sqlite_at(path, wait_s=0.2)) as store:
        lamp = await add_device(store)
        stuck, told = threading.Event(), [notification(lamp), notification(lamp)]
        slow = asyncio.create_task(store.transact(lambda tx: stuck.wait(WAIT_S)))
        await asyncio.sleep(0)

        with pytest.raises(StoreUnavailable):
            await append(store, told[:1])
        with pytest.raises(StoreUnavailable):
            await slow

        stuck.set()
        await until(lambda: _succeeds(append(store, told[1:])))
        assert told[1:] == await read(store)


async def _succeeds(writing):
    try:
        await writing
    except StoreUnavailable:
        return False
    return True


async def test_a_caller_that_went_away_does_no_harm(store):
    """A cancelled write is written or not, and the ones behind it are not affected."""
    lamp = await add_device(store)
    cancelled = [asyncio.create_task(append(store, [notification(lamp)])) for _ in range(5)]
    await asyncio.sleep(0)
    for task in cancelled:
        task.cancel()
    told = notification(lamp)

    await append(store, [told])

    await asyncio.gather(*cancelled, return_exceptions=True)
    assert told == (await read(store))[-1]


# --- a process that is killed -----------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_killed_process_loses_nothing_that_it_acknowledged(path):
    """``kill -9`` at any moment, again and again: every acknowledged batch is there, and no batch is there in part."""
    acknowledged = []
    for kills in range(5):
        acknowledged += await asyncio.to_thread(_write_until_killed, path, after=20 + 7 * kills)

    async with opened(sqlite_at(path)) as store:
        told = {message.id for message in await read(store)}
        asked = {message.id for message in await read(store, Kind.COMMAND)}
        status = (await store.find_device("lamp")).device.status
        report = await store.check()

    numbers = {number - number % 10 for number in told} | set(acknowledged)
    assert len(set(acknowledged)) == len(acknowledged), "no id was given twice"
    assert {number + place for number in acknowledged for place in range(3)} <= told
    assert {number + 3 for number in acknowledged} <= asked
    assert len(told) % 3 == 0, f"a batch is there in part: {sorted(told)}"
    assert status == str(max(asked) - 3), "entity and message were committed together"
    assert len(numbers) >= len(acknowledged)
    assert report["integrity"] == "ok"


def _write_until_killed(path, *, after):
    """Run the writer and kill it when it has acknowledged so many; returns everything that it acknowledged."""
    command_line = [sys.executable, "-m", "tests.store.forever", str(path)]
    with subprocess.Popen(command_line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline() for _ in range(after)]
        process.kill()
        lines += process.stdout.readlines()
    return [int(line) for line in lines if line.endswith("\n")]


# --- a file that cannot be used ---------------------------------------------------------------------------------------


async def refused(path, **options):
    """Why a store does not open."""
    store = sqlite_at(path, busy_timeout_s=0.1, **options)
    with pytest.raises(CannotOpen) as caught:
        await store.open()
    await store.close()
    assert str(path) in str(caught.value), "the text names the file"
    return str(caught.value)


async def test_a_missing_directory_is_named(tmp_path):
    """The hub makes the file, not the place."""
    assert "No such file or directory" in await refused(tmp_path / "nowhere" / "hub.db")


async def test_a_directory_is_no_database(tmp_path):
    """A mistyped setting."""
    assert "directory" in await refused(tmp_path)


async def test_a_foreign_file_is_no_database(path):
    """It is left as it is."""
    path.write_bytes(b"a letter to my grandmother " * 100)

    assert "not a database" in await refused(path)
    assert path.read_bytes().startswith(b"a letter")


async def test_a_locked_database_is_told(store, path):
    """Somebody else does not let go of it."""
    with locked(path):
        assert "locked" in await refused(path)


async def test_a_database_from_the_future_is_refused(path):
    """A newer version has used it; going on would damage it."""
    async with opened(sqlite_at(path)):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")

    assert "9999" in await refused(path)


async def test_a_database_is_its_owners_only(store, path):
    """It holds keyed hashes of every secret; so do the files that SQLite keeps beside it."""
    await add_device(store)

    assert {0o600} == {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("hub.db*")}


# --- a copy of a database in use --------------------------------------------------------------------------------------


async def test_a_backup_is_whole_while_the_hub_writes(store, path, tmp_path):
    """One moment of the database, however long the copy takes; nothing waits for it."""
    lamp = await add_device(store)
    told = [notification(lamp, parameters="x" * 500) for _ in range(10_000)]
    await append(store, told)
    steps, written = [], []

    async def write_on():
        while True:
            written.extend(await append(store, [notification(lamp, parameters="x" * 500) for _ in range(50)]))

    writing = asyncio.create_task(write_on())
    await until(lambda: _true(written))
    await store.backup(tmp_path / "copy.db", lambda left, pages: steps.append((left, pages)))
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)

    await until(lambda: _true(steps and steps[-1][0] == 0))
    assert len(steps) > 1
    async with opened(sqlite_at(tmp_path / "copy.db")) as copy:
        copied = await read(copy)
        assert (await copy.check())["integrity"] == "ok"
    assert told == copied[: len(told)]
    assert copied == (await read(store))[: len(copied)]


async def _true(value):
    return value


async def test_a_backup_never_replaces_a_file(store, tmp_path):
    """Not even an older backup."""
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(FileExistsError, match=r"copy\.db"):
        await store.backup(target)

    assert target.read_text() == "precious"


async def test_a_backup_that_fails_leaves_nothing(store, tmp_path):
    """Not even a part of it under another name."""
    place = tmp_path / "backups"
    place.mkdir()
    await add_device(store)

    def interrupted(left, pages):
        raise AssertionError("never called: the disk is full before the first step ends")

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        with pytest.raises(OSError, match=r"copy\.db"):
            await store.backup(place / "copy.db", interrupted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert os.listdir(place) == []


async def test_a_backup_without_a_place_is_told(store, tmp_path):
    """The directory is missing."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await store.backup(tmp_path / "nowhere" / "copy.db")


async def test_a_backup_is_one_file_for_its_owner(store, tmp_path):
    """Ready to be carried away."""
    place = tmp_path / "backups"
    place.mkdir()

    await store.backup(place / "copy.db")

    assert os.listdir(place) == ["copy.db"]
    assert stat.S_IMODE((place / "copy.db").stat().st_mode) == 0o600


# --- nobody waits for anybody -----------------------------------------------------------------------------------------


async def test_a_long_read_does_not_delay_a_look_up(store, path):
    """Replays and authentications use different threads."""
    lamp = await add_device(store)
    await append(store, [notification(lamp, parameters="x" * 2_000) for _ in range(2_000)])
    replays = [asyncio.create_task(store.read(LogQuery(Kind.NOTIFICATION))) for _ in range(30)]
    await asyncio.sleep(0)

    assert lamp == (await store.find_device("lamp")).device

    assert not all(replay.done() for replay in replays)
    await asyncio.gather(*replays)


async def test_retention_lets_other_writes_pass(store):
    """It works in small steps, and takes its turn behind everybody else."""
    lamp = await add_device(store)
    await append(store, [notification(lamp) for _ in range(2_000)])
    pruning = asyncio.create_task(store.prune(Kind.NOTIFICATION, before_ms=10**13, per_device=1, limit=2_000))
    await asyncio.sleep(0)

    await append(store, [command(lamp)])

    assert not pruning.done()
    assert await pruning == 2_000
