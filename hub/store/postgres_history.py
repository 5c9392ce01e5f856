"""Lists of a device's messages on PostgreSQL: one statement, over the rows of one device."""

from dataclasses import dataclass
from functools import lru_cache

from asyncpg import Connection

from hub.store import HistoryQuery
from hub.store.postgres_log import COLUMNS, TABLES, to_message
from hub.store.postgres_text import Named
from protocol.messages import Message, lowest_id
from protocol.names import Kind, Order


async def read_history(connection: Connection, query: HistoryQuery) -> list[Message]:
    """One list, in its order."""
    shape = _Shape(
        kind=query.kind,
        until=query.until_ms is not None,
        name=query.name is not None,
        status=query.kind is Kind.COMMAND and query.status is not None,
        order=query.order,
        descending=query.descending,
    )
    rows = await _statement(shape).all(
        connection,
        device=query.device_id,
        lowest=0 if query.since_ms is None else lowest_id(query.since_ms),
        since=query.since_ms or 0,
        until=query.until_ms,
        name=query.name,
        status=query.status,
        skip=query.skip,
        take=query.take,
    )
    return query.sorted(to_message(query.kind, row[1:], row[0]) for row in rows)


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
def _statement(shape: _Shape) -> Named:
    conditions = {
        "log.device_id = :device": True,
        "log.id >= :lowest": True,
        "log.timestamp_ms >= :since": True,
        "log.timestamp_ms <= :until": shape.until,
        "log.name = :name": shape.name,
        "log.status = :status": shape.status,
    }
    order = _ORDERS[shape.order].format("DESC" if shape.descending else "ASC")
    return Named(f"""
        SELECT device.guid, {COLUMNS[shape.kind]}
        FROM {TABLES[shape.kind]} AS log JOIN device ON device.id = log.device_id
        WHERE {" AND ".join(condition for condition, asked in conditions.items() if asked)}
        ORDER BY {order} LIMIT :take OFFSET :skip
    """)  # noqa: S608


_ORDERS = {
    Order.TIME: "log.id {}",
    Order.NAME: 'log.name COLLATE "C" {}, log.id DESC',
    Order.STATUS: 'log.status COLLATE "C" {}, log.id DESC',
}
"""Nulls come last, or first when descending."""
