"""Devices: whoever may sees them, and anybody registers one."""

from dataclasses import dataclass
from typing import Any

from hub.actions.caller import Caller
from hub.actions.listing import listing, within
from hub.actions.registration import Registration, check_request
from hub.core.notices import device_notification
from hub.gateway import Gateway, Stamps
from hub.store import DELETED_AT_ONCE, Tx
from protocol.device_forms import ListDevices, OneDevice, OneState
from protocol.device_views import DEVICE_FOR_DEVICE
from protocol.entities import Device, EquipmentState
from protocol.errors import DEVICE_NOT_FOUND
from protocol.names import KeyAction, Role, Special
from protocol.requests import GetDevice, SaveDevice

SORT = {"network": "network_id", "deviceclass": "device_class_id"}
"""Columns of a list whose names differ from what it is sorted by."""


async def get_device(gateway: Gateway, caller: Caller, ask: GetDevice) -> dict[str, Any]:
    """The calling device, as it is now."""
    guid = caller.principal.require_device().guid
    device = await gateway.devices.device(guid)
    if device is None:
        raise DEVICE_NOT_FOUND.error(guid=guid)
    return {"device": DEVICE_FOR_DEVICE(device)}


@dataclass(frozen=True, slots=True)
class Seen:
    """A device, and whether a device looks at it: that one is not shown the key of its network."""

    device: Device
    by_device: bool


async def find_device(gateway: Gateway, caller: Caller, ask: OneDevice) -> Seen:
    """A device by its guid, as it is now."""
    device = await require_device(gateway, caller, KeyAction.GET_DEVICE, ask.guid)
    return Seen(device, caller.principal.role is Role.DEVICE)


async def require_device(gateway: Gateway, caller: Caller, action: KeyAction, guid: str) -> Device:
    """A device that exists for the caller, as far as this action goes.

    Raises:
        NotFound: it does not.
    """
    device = await gateway.devices.device(guid)
    if device is None or not caller.sees(action, device):
        raise DEVICE_NOT_FOUND.error(guid=guid)
    return device


async def list_devices(gateway: Gateway, caller: Caller, ask: ListDevices) -> list[Device]:
    """The devices that the caller sees."""
    equal = {
        "name": ask.name,
        "status": ask.status,
        "network_id": ask.network_id,
        "network_name": ask.network_name,
        "device_class_id": ask.device_class_id,
        "device_class_name": ask.device_class_name,
        "device_class_version": ask.device_class_version,
    }
    sort = SORT.get(ask.sort_field or "", ask.sort_field)
    asked = listing(ask, sort=sort, equal=equal, like={"name": ask.name_pattern})
    seen = within(caller.principal.access.scopes(KeyAction.GET_DEVICE))
    return await gateway.store.consult(lambda tx: tx.list_devices(asked, seen))


# --- equipment --------------------------------------------------------------------------------------------------------


async def list_states(gateway: Gateway, caller: Caller, ask: OneDevice) -> list[EquipmentState]:
    """What the equipment of a device has last reported."""
    device = await require_device(gateway, caller, KeyAction.GET_DEVICE_STATE, ask.guid)
    return await gateway.store.consult(lambda tx: tx.equipment_states(device.id))


async def get_state(gateway: Gateway, caller: Caller, ask: OneState) -> EquipmentState:
    """What one piece of a device's equipment has last reported; when it never has, the device is not found."""
    device = await require_device(gateway, caller, KeyAction.GET_DEVICE_STATE, ask.guid)
    state = await gateway.store.consult(lambda tx: tx.equipment_state(device.id, ask.code))
    if state is None:
        raise DEVICE_NOT_FOUND.error(guid=ask.guid)
    return state


# --- changing ---------------------------------------------------------------------------------------------------------


async def save_device(gateway: Gateway, caller: Caller, ask: SaveDevice) -> dict[str, Any]:
    """Register a device or update it, and tell its subscribers. Repeating it is safe. A gateway's connection may save
    the devices behind it."""
    await _save(gateway, caller, ask, for_others=gateway.policy.devices_gateway_mode)
    if caller.connection is not None:
        caller.connection.enrolled()
    return {}


async def register_device(gateway: Gateway, caller: Caller, ask: SaveDevice) -> None:
    """The same, where a device saves only itself."""
    await _save(gateway, caller, ask, for_others=False)


async def _save(gateway: Gateway, caller: Caller, ask: SaveDevice, *, for_others: bool) -> None:
    guid = check_request(ask, caller.principal)
    known = await gateway.devices.device(guid)
    auto_create = gateway.configuration.get("allowNetworkAutoCreate")
    registration = Registration(
        ask,
        caller.principal,
        gateway.policy,
        auto_create=gateway.policy.network_auto_create if auto_create is None else auto_create.lower() == "true",
        for_others=for_others,
    )

    def work(tx: Tx, stamps: Stamps) -> Device:
        device, created = registration.run(tx)
        name = Special.DEVICE_ADD if created else Special.DEVICE_UPDATE
        tx.append(device_notification(name, device, stamps.take()), device)
        return device

    device: Device = await gateway.transact(work, stamps_for=[known.id if known is not None else 0])
    gateway.activity[device.id] = gateway.now_ms()


async def delete_device(gateway: Gateway, caller: Caller, ask: OneDevice) -> None:
    """Delete a device that the caller sees. Its connections end; nobody is notified."""

    def work(tx: Tx, stamps: Stamps) -> None:
        if not caller.sees(KeyAction.REGISTER_DEVICE, tx.device(ask.guid)):
            raise DEVICE_NOT_FOUND.error(guid=ask.guid)
        tx.delete_device(ask.guid)

    await gateway.transact(work)


async def delete_devices_of(gateway: Gateway, *, network_id: int | None = None, class_id: int | None = None) -> None:
    """Delete the devices of a network, or of a class that goes: a few at a time, so that the writes of others pass
    between them however many there are. If it is broken off, some are left; repeating it is safe."""
    gone = DELETED_AT_ONCE
    while gone == DELETED_AT_ONCE:
        gone = await gateway.transact(
            lambda tx, stamps: tx.delete_devices(network_id=network_id, class_id=class_id, limit=DELETED_AT_ONCE)
        )
