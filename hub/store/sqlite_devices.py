"""Looking devices up on SQLite: many in one statement, and each of their classes once, however many devices share it.

Rows come back as one JSON text: see :mod:`hub.store.sqlite_read`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Select
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from hub.store import DeviceRecord, OpenCommands, queries, rows
from hub.store.sqlite_connect import snapshot
from protocol.entities import Device, DeviceClass
from protocol.names import OFFLINE


class _Rows:
    """All rows of a select, with a condition, as one JSON text."""

    def __init__(self, select: Select[Any], condition: str) -> None:
        self._columns = [column.name for column in select.selected_columns]
        columns = ", ".join(self._columns)
        inner = select.compile(dialect=SQLiteDialect_pysqlite(paramstyle="named"))
        self._constants = inner.params
        self._text = f"SELECT json_group_array(json_array({columns})) FROM ({inner} {condition})"  # noqa: S608

    def read(self, connection: sqlite3.Connection, **values: Any) -> list[dict[str, Any]]:
        text = connection.execute(self._text, self._constants | values).fetchone()[0]
        return [dict(zip(self._columns, row, strict=True)) for row in orjson.loads(text)]


_BY_GUID = _Rows(queries.BARE_DEVICES, "WHERE device.guid IN (SELECT value FROM json_each(:guids))")
_CLASSES = _Rows(queries.CLASSES, "WHERE device_class.id IN (SELECT value FROM json_each(:ids))")
_OVERDUE = _Rows(
    queries.BARE_DEVICES,
    """
    JOIN activity ON activity.device_id = device.id
    JOIN device_class ON device_class.id = device.device_class_id
    -- The first condition follows from the second, but the index answers it: nobody is overdue sooner than the shortest
    -- timeout allows.
    WHERE activity.last_active_ms < :now - (SELECT min(offline_timeout_s) * 1000 FROM device_class)
    AND activity.last_active_ms < :now - device_class.offline_timeout_s * 1000
    AND coalesce(device.status, '') != :offline
    LIMIT :limit
    """,
)


def find(connection: sqlite3.Connection, guids: Sequence[str]) -> list[DeviceRecord]:
    """The devices with these guids, in no particular order."""
    with snapshot(connection):
        found = _BY_GUID.read(connection, guids=_json(guids))
        classes = _classes(connection, found)
    return [DeviceRecord(_device(row, classes), row["device_key"]) for row in found]


def overdue(connection: sqlite3.Connection, *, now_ms: int, limit: int) -> list[Device]:
    """Devices that have been silent for longer than their class allows, and are not ``Offline`` yet."""
    with snapshot(connection):
        found = _OVERDUE.read(connection, now=now_ms, limit=limit, offline=OFFLINE)
        classes = _classes(connection, found)
    return [_device(row, classes) for row in found]


def _classes(connection: sqlite3.Connection, found: list[dict[str, Any]]) -> dict[int, DeviceClass]:
    wanted = {row["device_device_class_id"] for row in found}
    if not wanted:
        return {}
    return {row["class_id"]: rows.to_class(row) for row in _CLASSES.read(connection, ids=_json(list(wanted)))}


def _device(row: dict[str, Any], classes: dict[int, DeviceClass]) -> Device:
    return rows.to_device(row, classes[row["device_device_class_id"]])


# --- commands that wait -----------------------------------------------------------------------------------------------

# One index has all of it (see hub.store.schema), in this order: those that never expire, then by the end of their time.
_COUNTS = """
    SELECT json_group_array(json_array(devices.value, (
        SELECT json_array(count(*), min(expires_ms)) FROM (
            SELECT expires_ms FROM command
            WHERE device_id = devices.value AND updated = 0 AND (expires_ms IS NULL OR expires_ms > :at)
            ORDER BY expires_ms LIMIT :most
        )
    )))
    FROM json_each(:devices) AS devices
"""


def open_commands(
    connection: sqlite3.Connection, device_ids: Sequence[int], *, at_ms: int, most: int
) -> dict[int, OpenCommands]:
    """Count the commands of devices that are neither answered nor expired, up to ``most`` of each."""
    values = {"devices": _json(device_ids), "at": at_ms, "most": most}
    counts = orjson.loads(connection.execute(_COUNTS, values).fetchone()[0])
    return {device_id: OpenCommands(*count) for device_id, count in counts}


def _json(values: Sequence[Any]) -> str:
    return orjson.dumps(list(values)).decode()
