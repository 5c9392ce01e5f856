"""Reading the message log on PostgreSQL: pages, bounded in what they return and in what they look at.

A page is one statement and so one state of the log: how far it looked, what matched there, and whether anything was
left are all true of the same moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asyncpg import Connection

from hub.store import REPLAY_PAGE, Logged, LoggedUpdate, LogQuery, Page, Reach, UpdatePage
from hub.store.postgres_log import COLUMNS, TABLES, to_command, to_message, to_notification
from hub.store.postgres_text import Named
from protocol.messages import AHEAD_MS, LANES, Command, Notification, lowest_id
from protocol.names import INT64_MAX, Kind

EXAMINED = 20_000
"""How many rows of the log one read looks at, about."""

FEW_DEVICES = 1_000
"""Up to so many devices are looked up one by one; beyond, the log is read in its order and filtered."""


async def read_page(connection: Connection, query: LogQuery, *, examined: int = EXAMINED) -> Page:
    """Read one page."""
    devices, many = await _devices(connection, query.reach)
    shape = _Shape(
        kind=query.kind,
        by_device=devices is not None,
        by_reach=many,
        by_name=query.names is not None,
        newer=query.newer_than_ms is not None,
        up_to=query.up_to_ms is not None,
        pending=query.kind is Kind.COMMAND and query.pending_at_ms is not None,
        beyond=query.beyond is not None,
    )
    limit = max(1, min(query.limit, REPLAY_PAGE))
    reach = query.reach or Reach()
    found = await _page_statement(shape).all(
        connection,
        start=max(query.after, _lowest(query) - 1),
        count=_window(shape, examined, limit, devices),
        limit=limit,
        devices=devices,
        guids=list(reach.guids),
        networks=list(reach.networks),
        names=list(query.names or ()),
        newer=query.newer_than_ms,
        up_to=query.up_to_ms,
        pending=query.pending_at_ms,
        beyond=_lanes(query.beyond),
    )
    messages = [_to_logged(query.kind, row) for row in found if row[_GUID] is not None]
    last, newest, last_ms = found[0][:_GUID]
    over = query.up_to_ms is not None and last_ms is not None and last_ms > query.up_to_ms + query.spread_ms
    return Page(messages, *_read_to(messages, limit, query.after, (None if over else last, newest)))


def _lowest(query: LogQuery) -> int:
    """The smallest id that may match."""
    return 0 if query.newer_than_ms is None else lowest_id(query.newer_than_ms + 1)


async def read_updates(
    connection: Connection, *, after: int, beyond: tuple[int, ...] | None, limit: int, examined: int = EXAMINED
) -> UpdatePage:
    """Read one page of the updates of commands."""
    shape = _Shape(kind=Kind.COMMAND, updates=True, beyond=beyond is not None)
    limit = max(1, min(limit, REPLAY_PAGE))
    count = _window(shape, examined, limit, None)
    values = {"start": max(after, 0), "count": count, "limit": limit, "beyond": _lanes(beyond)}
    found = await _page_statement(shape).all(connection, **values)
    updates = [
        LoggedUpdate(row[-1], to_command(row[_GUID + 2 : -1], row[_GUID])) for row in found if row[_GUID] is not None
    ]
    last, newest, _ = found[0][:_GUID]
    if len(updates) == limit:
        return UpdatePage(updates, read_to=updates[-1].update_id, complete=False)
    return UpdatePage(updates, read_to=max(after, newest or 0) if last is None else last, complete=last is None)


def _read_to(
    messages: Sequence[Logged], limit: int, after: int, ends: tuple[int | None, int | None]
) -> tuple[int, bool]:
    """Up to where a page has looked, and whether that is all there was."""
    last, newest = ends
    if len(messages) == limit:
        return messages[-1].message.id, False
    if last is None:
        return max(after, newest or 0), True
    return last, False


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the text of a page's statement; everything else is a parameter of it."""

    kind: Kind
    updates: bool = False
    by_device: bool = False
    by_reach: bool = False
    by_name: bool = False
    newer: bool = False
    up_to: bool = False
    pending: bool = False
    beyond: bool = False

    @property
    def filters(self) -> bool:
        """Whether rows in the window may not match."""
        return any((self.by_device, self.by_reach, self.by_name, self.newer, self.up_to, self.pending, self.beyond))

    @property
    def place(self) -> str:
        return "update_id" if self.updates else "id"


def _window(shape: _Shape, examined: int, limit: int, devices: Sequence[int] | None) -> int:
    """After how many rows, of each device if there are some, the window ends."""
    if devices is None:
        return (examined if shape.filters else limit) - 1
    return max(1, examined // max(1, len(devices)))


@lru_cache
def _page_statement(shape: _Shape) -> Named:
    table, place = TABLES[shape.kind], shape.place
    columns = COLUMNS[shape.kind] + (", log.update_id" if shape.updates else "")
    conditions = " AND ".join(_conditions(shape))
    if shape.by_device:
        end = f"""
            SELECT min(nth.id) FROM unnest(:devices::bigint[]) AS one (id) CROSS JOIN LATERAL (
                SELECT log.id FROM {table} AS log WHERE log.device_id = one.id AND log.id > :start
                ORDER BY log.id LIMIT 1 OFFSET :count
            ) AS nth
        """  # noqa: S608
        source = f"""
            unnest(:devices::bigint[]) AS one (id) CROSS JOIN LATERAL (
                SELECT * FROM {table} AS log WHERE log.device_id = one.id AND {conditions} ORDER BY log.id LIMIT :limit
            ) AS log JOIN device ON device.id = log.device_id
        """  # noqa: S608
        conditions = "true"
    else:
        end = f"""
            SELECT {place} FROM {table} WHERE {place} > 0 AND {place} > :start
            ORDER BY {place} LIMIT 1 OFFSET :count
        """  # noqa: S608
        source = f"{table} AS log JOIN device ON device.id = log.device_id"
    only = "WHERE update_id > 0" if shape.updates else ""
    time = f"SELECT timestamp_ms FROM {table} WHERE id = last.last" if shape.up_to else "SELECT NULL::bigint"  # noqa: S608
    return Named(f"""
        WITH last AS MATERIALIZED (SELECT ({end}) AS last),
        found AS (
            SELECT device.guid, device.network_id AS network, {columns} FROM {source}
            WHERE {conditions} ORDER BY log.{place} LIMIT :limit
        )
        SELECT last.last, (SELECT max({place}) FROM {table} {only}), ({time}), found.*
        FROM last LEFT JOIN found ON true ORDER BY found.{place}
    """)  # noqa: S608


_GUID = 3
"""Where the columns of a message begin: its guid, its network, and then its own."""


def _conditions(shape: _Shape) -> list[str]:
    conditions = {
        f"log.{shape.place} > :start": True,
        f"log.{shape.place} <= coalesce((SELECT last FROM last), {INT64_MAX})": True,  # noqa: S608
        "log.update_id > 0": shape.updates,  # as the index has it
        "(device.guid = ANY(:guids::text[]) OR device.network_id = ANY(:networks::bigint[]))": shape.by_reach,
        "log.name = ANY(:names::text[])": shape.by_name,
        "log.timestamp_ms > :newer::bigint": shape.newer,
        "log.timestamp_ms <= :up_to::bigint": shape.up_to,
        "NOT log.updated AND (log.expires_ms IS NULL OR log.expires_ms > :pending::bigint)": shape.pending,
        f"log.{shape.place} > (:beyond::bigint[])[(log.{shape.place} % {LANES} + 1)::int]": shape.beyond,
    }
    return [condition for condition, asked in conditions.items() if asked]


def _to_logged(kind: Kind, row: Any) -> Logged:
    return Logged(to_message(kind, row[_GUID + 2 :], row[_GUID]), row[_GUID + 1])


def _lanes(beyond: tuple[int, ...] | None) -> list[int] | None:
    return None if beyond is None else list(beyond)


_REACHED = """
    SELECT id FROM device WHERE guid = ANY(:guids::text[])
    UNION SELECT id FROM device WHERE network_id = ANY(:networks::bigint[])
"""
_FEW = Named(f"SELECT coalesce(array_agg(id), '{{}}') FROM ({_REACHED} LIMIT {FEW_DEVICES + 1}) AS reached")  # noqa: S608


async def _devices(connection: Connection, reach: Reach | None) -> tuple[list[int] | None, bool]:
    """The devices within reach, and whether they are too many to be named: no list then."""
    if reach is None:
        return None, False
    devices = await _FEW.value(connection, **_reach_values(reach))
    return (None, True) if len(devices) > FEW_DEVICES else (devices, False)


def _reach_values(reach: Reach) -> dict[str, Any]:
    return {"guids": list(reach.guids), "networks": list(reach.networks)}


# --- single questions -------------------------------------------------------------------------------------------------

_COMMAND = Named(f"""
    SELECT (SELECT guid FROM device WHERE device.id = log.device_id), {COLUMNS[Kind.COMMAND]}
    FROM command AS log WHERE id = :command AND device_id = :device
""")  # noqa: S608
_NOTIFICATION = Named(f"""
    SELECT (SELECT guid FROM device WHERE device.id = log.device_id), {COLUMNS[Kind.NOTIFICATION]}
    FROM notification AS log WHERE id = :notification AND device_id = :device
""")  # noqa: S608
_PRUNED = "SELECT coalesce(max(pruned_to), 0) FROM retention WHERE kind = :kind"
_PRUNED_OF_ALL = Named(_PRUNED)
_PRUNED_WITHIN = Named(f"{_PRUNED} AND (device_id = 0 OR device_id IN ({_REACHED}))")
_LAST_ID = "SELECT greatest(0, (SELECT max(id) FROM notification), (SELECT max(id) FROM command))"
_LAST_TIME = """
    SELECT greatest(0, (SELECT max(timestamp_ms) FROM notification WHERE id > $1),
                    (SELECT max(timestamp_ms) FROM command WHERE id > $1))
"""


async def find_command(connection: Connection, device_id: int, command_id: int) -> Command | None:
    """One command of a device, pending or not; None when the device or the command is gone."""
    row = await _COMMAND.one(connection, command=command_id, device=device_id)
    return None if row is None or row[0] is None else to_command(row[1:], row[0])


async def find_notification(connection: Connection, device_id: int, notification_id: int) -> Notification | None:
    """One notification of a device; None when the device or the notification is gone."""
    row = await _NOTIFICATION.one(connection, notification=notification_id, device=device_id)
    return None if row is None or row[0] is None else to_notification(row[1:], row[0])


async def pruned_to(connection: Connection, kind: Kind, reach: Reach | None) -> int:
    """The id up to which retention may have removed messages of these devices."""
    if reach is None:
        return int(await _PRUNED_OF_ALL.value(connection, kind=int(kind)))
    return int(await _PRUNED_WITHIN.value(connection, kind=int(kind), **_reach_values(reach)))


async def newest(connection: Connection) -> tuple[int, int]:
    """The greatest id and the greatest timestamp of the log; 0 where there is nothing."""
    last_id = await connection.fetchval(_LAST_ID)
    # Timestamps rise with the ids but for AHEAD_MS, so the greatest is among the last ids.
    return last_id, await connection.fetchval(_LAST_TIME, last_id - 2 * AHEAD_MS * 1_000)
