"""Notifications that the hub gives a meaning: equipment reports its state, a device its status."""

from collections.abc import Awaitable, Callable
from typing import Any

from hub.actions.caller import Caller
from hub.core.notices import device_notification
from hub.core.stamps import Stamp
from hub.gateway import Gateway, Stamps
from hub.store import Tx
from protocol.entities import Device, EquipmentState
from protocol.errors import (
    DEVICE_NOT_FOUND,
    EQUIPMENT_CODE,
    EQUIPMENT_PARAMETERS,
    PARAMETERS_NOT_OBJECT,
    bad_parameter,
)
from protocol.messages import NULL, Notification
from protocol.names import Action, Special
from protocol.requests import InsertNotification, to_text
from protocol.rules import DEVICE, EQUIPMENT, check

Inserter = Callable[[Gateway, Caller, Device, InsertNotification], Awaitable[Notification]]


async def insert_equipment(gateway: Gateway, caller: Caller, device: Device, ask: InsertNotification) -> Notification:
    """Keep the new state of a piece of equipment, and publish the notification unchanged."""
    if ask.parameters is None:
        raise EQUIPMENT_PARAMETERS.error(detail={"parameter": "parameters"})
    state = dict(_parameters(ask))
    code = to_text(state.pop(Special.EQUIPMENT, None), "equipment")
    if code is None:
        raise EQUIPMENT_CODE.error(detail={"parameter": "equipment"})
    check(EQUIPMENT, code=code)

    def change(tx: Tx, device: Device, stamp: Stamp) -> None:
        tx.put_equipment_state(device.id, EquipmentState(code, stamp.timestamp_ms, state))

    return await _insert_with(gateway, caller, device, ask, change, updates_device=False)


async def insert_status(gateway: Gateway, caller: Caller, device: Device, ask: InsertNotification) -> Notification:
    """Set the device's status; ``$device-update`` comes first, then the notification itself."""
    if ask.parameters is None:
        raise bad_parameter("parameters")
    status = _parameters(ask).get("status")
    if not isinstance(status, str) or "\0" in status:
        raise bad_parameter("status")
    check(DEVICE, status=status)

    def change(tx: Tx, device: Device, stamp: Stamp) -> None:
        tx.update_device(device.id, status=status)

    return await _insert_with(gateway, caller, device, ask, change, updates_device=True)


SPECIAL: dict[str, Inserter] = {
    Special.EQUIPMENT: insert_equipment,
    Special.DEVICE_STATUS: insert_status,
}


def _parameters(ask: InsertNotification) -> dict[str, Any]:
    if not isinstance(ask.value, dict):
        raise PARAMETERS_NOT_OBJECT.error(detail={"parameter": "parameters"})
    return ask.value


async def _insert_with(
    gateway: Gateway,
    caller: Caller,
    device: Device,
    ask: InsertNotification,
    change: Callable[[Tx, Device, Stamp], None],
    *,
    updates_device: bool,
) -> Notification:
    """Change something and store the notification that caused it, in one transaction."""
    idempotency = caller.idempotency(Action.NOTIFICATION_INSERT, ask.idempotency_key)

    def work(tx: Tx, stamps: Stamps) -> Notification:
        now = tx.device(device.guid)
        if now is None or now.id != device.id:
            raise DEVICE_NOT_FOUND.error(guid=device.guid)
        earlier = tx.repeated(device.id, idempotency) if idempotency is not None else None
        if isinstance(earlier, Notification):
            return earlier
        if updates_device:
            stamp = stamps.take()
            change(tx, now, stamp)
            now = tx.device(device.guid) or now
            tx.append(device_notification(Special.DEVICE_UPDATE, now, stamp), now)
            stamp = stamps.take()
        else:
            stamp = stamps.take()
            change(tx, now, stamp)
        notification = Notification(
            stamp.id, now.id, now.guid, ask.name or "", stamp.timestamp_ms, ask.parameters or NULL
        )
        tx.append(notification, now, idempotency)
        return notification

    stored: Notification = await gateway.transact(work, stamps_for=[device.id] * (2 if updates_device else 1))
    return stored
