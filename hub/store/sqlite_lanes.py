"""Ids on SQLite: who gives them out, what was promised, and what a crash may have taken."""

import sqlite3
from collections.abc import Callable, Sequence

import orjson

from hub.store import LOST_RANGES, Lane, Lost, Renewal
from hub.store.errors import LaneLost
from hub.store.sqlite_connect import transaction
from hub.store.sqlite_read import newest
from protocol.messages import IDS_BEGIN_US, LANES
from protocol.names import INT64_MAX

_TAKE = """
    INSERT INTO lane (number, mark, queued, is_open, owner, safe, seen_us)
    VALUES (:number, :mark, :queued, 1, :owner, :mark, :now_us)
    ON CONFLICT (number) DO UPDATE SET mark = :mark, queued = :queued, is_open = 1, owner = :owner, safe = :mark,
    seen_us = :now_us
"""
_LANES = "SELECT number, mark, owner IS NOT NULL FROM lane"
_PRESENT = """
    SELECT max(
        :now,
        coalesce((SELECT max(id) FROM notification), 0),
        coalesce((SELECT max(id) FROM command), 0),
        coalesce((SELECT max(safe) FROM lane WHERE owner IS NOT NULL), 0)
    )
"""
"""Where a lane begins that nobody was on: above the present and the log, and above what workers have promised."""

Free = Callable[[int], bool]


def best_first(connection: sqlite3.Connection, *, now_us: int) -> list[int]:
    """All lanes: those first whose ids would lead nobody's, and last of them those that others still count on."""
    present = _present(connection, now_us)
    known = {number: (max(mark, present), is_held) for number, mark, is_held in connection.execute(_LANES)}
    return sorted(range(LANES), key=lambda number: (*known.get(number, (present, False)), number))


def open_lane(
    connection: sqlite3.Connection, number: int, *, owner: str, queued: bool, now_us: int, is_free: Free
) -> Lane:
    """Take a lane that is locked for this process, and record what the runs before may have shown and lost."""
    with transaction(connection):
        present = _present(connection, now_us)
        _bury(connection, before_us=INT64_MAX, is_free=is_free)
        _settle(connection, number)
        row = connection.execute("SELECT mark FROM lane WHERE number = ?", (number,)).fetchone() or (0,)
        mark = max(row[0], present)
        values = {"number": number, "mark": mark, "queued": queued, "owner": owner, "now_us": now_us}
        connection.execute(_TAKE, values)
        last_id, last_timestamp_ms = newest(connection)
    return Lane(number, mark, last_id, last_timestamp_ms, now_us)


def _present(connection: sqlite3.Connection, now_us: int) -> int:
    present: int = connection.execute(_PRESENT, {"now": now_us - IDS_BEGIN_US}).fetchone()[0]
    return present


def reserve(connection: sqlite3.Connection, number: int, mark: int) -> None:
    connection.execute("UPDATE lane SET mark = max(mark, ?) WHERE number = ?", (mark, number))


_SEEN = "UPDATE lane SET safe = max(safe, ?), seen_us = ? WHERE number = ? AND owner = ?"
_LEAD = """
    INSERT INTO lead VALUES (0, :owner, :until_us)
    ON CONFLICT (number) DO UPDATE SET owner = :owner, until_us = :until_us
    WHERE lead.owner = :owner OR lead.until_us < :now_us
"""
# No id up to now is still to come in a lane that nobody has: whoever takes it begins above its mark.
_MOVE_ALONG = "UPDATE lane SET mark = max(mark, :now), safe = max(mark, :now) WHERE owner IS NULL"


def renew(
    connection: sqlite3.Connection,
    number: int,
    *,
    owner: str,
    safe: int,
    lease_us: int,
    now_us: int,
    is_free: Free,
) -> Renewal:
    """Say that the owner of a lane is there, and look who else is."""
    with transaction(connection):
        if not connection.execute(_SEEN, (safe, now_us, number, owner)).rowcount:
            raise LaneLost(f"lane {number} has another owner")
        asks = {"owner": owner, "until_us": now_us + lease_us, "now_us": now_us}
        leads = bool(connection.execute(_LEAD, asks).rowcount)
        if leads:
            _bury(connection, before_us=now_us - lease_us, is_free=is_free)
            connection.execute(_MOVE_ALONG, {"now": now_us - IDS_BEGIN_US})
        rows = connection.execute("SELECT number, safe, owner IS NOT NULL FROM lane").fetchall()
    known = {lane: (up_to, held) for lane, up_to, held in rows}
    return Renewal(
        leads=leads,
        now_us=now_us,
        safe=tuple(known.get(lane, (0, False))[0] for lane in range(LANES)),
        held=frozenset(lane for lane, (_, held) in known.items() if held),
    )


# Without an owner and yet open: it was closed with something missing.
_SILENT = "SELECT number FROM lane WHERE owner IS NOT NULL AND seen_us < ? OR owner IS NULL AND is_open AND queued"


def _bury(connection: sqlite3.Connection, *, before_us: int, is_free: Free) -> None:
    """Lanes whose owner was not seen since then and has died have no owner."""
    for (number,) in connection.execute(_SILENT, (before_us,)).fetchall():
        if is_free(number):
            _settle(connection, number)
            connection.execute("UPDATE lane SET owner = NULL WHERE number = ?", (number,))


def close_lane(connection: sqlite3.Connection, number: int, *, owner: str, complete: bool) -> None:
    with transaction(connection):
        connection.execute(
            "UPDATE lane SET owner = NULL, is_open = is_open AND NOT ? WHERE number = ? AND owner = ?",
            (complete, number, owner),
        )
        connection.execute("DELETE FROM lead WHERE owner = ?", (owner,))


# --- what may be lost -------------------------------------------------------------------------------------------------

_LAST_OF_LANE = """
    SELECT max(
        :safe,
        coalesce((SELECT max(id) FROM notification WHERE id > :safe AND id <= :mark AND id % :lanes = :number), 0),
        coalesce((SELECT max(id) FROM command WHERE id > :safe AND id <= :mark AND id % :lanes = :number), 0)
    )
"""


def _settle(connection: sqlite3.Connection, number: int) -> None:
    """Record what the run before may have shown and lost, unless it ended as it should have."""
    run = connection.execute(
        "SELECT mark, safe FROM lane WHERE number = ? AND queued AND is_open", (number,)
    ).fetchone()
    if run is None:
        return
    mark, safe = run
    # What is in the log came in its order, so only what follows the last of it can be missing.
    values = {"mark": mark, "safe": safe, "number": number, "lanes": LANES}
    (last,) = connection.execute(_LAST_OF_LANE, values).fetchone()
    if last < mark:
        connection.execute("INSERT OR IGNORE INTO lost VALUES (?, ?)", (last, mark + 1))
        connection.execute(_FORGET, (LOST_RANGES,))
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
