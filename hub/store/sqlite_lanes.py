"""Ids on SQLite: what was promised, and what a crash may have taken."""

import sqlite3
from collections.abc import Sequence

import orjson

from hub.store import LOST_RANGES, Lane, Lost
from hub.store.sqlite_connect import transaction
from hub.store.sqlite_read import newest


def open_lane(connection: sqlite3.Connection, number: int, *, queued: bool) -> Lane:
    """Take a lane, and record what the run before may have shown and lost."""
    with transaction(connection):
        last_id, last_timestamp_ms = newest(connection)
        found = connection.execute("SELECT mark, queued AND is_open FROM lane WHERE number = ?", (number,)).fetchone()
        mark, may_have_lost = found or (0, False)
        if may_have_lost and mark > last_id:
            connection.execute("INSERT OR IGNORE INTO lost VALUES (?, ?)", (last_id, mark + 1))
        connection.execute("INSERT OR REPLACE INTO lane VALUES (?, ?, ?, 1)", (number, mark, queued))
    return Lane(number, mark, last_id, last_timestamp_ms)


def reserve(connection: sqlite3.Connection, number: int, mark: int) -> None:
    connection.execute("UPDATE lane SET mark = max(mark, ?) WHERE number = ?", (mark, number))


def close_lane(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("UPDATE lane SET is_open = 0 WHERE number = ?", (number,))


_LOSE = """
    INSERT OR IGNORE INTO lost
    SELECT min(value) - 1, max(value) + 1 FROM json_each(?)
    WHERE NOT EXISTS (SELECT 1 FROM notification WHERE id = value) HAVING count(*) > 0
"""
_FORGET = 'DELETE FROM lost WHERE "after" NOT IN (SELECT "after" FROM lost ORDER BY "after" DESC LIMIT ?)'


def record_lost(connection: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Record the range of those ids that the log does not have. Only notifications are ever shown before they are in
    it."""
    with transaction(connection):
        connection.execute(_LOSE, (orjson.dumps(list(ids)).decode(),))
        connection.execute(_FORGET, (LOST_RANGES,))


def lost(connection: sqlite3.Connection) -> list[Lost]:
    ranges = connection.execute('SELECT "after", "before" FROM lost ORDER BY "after"')
    return [Lost(after, before) for after, before in ranges]
