"""Lanes on PostgreSQL: who has which, who leads, and up to where nothing is still to come.

A lane is held by a lock of the connection that writes, so that a worker which is paused keeps it, and a worker which is
gone, or whose connection is, has none. Its row tells the others. All times are the database's own.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Connection

from hub.store import LOST_RANGES, Lane, Lost, Renewal
from hub.store.errors import LaneLost, NoLane
from hub.store.postgres_read import newest
from hub.store.postgres_session import transaction
from hub.store.postgres_text import Named
from protocol.messages import IDS_BEGIN_US, LANES

LOCKS = 0x487562
"""The first half of the locks of lanes; the second is the lane's number."""

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


@dataclass(frozen=True, slots=True)
class Held:
    """A lane, and for whom it is held."""

    number: int
    owner: str


async def open_lane(connection: Connection, owner: str, *, queued: bool) -> Lane:
    """Take the best lane that nobody holds, and record what the runs before may have shown and lost.

    Raises:
        NoLane: every lane is held.
    """
    for number, *_ in await connection.fetch(_BEST_FIRST, LANES):
        if await _lock(connection, number):
            break
    else:
        raise NoLane(f"the database takes no more workers: all {LANES} lanes are held")
    async with transaction(connection):
        await _settle(connection, number)
        row = await _TAKE.one(connection, number=number, owner=owner, queued=queued)
    assert row is not None, "the migrations have made a row for every lane"
    for crashed, *_ in await connection.fetch(_CRASHED):
        await _give_up(connection, crashed, lease_us=0)
    last_id, last_timestamp_ms = await newest(connection)
    return Lane(number, row["mark"], last_id, last_timestamp_ms, row["seen_us"])


async def reclaim(connection: Connection, held: Held) -> bool:
    """Hold a lane again, on a new connection. Returns whether that succeeded; if not, the lock is somebody's still.

    Raises:
        LaneLost: it was given to another worker, or given up for this one.
    """
    locked = await _lock(connection, held.number)
    # The lock first: whoever gives a lane up for its worker looks at the time while it holds the row.
    ours = await _RECLAIM.value(connection, number=held.number, owner=held.owner) if locked else True
    if not locked:
        ours = await connection.fetchval("SELECT owner = $2 FROM lane WHERE number = $1", held.number, held.owner)
    if not ours:
        if locked:
            await unlock(connection, held.number)
        raise LaneLost(f"lane {held.number} has another owner")
    return locked


async def reserve(connection: Connection, number: int, mark: int) -> None:
    await connection.execute("UPDATE lane SET mark = greatest(mark, $2) WHERE number = $1", number, mark)


async def renew(connection: Connection, held: Held, *, safe: int, lease_ms: int) -> Renewal:
    """Say that the worker is there, and hear about the others; where it leads, look after the lanes that nobody has.

    Raises:
        LaneLost: the lane is another worker's now.
    """
    values = {"number": held.number, "owner": held.owner, "safe": safe, "lease": lease_ms * 1_000}
    while True:
        row = await _RENEW.one(connection, **values)
        if row is None:
            raise LaneLost(f"lane {held.number} has another owner")
        if not row["abandoned"]:
            break
        for number in row["abandoned"]:
            await _give_up(connection, number, lease_us=lease_ms * 1_000)
    return Renewal(row["leads"], row["now_us"], tuple(row["safe"]), frozenset(row["held"] or ()))


async def close_lane(connection: Connection, held: Held, *, complete: bool) -> None:
    """End the run: the lane is free, and somebody else may lead."""
    async with transaction(connection):
        await _CLOSE.value(connection, number=held.number, owner=held.owner, complete=complete)
        await connection.execute("DELETE FROM lead WHERE owner = $1", held.owner)
    await unlock(connection, held.number)


async def unlock(connection: Connection, number: int) -> None:
    await connection.execute("SELECT pg_advisory_unlock($1, $2)", LOCKS, number)


async def end_backend(connection: Connection, backend: tuple[int, object]) -> None:
    """Return when a connection that was cut has come to its end on the server too: until then it may still write."""
    while await connection.fetchval(_END, *backend):  # noqa: ASYNC110 - nothing on the server would tell
        await asyncio.sleep(0.01)


# Of two backends that had the same number, the one that was there when ours was.
_END = "SELECT pg_terminate_backend(pid) IS NOT NULL FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"

# --- what may be lost -------------------------------------------------------------------------------------------------


async def record_lost(connection: Connection, ids: Sequence[int]) -> None:
    """Record the range of those ids that the log does not have. Only notifications are ever shown before they are in
    it."""
    async with transaction(connection):
        await connection.execute(_LOSE, list(ids))
        await connection.execute(_FORGET, LOST_RANGES)


async def lost(connection: Connection) -> list[Lost]:
    return [Lost(*row) for row in await connection.fetch('SELECT "after", "before" FROM lost ORDER BY "after"')]


async def _settle(connection: Connection, number: int) -> None:
    """Record what the run before may have shown and lost, unless it did not end as it should have."""
    before = await connection.fetchrow(
        "SELECT mark, safe, queued AND is_open FROM lane WHERE number = $1 FOR UPDATE", number
    )
    assert before is not None, "the migrations have made a row for every lane"
    mark, safe, may_have_lost = before
    if not may_have_lost or mark <= safe:
        return
    # What is in the log came in its order, so only what follows the last of it can be missing.
    last = await connection.fetchval(_LAST_OF_LANE, safe, mark, number, LANES)
    if last < mark:
        await connection.execute("INSERT INTO lost VALUES ($1, $2) ON CONFLICT DO NOTHING", last, mark + 1)
        await connection.execute(_FORGET, LOST_RANGES)


async def _give_up(connection: Connection, number: int, *, lease_us: int) -> None:
    """Free a lane whose worker has been silent for too long and does not hold it any more."""
    async with transaction(connection):
        # With the row in our hands: a worker that comes back at this moment says so in it, or finds itself given up.
        if await connection.fetchval(_IS_ABANDONED, number, lease_us):
            await _settle(connection, number)
            await connection.execute("UPDATE lane SET owner = NULL, is_open = false WHERE number = $1", number)


async def _lock(connection: Connection, number: int) -> bool:
    return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1, $2)", LOCKS, number))


_LOSE = """
    INSERT INTO lost
    SELECT min(id) - 1, max(id) + 1 FROM unnest($1::bigint[]) AS shown (id)
    WHERE NOT EXISTS (SELECT FROM notification WHERE notification.id = shown.id) HAVING count(*) > 0
    ON CONFLICT DO NOTHING
"""
_FORGET = 'DELETE FROM lost WHERE "after" NOT IN (SELECT "after" FROM lost ORDER BY "after" DESC LIMIT $1)'

_LAST_OF_LANE = """
    SELECT greatest($1::bigint,
        (SELECT max(id) FROM notification WHERE id > $1 AND id <= $2 AND id % $4 = $3),
        (SELECT max(id) FROM command WHERE id > $1 AND id <= $2 AND id % $4 = $3))
"""

# Where a lane begins that nobody was on: above the present and the log, and above what workers have promised.
_PRESENT = f"""(
    SELECT us, greatest(
        us - {IDS_BEGIN_US},
        (SELECT max(id) FROM notification),
        (SELECT max(id) FROM command),
        (SELECT max(safe) FROM lane WHERE owner IS NOT NULL)
    ) AS id FROM (SELECT {_NOW} AS us) AS now
) AS present"""  # noqa: S608
# Those first whose ids would lead nobody's, and last of them those that others still count on.
_BEST_FIRST = f"""
    SELECT number FROM lane, {_PRESENT} WHERE number < $1
    ORDER BY greatest(mark, present.id), owner IS NOT NULL, number
"""  # noqa: S608
_TAKE = Named(f"""
    UPDATE lane SET
        owner = :owner::text, queued = :queued::boolean, is_open = true, seen_us = present.us,
        mark = greatest(mark, present.id), safe = greatest(mark, present.id)
    FROM {_PRESENT} WHERE number = :number::int
    RETURNING mark, seen_us
""")  # noqa: S608
_RECLAIM = Named(f"""
    UPDATE lane SET seen_us = {_NOW} WHERE number = :number::int AND owner = :owner::text RETURNING true
""")  # noqa: S608
_CLOSE = Named("""
    UPDATE lane SET owner = NULL, is_open = NOT :complete::boolean
    WHERE number = :number::int AND owner = :owner::text
""")

_FREE = f"""
    NOT EXISTS (
        SELECT FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
        WHERE locktype = 'advisory' AND classid = {LOCKS} AND objid = lane.number AND objsubid = 2
        AND datname = current_database()
    )
"""
_CRASHED = f"SELECT number FROM lane WHERE is_open AND queued AND {_FREE}"  # noqa: S608
# Without an owner and yet open: it was closed with something missing.
_ABANDONED = f"(CASE WHEN owner IS NULL THEN is_open AND queued ELSE seen_us < {{now}} - {{lease}} AND {_FREE} END)"
_IS_ABANDONED = f"""
    SELECT {_ABANDONED.format(now=_NOW, lease="$2::bigint")} FROM lane WHERE number = $1 FOR UPDATE
"""  # noqa: S608

# Lanes that nobody has move along with the time, so that nobody waits for what will never come.
_RENEW = Named(f"""
    WITH now AS MATERIALIZED (SELECT {_NOW} AS us),
    mine AS (
        UPDATE lane SET safe = greatest(lane.safe, :safe::bigint), seen_us = now.us FROM now
        WHERE number = :number::int AND owner = :owner::text RETURNING number, lane.safe
    ),
    leads AS (
        INSERT INTO lead (number, owner, until_us) SELECT 0, :owner::text, now.us + :lease::bigint FROM now, mine
        ON CONFLICT (number) DO UPDATE SET owner = excluded.owner, until_us = excluded.until_us
        WHERE lead.owner = excluded.owner OR lead.until_us < excluded.until_us - :lease::bigint
        RETURNING true
    ),
    idle AS (
        UPDATE lane SET
            mark = greatest(mark, now.us - {IDS_BEGIN_US}), safe = greatest(lane.safe, now.us - {IDS_BEGIN_US})
        FROM now, leads WHERE owner IS NULL AND NOT (is_open AND queued) RETURNING number, lane.safe
    ),
    moved AS (SELECT * FROM mine UNION ALL SELECT * FROM idle)
    SELECT
        now.us AS now_us,
        EXISTS (SELECT FROM leads) AS leads,
        (SELECT array_agg(coalesce(moved.safe, lane.safe) ORDER BY lane.number)
            FROM lane LEFT JOIN moved ON moved.number = lane.number) AS safe,
        (SELECT array_agg(number) FROM lane WHERE owner IS NOT NULL) AS held,
        (SELECT array_agg(number) FROM lane WHERE EXISTS (SELECT FROM leads) AND
            {_ABANDONED.format(now="now.us", lease=":lease::bigint")}) AS abandoned
    FROM now, mine
""")  # noqa: S608
