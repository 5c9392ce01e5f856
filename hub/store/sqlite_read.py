"""Reading the message log on SQLite: pages, bounded in what they return and in what they look at.

A page comes back as one JSON text: fetching a thousand rows gives the GIL up a thousand times and takes, beside a busy
event loop, seconds; one row takes milliseconds. And no page looks at more than ``EXAMINED`` rows, matching or not: a
reader that stays in its transaction keeps the write-ahead log from being emptied.
"""

import sqlite3
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from hub.store import REPLAY_PAGE, Logged, LoggedUpdate, LogQuery, Page, Reach, UpdatePage
from hub.store.sqlite_connect import snapshot
from hub.store.sqlite_log import (
    COMMAND_SELECT,
    JSON_COLUMNS,
    NOTIFICATION_SELECT,
    PLACED_TO,
    PLACES,
    TABLES,
    to_command,
    to_message,
    to_notification,
)
from protocol.messages import AHEAD_MS, LANES, Command, Notification, lowest_id
from protocol.names import INT64_MAX, Kind

EXAMINED = 20_000
"""How many rows of the log one read looks at, about."""

FEW_DEVICES = 1_000
"""Up to so many devices are looked up one by one; beyond, the log is read in its order and filtered."""


def read_page(connection: sqlite3.Connection, query: LogQuery, *, examined: int = EXAMINED) -> Page:
    """Read one page, in a transaction of its own."""
    with snapshot(connection):
        return _Reading(connection, query, examined).page()


class _Reading:
    """One read: find the window of ids to look at, then what matches in it."""

    def __init__(self, connection: sqlite3.Connection, query: LogQuery, examined: int) -> None:
        self._connection = connection
        self._query = query
        self._table = TABLES[query.kind]
        self._limit = max(1, min(query.limit, REPLAY_PAGE))
        self._devices, many = _devices(connection, query.reach)
        self._shape = _Shape(
            kind=query.kind,
            by_device=self._devices is not None,
            one_device=self._devices is not None and len(self._devices) == 1,
            by_reach=many,
            by_name=query.names is not None,
            newer=query.newer_than_ms is not None,
            up_to=query.up_to_ms is not None,
            pending=query.kind is Kind.COMMAND and query.pending_at_ms is not None,
            beyond=query.beyond is not None,
        )
        self._examined = examined if self._shape.filters else self._limit
        self._start = max(query.after, self._lowest() - 1)

    def page(self) -> Page:
        if self._devices == []:
            return self._complete([])
        end = self._window_end()
        messages = self._messages(end)
        if len(messages) == self._limit:
            return Page(messages, read_to=messages[-1].message.id, complete=False)
        if end is None or self._beyond_time(end):
            return self._complete(messages)
        return Page(messages, read_to=end, complete=False)

    def _lowest(self) -> int:
        newer_than_ms = self._query.newer_than_ms
        return 0 if newer_than_ms is None else lowest_id(newer_than_ms + 1)

    def _complete(self, messages: list[Logged]) -> Page:
        newest = self._one(f"SELECT max(id) FROM {self._table}")  # noqa: S608
        return Page(messages, read_to=max(self._query.after, newest or 0), complete=True)

    def _window_end(self) -> Any:
        """The last id to look at, so that about ``examined`` rows are; None: to the end of the log."""
        if self._devices is None:
            return self._one(
                f"SELECT id FROM {self._table} WHERE id > :start ORDER BY id LIMIT 1 OFFSET :count",  # noqa: S608
                start=self._start,
                count=self._examined - 1,
            )
        return self._one(
            f"""
            SELECT min((SELECT id FROM {PLACES[self._query.kind]} WHERE device_id = value AND id > :start
                        ORDER BY id LIMIT 1 OFFSET :count))
            FROM json_each(:devices)
            """,  # noqa: S608
            start=self._start,
            count=max(1, self._examined // len(self._devices)),
            devices=_json(self._devices),
        )

    def _messages(self, end: int | None) -> list[Logged]:
        query, reach = self._query, self._query.reach or Reach()
        text = self._one(
            _page_statement(self._shape),
            start=self._start,
            end=INT64_MAX if end is None else end,
            limit=self._limit,
            devices=_json(self._devices or []),
            guids=_json(list(reach.guids)),
            networks=_json(list(reach.networks)),
            names=_json(list(query.names or ())),
            newer=query.newer_than_ms,
            up_to=query.up_to_ms,
            pending=query.pending_at_ms,
            beyond=_json([*(query.beyond or ())]),
        )
        return [to_logged(query.kind, row) for row in sorted(orjson.loads(text), key=_id)]

    def _beyond_time(self, end: int) -> bool:
        """Whether everything after ``end`` is certainly later than what is asked for."""
        if self._query.up_to_ms is None:
            return False
        there = self._one(f"SELECT timestamp_ms FROM {self._table} WHERE id = :id", id=end)  # noqa: S608
        return bool(there > self._query.up_to_ms + self._query.spread_ms)

    def _one(self, statement: str, **values: Any) -> Any:
        row = self._connection.execute(statement, values).fetchone()
        return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the text of a page's statement; everything else is a parameter of it."""

    kind: Kind
    by_device: bool
    one_device: bool
    by_reach: bool
    by_name: bool
    newer: bool
    up_to: bool
    pending: bool
    beyond: bool

    @property
    def filters(self) -> bool:
        """Whether rows in the window may not match."""
        return any((self.by_device, self.by_reach, self.by_name, self.newer, self.up_to, self.pending, self.beyond))


@lru_cache
def _page_statement(shape: _Shape) -> str:
    table = TABLES[shape.kind]
    before, source = "", f"{table} AS log NOT INDEXED"
    if shape.by_device and shape.kind is Kind.NOTIFICATION:
        before, source = _BY_PLACE, "place CROSS JOIN notification AS log ON log.id = place.id"
    elif shape.by_device:
        source = f"{table} AS log INDEXED BY ix_{table}_device_id"
    # CROSS JOIN: in the order of the log, device after device, never the other way round.
    return f"""
        SELECT json_group_array(json_array({COLUMNS[shape.kind]}))
        FROM (
            {before}
            SELECT log.*, device.guid, device.network_id
            FROM {source} CROSS JOIN device ON device.id = log.device_id
            WHERE {" AND ".join(_conditions(shape))}
            ORDER BY log.id LIMIT :limit
        )
    """  # noqa: S608


# Up to some id the places are known; from there on, a few thousand messages are looked through. Materialized, or the
# whole window would be.
_BY_PLACE = f"""
    WITH place (id) AS MATERIALIZED (
        SELECT id FROM notification_place
        WHERE device_id IN (SELECT value FROM json_each(:devices)) AND id > :start AND id <= :end
        UNION ALL
        SELECT id FROM notification
        WHERE device_id IN (SELECT value FROM json_each(:devices)) AND id > {PLACED_TO} AND id > :start AND id <= :end
    )
"""  # noqa: S608


COLUMNS = {
    Kind.NOTIFICATION: "guid, network_id, id, device_id, name, timestamp_ms, parameters",
    Kind.COMMAND: f"guid, network_id, {JSON_COLUMNS}",
}
"""What a row of a page has, for :func:`to_logged`."""


_BEYOND = f"json_extract(:beyond, '$[' || ({{}} % {LANES}) || ']')"
"""What was asked for the lane of an id."""


def _conditions(shape: _Shape) -> list[str]:
    conditions = {
        "log.id > :start AND log.id <= :end": True,
        # The rows of one device come in the order of their ids; those of several have to be sorted.
        "log.device_id = json_extract(:devices, '$[0]')": shape.one_device,
        "log.device_id IN (SELECT value FROM json_each(:devices))": shape.by_device and not shape.one_device,
        "(device.guid IN (SELECT value FROM json_each(:guids))"
        " OR device.network_id IN (SELECT value FROM json_each(:networks)))": shape.by_reach,
        "log.name IN (SELECT value FROM json_each(:names))": shape.by_name,
        "log.timestamp_ms > :newer": shape.newer,
        "log.timestamp_ms <= :up_to": shape.up_to,
        "log.updated = 0 AND (log.expires_ms IS NULL OR log.expires_ms > :pending)": shape.pending,
        f"log.id > {_BEYOND.format('log.id')}": shape.beyond,
    }
    return [condition for condition, asked in conditions.items() if asked]


def to_logged(kind: Kind, row: list[Any]) -> Logged:
    """A message from a row of ``COLUMNS`` as JSON has it."""
    guid, network_id, *columns = row
    for place in _JSON_PLACES[kind]:
        columns[place] = columns[place].encode()
    return Logged(to_message(kind, columns, guid), network_id)


_JSON_PLACES = {Kind.NOTIFICATION: (4,), Kind.COMMAND: (5, 8)}
"""Where a row has JSON text."""


def _id(row: list[Any]) -> Any:
    return row[2]


_REACHED = """
    SELECT id FROM device WHERE guid IN (SELECT value FROM json_each(:guids))
    UNION SELECT id FROM device WHERE network_id IN (SELECT value FROM json_each(:networks))
"""


def _devices(connection: sqlite3.Connection, reach: Reach | None) -> tuple[list[int] | None, bool]:
    """The devices within reach, and whether they are too many to be named: no list then."""
    if reach is None:
        return None, False
    text = connection.execute(
        f"SELECT json_group_array(id) FROM (SELECT id FROM ({_REACHED}) LIMIT {FEW_DEVICES + 1})",  # noqa: S608
        _reach_values(reach),
    ).fetchone()[0]
    devices = orjson.loads(text)
    return (None, True) if len(devices) > FEW_DEVICES else (devices, False)


def _reach_values(reach: Reach) -> dict[str, str]:
    return {"guids": _json(list(reach.guids)), "networks": _json(list(reach.networks))}


def _json(values: list[Any]) -> str:
    return orjson.dumps(values).decode()


# --- single questions -------------------------------------------------------------------------------------------------


def find_command(connection: sqlite3.Connection, device_id: int, command_id: int) -> Command | None:
    """One command of a device, pending or not; None when the device or the command is gone."""
    row = connection.execute(
        f"""
        SELECT (SELECT guid FROM device WHERE device.id = command.device_id), {COMMAND_SELECT}
        FROM command WHERE id = ? AND device_id = ?
        """,  # noqa: S608
        (command_id, device_id),
    ).fetchone()
    return None if row is None or row[0] is None else to_command(row[1:], row[0])


def find_notification(connection: sqlite3.Connection, device_id: int, notification_id: int) -> Notification | None:
    """One notification of a device; None when the device or the notification is gone."""
    row = connection.execute(
        f"""
        SELECT (SELECT guid FROM device WHERE device.id = notification.device_id), {NOTIFICATION_SELECT}
        FROM notification WHERE id = ? AND device_id = ?
        """,  # noqa: S608
        (notification_id, device_id),
    ).fetchone()
    return None if row is None or row[0] is None else to_notification(row[1:], row[0])


_UPDATES = f"""
    SELECT json_group_array(json_array(guid, update_id, {JSON_COLUMNS}))
    FROM (
        SELECT command.*, device.guid FROM command CROSS JOIN device ON device.id = command.device_id
        WHERE update_id > :after AND update_id > 0 {{}} ORDER BY update_id LIMIT :limit
    )
"""  # noqa: S608
_UPDATES_BEYOND = _UPDATES.format(f"AND update_id > {_BEYOND.format('update_id')}")
_ALL_UPDATES = _UPDATES.format("")


def read_updates(
    connection: sqlite3.Connection, *, after: int, beyond: tuple[int, ...] | None, limit: int
) -> UpdatePage:
    """The newest updates of commands, in the order of their ids."""
    limit = max(1, min(limit, REPLAY_PAGE))
    statement = _ALL_UPDATES if beyond is None else _UPDATES_BEYOND
    with snapshot(connection):
        values = {"after": after, "limit": limit, "beyond": _json([*(beyond or ())])}
        rows = orjson.loads(connection.execute(statement, values).fetchone()[0])
        newest_id = connection.execute("SELECT max(update_id) FROM command WHERE update_id > 0").fetchone()[0]
    updates = sorted((_to_update(row) for row in rows), key=lambda update: update.update_id)
    if len(updates) == limit:
        return UpdatePage(updates, read_to=updates[-1].update_id, complete=False)
    return UpdatePage(updates, read_to=max(after, newest_id or 0), complete=True)


def _to_update(row: list[Any]) -> LoggedUpdate:
    guid, update_id, *columns = row
    for place in _JSON_PLACES[Kind.COMMAND]:
        columns[place] = columns[place].encode()
    return LoggedUpdate(update_id, to_command(columns, guid))


def pruned_to(connection: sqlite3.Connection, kind: Kind, reach: Reach | None) -> int:
    """The id up to which retention may have removed messages of these devices."""
    within = "" if reach is None else f"AND (device_id = 0 OR device_id IN ({_REACHED}))"
    values = {"kind": int(kind)} | ({} if reach is None else _reach_values(reach))
    statement = f"SELECT max(pruned_to) FROM retention WHERE kind = :kind {within}"  # noqa: S608
    return connection.execute(statement, values).fetchone()[0] or 0


def newest(connection: sqlite3.Connection) -> tuple[int, int]:
    """The greatest id and the greatest timestamp of the log; 0 where there is nothing."""
    last_id = max(connection.execute(f"SELECT max(id) FROM {table}").fetchone()[0] or 0 for table in TABLES.values())  # noqa: S608
    # Timestamps rise with the ids but for AHEAD_MS, so the greatest is among the last ids.
    since = last_id - 2 * AHEAD_MS * 1_000
    last_timestamp_ms = max(
        connection.execute(f"SELECT max(timestamp_ms) FROM {table} WHERE id > ?", (since,)).fetchone()[0] or 0  # noqa: S608
        for table in TABLES.values()
    )
    return last_id, last_timestamp_ms
