"""Looking devices up on PostgreSQL: many in one statement, and each of their classes once, however many share it."""

from collections.abc import Sequence
from typing import Any

from asyncpg import Connection, Record

from hub.store import DeviceRecord, OpenCommands, queries, rows
from hub.store.postgres_text import Named, selected
from protocol.entities import Device, DeviceClass
from protocol.names import OFFLINE

_ONE = selected(queries.DEVICES, "WHERE device.guid = :guid")
_MANY = selected(queries.BARE_DEVICES, "WHERE device.guid = ANY(:guids::text[])")
_CLASSES = selected(queries.CLASSES, "WHERE device_class.id = ANY(:ids::bigint[])")
_OVERDUE = selected(
    queries.BARE_DEVICES,
    """
    JOIN activity ON activity.device_id = device.id
    JOIN device_class ON device_class.id = device.device_class_id
    -- The first condition follows from the second, but the index answers it: nobody is overdue sooner than the shortest
    -- timeout allows.
    WHERE activity.last_active_ms < :now - (SELECT min(offline_timeout_s) * 1000::bigint FROM device_class)
    AND activity.last_active_ms < :now - device_class.offline_timeout_s * 1000::bigint
    AND coalesce(device.status, '') != :offline
    LIMIT :limit
    """,
)

# One index has all of it, in this order: by the end of their time, then those that never expire.
_COUNTS = Named("""
    SELECT one.id, count(waiting.*), min(waiting.expires_ms)
    FROM unnest(:devices::bigint[]) AS one (id) LEFT JOIN LATERAL (
        SELECT true AS there, expires_ms FROM command
        WHERE device_id = one.id AND NOT updated AND (expires_ms IS NULL OR expires_ms > :at)
        ORDER BY expires_ms NULLS FIRST LIMIT :most
    ) AS waiting ON true
    GROUP BY one.id
""")


async def find_one(connection: Connection, guid: str) -> DeviceRecord | None:
    row = await _ONE.one(connection, guid=guid)
    return None if row is None else DeviceRecord(rows.to_device(row), row["device_key"])


async def find(connection: Connection, guids: Sequence[str]) -> list[DeviceRecord]:
    """The devices with these guids, in no particular order."""
    found = await _MANY.all(connection, guids=list(guids))
    classes = await _classes(connection, found)
    return [DeviceRecord(device, row["device_key"]) for row, device in _devices(found, classes)]


async def overdue(connection: Connection, *, now_ms: int, limit: int) -> list[Device]:
    """Devices that have been silent for longer than their class allows, and are not ``Offline`` yet."""
    found = await _OVERDUE.all(connection, now=now_ms, limit=limit, offline=OFFLINE)
    return [device for _, device in _devices(found, await _classes(connection, found))]


async def open_commands(
    connection: Connection, device_ids: Sequence[int], *, at_ms: int, most: int
) -> dict[int, OpenCommands]:
    """Count the commands of devices that are neither answered nor expired, up to ``most`` of each."""
    counts = await _COUNTS.all(connection, devices=list(device_ids), at=at_ms, most=most)
    return {device_id: OpenCommands(number, next_end_ms) for device_id, number, next_end_ms in counts}


async def _classes(connection: Connection, found: Sequence[Record]) -> dict[int, DeviceClass]:
    wanted = list({row["device_device_class_id"] for row in found})
    if not wanted:
        return {}
    return {row["class_id"]: rows.to_class(row) for row in await _CLASSES.all(connection, ids=wanted)}


def _devices(found: Sequence[Record], classes: dict[int, DeviceClass]) -> list[tuple[Record, Device]]:
    """Rows with the devices that they are. Where the class has gone since, so has the device."""
    there: list[tuple[Any, DeviceClass | None]] = [(row, classes.get(row["device_device_class_id"])) for row in found]
    return [(row, rows.to_device(row, kind)) for row, kind in there if kind is not None]
