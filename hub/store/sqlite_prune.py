"""Retention on SQLite: small transactions, oldest messages first, and a mark that tells what may be missing."""

import sqlite3
from dataclasses import dataclass

import orjson

from hub.store.schema import REPEATABLE_MS
from hub.store.sqlite_connect import transaction
from hub.store.sqlite_log import PLACES, TABLES
from protocol.names import Kind

CHUNK = 200
"""How many rows one transaction removes where they lie together: about two milliseconds of the writer's time."""

SCATTERED_CHUNK = 40
"""The same where each may be on a page of its own."""

CHANGES_KEPT_MS = 3_600_000

_DEVICES_AT_ONCE = 50
_ALL_DEVICES = 0

_MARK = """
    INSERT INTO retention (kind, device_id, pruned_to) VALUES (?, ?, ?)
    ON CONFLICT (kind, device_id) DO UPDATE SET pruned_to = max(pruned_to, excluded.pruned_to)
"""

_FORGET_PLACES = """
    DELETE FROM notification_place WHERE (device_id, id) IN (
        SELECT device_id, id FROM notification WHERE id IN (SELECT value FROM json_each(?))
    )
"""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A device with too many messages of a kind: those up to ``cut`` are too many."""

    device_id: int
    cut: int


def remove_aged(connection: sqlite3.Connection, kind: Kind, *, before_ms: int, limit: int) -> int:
    """Remove up to ``limit`` of the oldest messages where they are older than ``before_ms``."""
    # Timestamps rise with the ids, but for seconds: what is old is in front, and nothing else needs a look.
    chosen = f"""
        SELECT json_group_array(id), max(id)
        FROM (SELECT id, timestamp_ms FROM {TABLES[kind]} NOT INDEXED ORDER BY id LIMIT ?)
        WHERE timestamp_ms < ?
    """  # noqa: S608
    with transaction(connection):
        ids, last = connection.execute(chosen, (limit, before_ms)).fetchone()
        return _remove(connection, kind, ids, mark=(_ALL_DEVICES, last))


def find_crowded(
    connection: sqlite3.Connection, kind: Kind, *, per_device: int, after: int
) -> tuple[list[Crowded], int | None]:
    """Look at the next devices after ``after``. Returns the crowded ones and the last one looked at; None: no more."""
    table = PLACES[kind]
    statement = f"""
        WITH RECURSIVE each(device_id) AS (
            SELECT min(device_id) FROM {table} WHERE device_id > :after
            UNION ALL
            SELECT (SELECT min(device_id) FROM {table} WHERE device_id > each.device_id)
            FROM each WHERE each.device_id IS NOT NULL
            LIMIT {_DEVICES_AT_ONCE}
        )
        SELECT json_group_array(json_array(device_id, (
            SELECT id FROM {table} WHERE {table}.device_id = each.device_id
            ORDER BY id DESC LIMIT 1 OFFSET :per_device
        )))
        FROM each WHERE device_id IS NOT NULL
    """  # noqa: S608
    text = connection.execute(statement, {"after": after, "per_device": per_device}).fetchone()[0]
    looked_at = orjson.loads(text)
    crowded = [Crowded(device_id, cut) for device_id, cut in looked_at if cut is not None]
    return crowded, looked_at[-1][0] if len(looked_at) == _DEVICES_AT_ONCE else None


def remove_crowded(connection: sqlite3.Connection, kind: Kind, crowded: Crowded, *, now_ms: int, limit: int) -> int:
    """Remove up to ``limit`` messages that are too many for their device, but no command that is still waiting."""
    done = "AND (updated = 1 OR expires_ms <= :now)" if kind is Kind.COMMAND else ""
    chosen = f"""
        SELECT json_group_array(id), max(id) FROM (
            SELECT id FROM {PLACES[kind]} WHERE device_id = :device AND id <= :cut {done} ORDER BY id LIMIT :limit
        )
    """  # noqa: S608
    values = {"device": crowded.device_id, "cut": crowded.cut, "now": now_ms, "limit": limit}
    with transaction(connection):
        ids, last = connection.execute(chosen, values).fetchone()
        return _remove(connection, kind, ids, mark=(crowded.device_id, last))


def forget_old(connection: sqlite3.Connection, *, now_ms: int) -> None:
    """Forget some of the idempotency keys and changes that nobody asks for any more."""
    with transaction(connection):
        connection.execute(
            "DELETE FROM idempotency WHERE rowid IN "
            "(SELECT rowid FROM idempotency WHERE created_ms < ? ORDER BY created_ms LIMIT ?)",
            (now_ms - REPEATABLE_MS, CHUNK),
        )
        connection.execute(
            "DELETE FROM change WHERE revision IN (SELECT revision FROM change ORDER BY revision LIMIT ?)"
            " AND time_ms < ? AND revision < (SELECT max(revision) FROM change)",
            (CHUNK, now_ms - CHANGES_KEPT_MS),
        )


def _remove(connection: sqlite3.Connection, kind: Kind, ids: str, *, mark: tuple[int, int | None]) -> int:
    device_id, last = mark
    if last is None:
        return 0
    if kind is Kind.NOTIFICATION:
        connection.execute(_FORGET_PLACES, (ids,))
    statement = f"DELETE FROM {TABLES[kind]} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608
    gone = connection.execute(statement, (ids,)).rowcount
    connection.execute(_MARK, (int(kind), device_id, last))
    return gone
