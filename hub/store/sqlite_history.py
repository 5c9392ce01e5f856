"""Lists of a device's messages on SQLite.

A list is one statement that returns one JSON text, as pages of the log are. It looks at the rows of one device, whose
number retention bounds; by time it stops where the list is full.
"""

import sqlite3
from dataclasses import dataclass
from functools import lru_cache

import orjson

from hub.store import HistoryQuery
from hub.store.sqlite_log import PLACED_TO
from hub.store.sqlite_read import COLUMNS, to_logged
from protocol.messages import Message, lowest_id
from protocol.names import Kind, Order


def read_history(connection: sqlite3.Connection, query: HistoryQuery) -> list[Message]:
    """One list, in its order."""
    shape = _Shape(
        kind=query.kind,
        until=query.until_ms is not None,
        name=query.name is not None,
        status=query.kind is Kind.COMMAND and query.status is not None,
        order=query.order,
        descending=query.descending,
    )
    all_of_them = -1  # as SQLite's LIMIT has it
    values = {
        "device": query.device_id,
        "lowest": 0 if query.since_ms is None else lowest_id(query.since_ms),
        "since": query.since_ms or 0,
        "until": query.until_ms,
        "name": query.name,
        "status": query.status,
        "skip": query.skip,
        "take": all_of_them if query.take is None else query.take,
        "first": all_of_them if query.take is None else query.skip + query.take,
    }
    text = connection.execute(_statement(shape), values).fetchone()[0]
    return query.sorted(to_logged(query.kind, row).message for row in orjson.loads(text))


@dataclass(frozen=True, slots=True)
class _Shape:
    """What decides the text of the statement; everything else is a parameter of it."""

    kind: Kind
    until: bool
    name: bool
    status: bool
    order: Order
    descending: bool


@lru_cache
def _statement(shape: _Shape) -> str:
    order = _ORDERS[shape.order].format("DESC" if shape.descending else "ASC")
    # Each source stops by itself when it has as many as the whole list may need of it.
    found = [f"SELECT * FROM ({source(shape)} ORDER BY {order} LIMIT :first)" for source in _SOURCES[shape.kind]]  # noqa: S608
    return f"""
        SELECT json_group_array(json_array({COLUMNS[shape.kind]}))
        FROM (
            SELECT log.*, device.guid, device.network_id
            FROM ({" UNION ALL ".join(found)} ORDER BY {order} LIMIT :take OFFSET :skip) AS log
            CROSS JOIN device ON device.id = log.device_id
        )
    """  # noqa: S608


_ORDERS = {
    Order.TIME: "id {}",
    Order.NAME: "name {}, id DESC",
    Order.STATUS: "status IS NULL {0}, status {0}, id DESC",
}


def _commands(shape: _Shape) -> str:
    return f"""
        SELECT * FROM command AS log INDEXED BY ix_command_device_id
        WHERE device_id = :device AND id >= :lowest AND {_conditions(shape)}
    """  # noqa: S608


def _placed(shape: _Shape) -> str:
    """Notifications whose places are known."""
    return f"""
        SELECT log.* FROM notification_place AS place CROSS JOIN notification AS log ON log.id = place.id
        WHERE place.device_id = :device AND place.id >= :lowest AND {_conditions(shape)}
    """  # noqa: S608


def _unplaced(shape: _Shape) -> str:
    """The newest of all, a few thousand, have to be looked through."""
    return f"""
        SELECT * FROM notification AS log NOT INDEXED
        WHERE id > {PLACED_TO} AND id >= :lowest AND device_id = :device AND {_conditions(shape)}
    """  # noqa: S608


_SOURCES = {Kind.COMMAND: (_commands,), Kind.NOTIFICATION: (_placed, _unplaced)}


def _conditions(shape: _Shape) -> str:
    conditions = {
        "log.timestamp_ms >= :since": True,
        "log.timestamp_ms <= :until": shape.until,
        "log.name = :name": shape.name,
        "log.status = :status": shape.status,
    }
    return " AND ".join(condition for condition, asked in conditions.items() if asked)
