"""The store on SQLite: nothing to install; the workers of one host may share it.

Four threads. The **writer** has the only connection that writes; everything goes through it in the order in which it
was asked for. The **finder** answers the short questions that a connection waits for; the **reader** reads pages of the
log, so that a long replay delays nobody's authentication; and the **consultant** reads entities, so that a long list
delays neither.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import Select, bindparam
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from hub.store import (
    REPLAY_PAGE,
    Change,
    Changes,
    DeviceRecord,
    HistoryQuery,
    KeyRecord,
    Lane,
    LoginRecord,
    LogQuery,
    Lost,
    OpenCommands,
    Page,
    Reach,
    Renewal,
    Tx,
    UpdatePage,
    Write,
    queries,
    rows,
    sqlite_devices,
    sqlite_history,
    sqlite_lanes,
    sqlite_prune,
    sqlite_read,
)
from hub.store.lane_files import LaneFiles
from hub.store.schema import REVISION, access_key, user
from hub.store.secrets import Secrets
from hub.store.sqlite_backup import copy
from hub.store.sqlite_connect import answering, connect_reader, snapshot
from hub.store.sqlite_consult import SqliteConsultant
from hub.store.sqlite_writer import SqliteWriter
from hub.store.worker import Worker
from protocol.entities import Device, User
from protocol.messages import Command, Message, Notification
from protocol.names import Kind, UserStatus

R = TypeVar("R")
T = TypeVar("T")

CHANGES_AT_ONCE = 10_000
"""Whoever has missed more changes than this drops its caches."""


def _system_ms() -> int:
    return time.time_ns() // 1_000_000


def _nobody_else(lane: int) -> bool:
    """Whether a lane is free, where no other process may be."""
    return True


class _Prepared:
    """A select as text, with named parameters, and the constants in it."""

    def __init__(self, statement: Select[Any]) -> None:
        compiled = statement.compile(dialect=SQLiteDialect_pysqlite(paramstyle="named"))
        self.text = str(compiled)
        self.constants = compiled.params


_LOGIN = _Prepared(queries.USERS.where(user.c.login == bindparam("login"), user.c.status != UserStatus.DELETED))
_USER = _Prepared(queries.USERS.where(user.c.id == bindparam("id")))
_KEY = _Prepared(queries.KEYS_WITH_OWNERS.where(access_key.c.key == bindparam("hash")))
_KEY_BY_ID = _Prepared(queries.KEYS_WITH_OWNERS.where(access_key.c.id == bindparam("id")))


class SqliteStore:
    """:class:`hub.store.Store` in one SQLite file.

    Args:
        path: of the file; it and the two that SQLite keeps beside it are made when missing.
        secrets: how keys are kept.
        wait_s: how long a caller waits before it hears that the store is not available.
        busy_timeout_s: how long the writer waits for a lock that another process holds; below ``wait_s``, so that the
            caller learns what became of the write.
        now_ms: the present, in milliseconds since 1970.
        shared: whether other processes of this host write to the file as well.
    """

    def __init__(
        self,
        path: Path,
        secrets: Secrets,
        *,
        wait_s: float = 5.0,
        busy_timeout_s: float = 4.0,
        now_ms: Callable[[], int] = _system_ms,
        shared: bool = False,
    ) -> None:
        self._path = path
        self._lanes = LaneFiles(path)
        self._shared = shared
        self._secrets = secrets
        self._now_ms = now_ms
        read = partial(connect_reader, path, busy_timeout_s=busy_timeout_s)
        write = partial(
            SqliteWriter.connect, path, busy_timeout_s=busy_timeout_s, secrets=secrets, now_ms=now_ms, shared=shared
        )
        consult = partial(SqliteConsultant.connect, path, busy_timeout_s=busy_timeout_s, secrets=secrets, now_ms=now_ms)
        close = sqlite3.Connection.close
        self._writer = Worker("store-writer", acquire=write, release=SqliteWriter.close, wait_s=wait_s)
        self._finder = Worker("store-finder", acquire=read, release=close, wait_s=wait_s)
        self._reader = Worker("store-reader", acquire=read, release=close, wait_s=wait_s)
        self._consultant = Worker("store-consultant", acquire=consult, release=SqliteConsultant.close, wait_s=wait_s)

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r})"

    async def open(self) -> None:
        """Connect and bring the schema up to date.

        Raises:
            CannotOpen: the file is missing a directory, unreadable, locked, no database, or from a newer version.
        """
        try:
            for worker in (self._writer, self._finder, self._reader, self._consultant):
                await worker.start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        # The writer last: the last connection to go empties the write-ahead log, and only it may.
        for worker in (self._finder, self._reader, self._consultant, self._writer):
            await worker.stop()
        self._lanes.give_back()

    # --- writing ---

    async def write(self, batch: Sequence[Write]) -> list[Any]:
        return await self._ask(self._writer, lambda writer: writer.write(batch))

    async def transact(self, work: Callable[[Tx], T]) -> T:
        return await self._ask(self._writer, lambda writer: writer.transact(work))

    async def consult(self, work: Callable[[Tx], T]) -> T:
        return await self._ask(self._consultant, lambda consultant: consultant.consult(work))

    async def _change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._ask(self._writer, lambda writer: writer.change(work))

    async def _ask(self, worker: Worker[R], work: Callable[[R], T]) -> T:
        with answering():
            return await worker.do(work)

    # --- looking up ---

    async def find_login(self, login: str) -> LoginRecord | None:
        return await self._find(_LOGIN, {"login": login}, rows.to_login_record)

    async def find_user(self, user_id: int) -> User | None:
        return await self._find(_USER, {"id": user_id}, rows.to_user)

    async def find_key(self, secret: str) -> KeyRecord | None:
        for key_hash in self._secrets.hashes(secret):
            if found := await self._find(_KEY, {"hash": key_hash}, rows.to_key_record):
                return found
        return None

    async def find_key_by_id(self, key_id: int) -> KeyRecord | None:
        return await self._find(_KEY_BY_ID, {"id": key_id}, rows.to_key_record)

    async def find_device(self, guid: str) -> DeviceRecord | None:
        return next(iter(await self.find_devices([guid])), None)

    async def find_devices(self, guids: Sequence[str]) -> list[DeviceRecord]:
        return await self._ask(self._finder, lambda connection: sqlite_devices.find(connection, guids))

    async def open_commands(self, device_ids: Sequence[int], *, at_ms: int, most: int) -> dict[int, OpenCommands]:
        count = partial(sqlite_devices.open_commands, device_ids=device_ids, at_ms=at_ms, most=most)
        return await self._ask(self._finder, count)

    def key_matches(self, key: str, key_hash: str) -> bool:
        return self._secrets.matches(key, key_hash)

    async def _find(self, prepared: _Prepared, values: dict[str, Any], convert: Callable[[sqlite3.Row], T]) -> T | None:
        def find(connection: sqlite3.Connection) -> T | None:
            row = connection.execute(prepared.text, prepared.constants | values).fetchone()
            return None if row is None else convert(row)

        return await self._ask(self._finder, find)

    # --- the log ---

    async def read(self, query: LogQuery) -> Page:
        return await self._ask(self._reader, lambda connection: sqlite_read.read_page(connection, query))

    async def history(self, query: HistoryQuery) -> list[Message]:
        return await self._ask(self._reader, lambda connection: sqlite_history.read_history(connection, query))

    async def command(self, device_id: int, command_id: int) -> Command | None:
        return await self._ask(
            self._finder, lambda connection: sqlite_read.find_command(connection, device_id, command_id)
        )

    async def notification(self, device_id: int, notification_id: int) -> Notification | None:
        return await self._ask(
            self._finder, lambda connection: sqlite_read.find_notification(connection, device_id, notification_id)
        )

    async def read_updates(
        self, *, after: int, beyond: tuple[int, ...] | None = None, limit: int = REPLAY_PAGE
    ) -> UpdatePage:
        read = partial(sqlite_read.read_updates, after=after, beyond=beyond, limit=limit)
        return await self._ask(self._reader, read)

    async def pruned_to(self, kind: Kind, reach: Reach | None) -> int:
        return await self._ask(self._finder, lambda connection: sqlite_read.pruned_to(connection, kind, reach))

    async def lost(self) -> list[Lost]:
        return await self._ask(self._finder, sqlite_lanes.lost)

    async def prune(self, kind: Kind, *, before_ms: int, per_device: int, limit: int = 1_000) -> int:
        """Remove messages in small transactions, so that other writes pass between them."""
        aged = partial(sqlite_prune.remove_aged, kind=kind, before_ms=before_ms)
        gone = await self._remove(aged, at_once=sqlite_prune.CHUNK, limit=limit)
        after: int | None = 0
        if gone < limit and kind is Kind.NOTIFICATION:
            await self._ask(self._writer, SqliteWriter.place)
        while gone < limit and after is not None:
            look = partial(sqlite_prune.find_crowded, kind=kind, per_device=per_device, after=after)
            found, after = await self._ask(self._reader, look)
            for crowded in found:
                too_many = partial(sqlite_prune.remove_crowded, kind=kind, crowded=crowded, now_ms=self._now_ms())
                gone += await self._remove(too_many, at_once=sqlite_prune.SCATTERED_CHUNK, limit=limit - gone)
        await self._change(partial(sqlite_prune.forget_old, now_ms=self._now_ms()))
        return gone

    async def _remove(self, remove: Callable[..., int], *, at_once: int, limit: int) -> int:
        """Repeat a removal in small steps until nothing is left or ``limit`` is reached."""
        gone, more = 0, True
        while more and gone < limit:
            step = min(at_once, limit - gone)
            removed = await self._change(partial(remove, limit=step))
            gone, more = gone + removed, removed == step
        return gone

    # --- ids ---

    async def open_lane(self, owner: str, *, queued: bool) -> Lane:
        """Take the best lane that is free; always the same where this process is the only one."""
        self._lanes.give_back()
        number = await self._lock_lane() if self._shared else 0
        is_free = self._lanes.is_free if self._shared else _nobody_else
        take = partial(sqlite_lanes.open_lane, number=number, owner=owner, queued=queued, is_free=is_free)
        try:
            return await self._change(lambda connection: take(connection, now_us=self._now_us()))
        except BaseException:
            self._lanes.give_back()
            raise

    async def _lock_lane(self) -> int:
        now_us = self._now_us()
        return self._lanes.take(
            await self._ask(self._finder, lambda connection: sqlite_lanes.best_first(connection, now_us=now_us))
        )

    async def reserve(self, number: int, mark: int) -> None:
        await self._change(partial(sqlite_lanes.reserve, number=number, mark=mark))

    async def renew(self, number: int, *, owner: str, safe: int, lease_ms: int) -> Renewal:
        """Say that a worker is there, by this host's clock, and hear about the others."""
        look = partial(
            sqlite_lanes.renew,
            number=number,
            owner=owner,
            safe=safe,
            lease_us=lease_ms * 1_000,
            is_free=self._lanes.is_free,
        )
        return await self._change(lambda connection: look(connection, now_us=self._now_us()))

    def _now_us(self) -> int:
        # To the microsecond, or workers would not agree: ids follow this clock.
        return self._now_ms() * 1_000 if self._now_ms is not _system_ms else time.time_ns() // 1_000

    async def record_lost(self, ids: Sequence[int]) -> None:
        await self._change(partial(sqlite_lanes.record_lost, ids=ids))

    async def close_lane(self, number: int, *, owner: str, complete: bool) -> None:
        await self._change(partial(sqlite_lanes.close_lane, number=number, owner=owner, complete=complete))
        self._lanes.give_back()

    # --- changes ---

    async def changes(self, after: int) -> Changes:
        return await self._ask(self._finder, lambda connection: _changes(connection, after))

    # --- duties ---

    async def overdue(self, now_ms: int, *, limit: int = 1_000) -> list[Device]:
        return await self._ask(self._reader, partial(sqlite_devices.overdue, now_ms=now_ms, limit=limit))

    async def shortest_offline_timeout(self) -> int | None:
        def find(connection: sqlite3.Connection) -> int | None:
            shortest = connection.execute("SELECT min(offline_timeout_s) FROM device_class").fetchone()[0]
            return None if shortest is None else int(shortest)

        return await self._ask(self._finder, find)

    async def delete_expired_keys(self, before_ms: int) -> int:
        total, more = 0, True
        while more:
            gone, more = await self._ask(self._writer, lambda writer: writer.delete_expired_keys(before_ms))
            total += gone
        return total

    async def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the database to a new file; ``progress`` is called in the event loop.

        Raises:
            FileExistsError: there is something at ``target``.
            OSError: the copy failed; nothing is left of it.
        """
        loop = asyncio.get_running_loop()

        def tell(left: int, pages: int) -> None:
            if progress is not None:
                loop.call_soon_threadsafe(progress, left, pages)

        await asyncio.to_thread(copy, self._path, target, tell)

    async def check(self) -> dict[str, Any]:
        return await asyncio.to_thread(_check, self._path)


def _changes(connection: sqlite3.Connection, after: int) -> Changes:
    with snapshot(connection):
        oldest, newest = connection.execute("SELECT min(revision), max(revision) FROM change").fetchone()
        if after < 0 or after == newest:
            return Changes(newest or 0, ())
        # Older ones are gone, or the database was replaced by one that is behind.
        known = (oldest or 1) - 1 <= after <= (newest or 0)
        if not known or newest - after > CHANGES_AT_ONCE:
            return Changes(newest or 0, (), complete=False)
        found = connection.execute(_CHANGES, (after,)).fetchone()[0]
    return Changes(newest, tuple(Change(*change) for change in sorted(orjson.loads(found))))


_CHANGES = """
    SELECT json_group_array(json_array(revision, entity, entity_id, guid)) FROM change WHERE revision > ?
"""


def _check(path: Path) -> dict[str, Any]:
    with answering(), closing(connect_reader(path, busy_timeout_s=5)) as connection:
        return {
            "kind": "sqlite",
            "version": sqlite3.sqlite_version,
            "place": str(path),
            "bytes": sum(file.stat().st_size for file in (path, _beside(path, "-wal")) if file.exists()),
            "schema": connection.execute("SELECT version_num FROM alembic_version").fetchone()[0],
            "newest_schema": REVISION,
            "integrity": connection.execute("PRAGMA quick_check(1)").fetchone()[0],
        }


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
