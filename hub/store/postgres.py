"""The store on PostgreSQL: many workers, on many computers, share one database.

Everything is asked in the event loop. One connection writes, in the order in which it was asked to, and holds the
worker's lane. Look-ups and pages of the log have a few connections each, so that a long replay delays nobody's
authentication. It needs connections of its own to the server: a pooler that shares them would share their locks.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from asyncpg import Connection

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
    postgres_devices,
    postgres_history,
    postgres_lanes,
    postgres_prune,
    postgres_read,
    queries,
    rows,
)
from hub.store.postgres_connect import INDEXED, Address, connect, naming
from hub.store.postgres_consult import PostgresConsultant
from hub.store.postgres_lanes import Held
from hub.store.postgres_migrate import migrate
from hub.store.postgres_pool import Pool
from hub.store.postgres_text import Named, selected
from hub.store.postgres_writer import PostgresWriter
from hub.store.schema import REVISION
from hub.store.secrets import Secrets
from protocol.entities import Device, User
from protocol.messages import Command, Message, Notification
from protocol.names import Kind, UserStatus

T = TypeVar("T")

CHANGES_AT_ONCE = 10_000
"""Whoever has missed more changes than this drops its caches."""

_KEYS_AT_ONCE = 200

_LOGIN = selected(queries.USERS, f'WHERE "user".login = :login AND "user".status != {int(UserStatus.DELETED)}')
_USER = selected(queries.USERS, 'WHERE "user".id = :id')
_KEY = selected(queries.KEYS_WITH_OWNERS, "WHERE access_key.key = :hash")
_KEY_BY_ID = selected(queries.KEYS_WITH_OWNERS, "WHERE access_key.id = :id")


class PostgresStore:
    """:class:`hub.store.Store` in a PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host:port/database``; what it does not say is as the environment says.
        secrets: how keys are kept.
        wait_s: how long a caller waits before it hears that the store is not available.
        pool: how many connections read; one more writes.
        now_ms: the present, in milliseconds since 1970.

    Raises:
        CannotOpen: the address is none.
    """

    def __init__(
        self,
        url: str,
        secrets: Secrets,
        *,
        wait_s: float = 5.0,
        pool: int = 8,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._address = Address.parse(url)
        self._secrets = secrets
        self._wait_s = wait_s
        self._now_ms = now_ms
        read = partial(connect, self._address, wait_s=wait_s, settings=_reading(wait_s))
        self._writer = PostgresWriter(self._address, secrets=secrets, now_ms=now_ms, wait_s=wait_s)
        pages = max(1, pool // 4)
        self._finders = Pool(read, size=max(1, pool - pages), wait_s=wait_s)
        self._readers = Pool(read, size=pages, wait_s=wait_s)
        self._consultant = PostgresConsultant(secrets=secrets, now_ms=now_ms)

    def __repr__(self) -> str:
        return f"PostgresStore({self._address.place!r})"

    async def open(self) -> None:
        """Connect and bring the schema up to date.

        Raises:
            CannotOpen: no such database, or it lets nobody in, or it is from a newer version.
        """
        await migrate(self._address, wait_s=self._wait_s)

    async def close(self) -> None:
        await self._writer.close()
        for pool in (self._finders, self._readers):
            await pool.close()
        await self._consultant.close()

    # --- writing ---

    async def write(self, batch: Sequence[Write]) -> list[Any]:
        return await self._writer.do(lambda session: session.write(batch))

    async def transact(self, work: Callable[[Tx], T]) -> T:
        return await self._writer.do(lambda session: session.transact(work))

    async def consult(self, work: Callable[[Tx], T]) -> T:
        return await self._readers.ask(partial(self._consultant.consult, work=work))

    async def _change(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        return await self._writer.do(lambda session: work(session.connection))

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
        return await self._finders.ask(partial(postgres_devices.find_one, guid=guid))

    async def find_devices(self, guids: Sequence[str]) -> list[DeviceRecord]:
        return await self._finders.ask(partial(postgres_devices.find, guids=guids))

    async def open_commands(self, device_ids: Sequence[int], *, at_ms: int, most: int) -> dict[int, OpenCommands]:
        count = partial(postgres_devices.open_commands, device_ids=device_ids, at_ms=at_ms, most=most)
        return await self._finders.ask(count)

    def key_matches(self, key: str, key_hash: str) -> bool:
        return self._secrets.matches(key, key_hash)

    async def _find(self, statement: Named, values: dict[str, Any], convert: Callable[[rows.Row], T]) -> T | None:
        row = await self._finders.ask(lambda connection: statement.one(connection, **values))
        return None if row is None else convert(row)

    # --- the log ---

    async def read(self, query: LogQuery) -> Page:
        return await self._readers.ask(partial(postgres_read.read_page, query=query))

    async def history(self, query: HistoryQuery) -> list[Message]:
        return await self._readers.ask(partial(postgres_history.read_history, query=query))

    async def command(self, device_id: int, command_id: int) -> Command | None:
        find = partial(postgres_read.find_command, device_id=device_id, command_id=command_id)
        return await self._finders.ask(find)

    async def notification(self, device_id: int, notification_id: int) -> Notification | None:
        find = partial(postgres_read.find_notification, device_id=device_id, notification_id=notification_id)
        return await self._finders.ask(find)

    async def read_updates(
        self, *, after: int, beyond: tuple[int, ...] | None = None, limit: int = REPLAY_PAGE
    ) -> UpdatePage:
        read = partial(postgres_read.read_updates, after=after, beyond=beyond, limit=limit)
        return await self._readers.ask(read)

    async def pruned_to(self, kind: Kind, reach: Reach | None) -> int:
        return await self._finders.ask(partial(postgres_read.pruned_to, kind=kind, reach=reach))

    async def lost(self) -> list[Lost]:
        return await self._finders.ask(postgres_lanes.lost)

    async def prune(self, kind: Kind, *, before_ms: int, per_device: int, limit: int = 1_000) -> int:
        """Remove messages in short transactions, beside those that write."""
        now_ms = self._now_ms()
        gone = await postgres_prune.remove_aged(self._readers.ask, kind, before_ms=before_ms, limit=limit)
        after: int | None = 0
        while gone < limit and after is not None:
            look = partial(postgres_prune.find_crowded, kind=kind, per_device=per_device, after=after)
            found, after = await self._readers.ask(look)
            for crowded in found:
                remove = partial(postgres_prune.remove_crowded, kind=kind, crowded=crowded, now_ms=now_ms)
                gone += await remove(self._readers.ask, limit=limit - gone)
        await self._readers.ask(partial(postgres_prune.forget_old, now_ms=now_ms))
        return gone

    # --- ids ---

    async def open_lane(self, owner: str, *, queued: bool) -> Lane:
        return await self._writer.open_lane(owner, queued=queued)

    async def reserve(self, number: int, mark: int) -> None:
        await self._change(partial(postgres_lanes.reserve, number=number, mark=mark))

    async def renew(self, number: int, *, owner: str, safe: int, lease_ms: int) -> Renewal:
        return await self._writer.renew(Held(number, owner), safe=safe, lease_ms=lease_ms)

    async def record_lost(self, ids: Sequence[int]) -> None:
        await self._change(partial(postgres_lanes.record_lost, ids=ids))

    async def close_lane(self, number: int, *, owner: str, complete: bool) -> None:
        await self._writer.close_lane(Held(number, owner), complete=complete)

    # --- changes ---

    async def changes(self, after: int) -> Changes:
        return await self._finders.ask(partial(_changes, after=after))

    # --- duties ---

    async def overdue(self, now_ms: int, *, limit: int = 1_000) -> list[Device]:
        return await self._readers.ask(partial(postgres_devices.overdue, now_ms=now_ms, limit=limit))

    async def shortest_offline_timeout(self) -> int | None:
        shortest: int | None = await self._finders.ask(
            lambda connection: connection.fetchval("SELECT min(offline_timeout_s) FROM device_class")
        )
        return shortest

    async def delete_expired_keys(self, before_ms: int) -> int:
        total, gone = 0, _KEYS_AT_ONCE
        while gone == _KEYS_AT_ONCE:
            gone = await self._writer.do(lambda session: session.delete_expired_keys(before_ms, limit=_KEYS_AT_ONCE))
            total += gone
        return total

    async def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Not done here.

        Raises:
            OSError: always; the text says what does it.
        """
        raise OSError(f"a PostgreSQL database is copied with its own tool: pg_dump --format=custom --file={target}")

    async def check(self) -> dict[str, Any]:
        with naming(self._address):
            connection = await connect(self._address, wait_s=self._wait_s)
            try:
                version, size, schema = await connection.fetchrow(_CHECK)
            finally:
                await connection.close(timeout=1)
        return {
            "kind": "postgresql",
            "version": version,
            "place": self._address.place,
            "bytes": size,
            "schema": schema,
            "newest_schema": REVISION,
            "integrity": "ok",
        }


_CHECK = """
    SELECT current_setting('server_version'), pg_database_size(current_database()),
           (SELECT version_num FROM alembic_version)
"""


def _reading(wait_s: float) -> dict[str, str]:
    """What nobody waits for any more ends by itself. Each page is planned for what it asks."""
    wait_ms = str(max(1, round(wait_s * 1_000)))
    return {**INDEXED, "statement_timeout": wait_ms, "plan_cache_mode": "force_custom_plan"}


async def _changes(connection: Connection, after: int) -> Changes:
    found = await connection.fetch(_CHANGES, after, CHANGES_AT_ONCE + 1)
    oldest, newest = found[0][:2]
    if after < 0 or after == newest:
        return Changes(newest, ())
    # Older ones are gone, or the database was replaced by one that is behind.
    if not oldest - 1 <= after <= newest or len(found) > CHANGES_AT_ONCE:
        return Changes(newest, (), complete=False)
    return Changes(newest, tuple(Change(*row[2:]) for row in found))


_CHANGES = """
    SELECT ends.*, revision, entity, entity_id, guid
    FROM (SELECT coalesce(min(revision), 1), coalesce(max(revision), 0) FROM change) AS ends
    LEFT JOIN LATERAL (
        SELECT * FROM change WHERE $1 >= 0 AND revision > $1 ORDER BY revision LIMIT $2
    ) AS since ON true
    ORDER BY revision
"""
