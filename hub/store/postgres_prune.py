"""Retention on PostgreSQL: short transactions, oldest messages first, and a mark that tells what may be missing."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncpg import Connection

from hub.store.postgres_log import TABLES
from hub.store.postgres_text import Named
from hub.store.schema import REPEATABLE_MS
from protocol.names import Kind

T = TypeVar("T")
Ask = Callable[[Callable[[Connection], Awaitable[T]]], Awaitable[T]]

CHUNK = 1_000
"""How many rows one transaction removes."""

CHANGES_KEPT_MS = 3_600_000

_DEVICES_AT_ONCE = 50
_FORGOTTEN_AT_ONCE = 1_000

# One statement, and so one transaction.
_REMOVE = """
    WITH chosen AS MATERIALIZED ({chosen}),
    gone AS (DELETE FROM {table} WHERE id IN (SELECT id FROM chosen) RETURNING id),
    marked AS (
        INSERT INTO retention (kind, device_id, pruned_to)
        SELECT {kind}, :device::bigint, max(id) FROM gone HAVING count(*) > 0
        ON CONFLICT (kind, device_id) DO UPDATE SET pruned_to = greatest(retention.pruned_to, excluded.pruned_to)
    )
    SELECT count(*) FROM gone
"""

# Timestamps rise with the ids, but for seconds: what is old is in front, and nothing else needs a look.
_AGED = """
    SELECT id FROM (SELECT id, timestamp_ms FROM {table} ORDER BY id LIMIT :limit) AS oldest
    WHERE timestamp_ms < :before
"""
_TOO_MANY = "SELECT id FROM {table} WHERE device_id = :device AND id <= :cut {done} ORDER BY id LIMIT :limit"
_DONE = {Kind.NOTIFICATION: "", Kind.COMMAND: "AND (updated OR expires_ms <= :now)"}


def _removing(kind: Kind, chosen: str) -> Named:
    chosen = chosen.format(table=TABLES[kind], done=_DONE[kind])
    return Named(_REMOVE.format(table=TABLES[kind], kind=int(kind), chosen=chosen))


_REMOVE_AGED = {kind: _removing(kind, _AGED) for kind in TABLES}
_REMOVE_TOO_MANY = {kind: _removing(kind, _TOO_MANY) for kind in TABLES}
_CROWDED = {
    kind: Named(f"""
        WITH RECURSIVE each (device_id, place) AS (
            SELECT min(device_id), 1 FROM {table} WHERE device_id > :after
            UNION ALL
            SELECT (SELECT min(device_id) FROM {table} WHERE device_id > each.device_id), place + 1
            FROM each WHERE each.device_id IS NOT NULL AND place < {_DEVICES_AT_ONCE}
        )
        SELECT device_id, (
            SELECT id FROM {table} WHERE {table}.device_id = each.device_id
            ORDER BY id DESC LIMIT 1 OFFSET :per_device
        ) AS cut
        FROM each WHERE device_id IS NOT NULL ORDER BY device_id
    """)  # noqa: S608
    for kind, table in TABLES.items()
}

_FORGET_KEYS = Named("""
    DELETE FROM idempotency WHERE (principal, device_id, action, key) IN (
        SELECT principal, device_id, action, key FROM idempotency WHERE created_ms < :before
        ORDER BY created_ms LIMIT :limit
    )
""")
_FORGET_CHANGES = Named("""
    DELETE FROM change WHERE revision IN (SELECT revision FROM change ORDER BY revision LIMIT :limit)
    AND time_ms < :before AND revision < (SELECT max(revision) FROM change)
""")


async def remove_aged(ask: Ask[int], kind: Kind, *, before_ms: int, limit: int) -> int:
    """Remove up to ``limit`` of the oldest messages where they are older than ``before_ms``."""
    return await _remove(ask, _REMOVE_AGED[kind], {"before": before_ms, "device": 0}, limit)


async def remove_crowded(ask: Ask[int], kind: Kind, *, crowded: tuple[int, int], now_ms: int, limit: int) -> int:
    """Remove up to ``limit`` messages of a device up to an id, but no command that is still waiting."""
    device_id, cut = crowded
    return await _remove(ask, _REMOVE_TOO_MANY[kind], {"device": device_id, "cut": cut, "now": now_ms}, limit)


async def find_crowded(
    connection: Connection, kind: Kind, *, per_device: int, after: int
) -> tuple[list[tuple[int, int]], int | None]:
    """Look at the next devices after ``after``. Returns those with more messages than ``per_device``, each with the
    newest that is too many, and the last device looked at; None: no more."""
    found = await _CROWDED[kind].all(connection, per_device=per_device, after=after)
    crowded = [(device_id, cut) for device_id, cut in found if cut is not None]
    return crowded, found[-1][0] if len(found) == _DEVICES_AT_ONCE else None


async def forget_old(connection: Connection, *, now_ms: int) -> None:
    """Forget some of the idempotency keys and changes that nobody asks for any more."""
    await _FORGET_KEYS.value(connection, before=now_ms - REPEATABLE_MS, limit=_FORGOTTEN_AT_ONCE)
    await _FORGET_CHANGES.value(connection, before=now_ms - CHANGES_KEPT_MS, limit=_FORGOTTEN_AT_ONCE)


async def _remove(ask: Ask[int], statement: Named, values: dict[str, int], limit: int) -> int:
    """Repeat a removal in short transactions until nothing is left or ``limit`` is reached."""
    gone, more = 0, True
    while more and gone < limit:
        step = min(CHUNK, limit - gone)
        removed = await ask(lambda connection, step=step: statement.value(connection, **values, limit=step))  # type: ignore[misc]
        gone, more = gone + removed, removed == step
    return gone
