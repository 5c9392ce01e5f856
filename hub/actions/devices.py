"""A device reads itself, and anybody registers one."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.registration import Registration, check_request
from hub.core.notices import device_notification
from hub.gateway import Gateway, Stamps
from hub.store import Tx
from protocol.entities import Device
from protocol.errors import DEVICE_NOT_FOUND
from protocol.names import Special
from protocol.requests import GetDevice, SaveDevice


async def get_device(gateway: Gateway, caller: Caller, ask: GetDevice) -> dict[str, Any]:
    """The calling device, as it is now."""
    guid = caller.principal.require_device().guid
    device = await gateway.devices.device(guid)
    if device is None:
        raise DEVICE_NOT_FOUND.error(guid=guid)
    return {"device": device.view_for_device()}


async def save_device(gateway: Gateway, caller: Caller, ask: SaveDevice) -> dict[str, Any]:
    """Register a device or update it, and tell its subscribers. Repeating it is safe."""
    guid = check_request(ask, caller.principal)
    known = await gateway.devices.device(guid)
    auto_create = gateway.configuration.get("allowNetworkAutoCreate")
    registration = Registration(
        ask,
        caller.principal,
        gateway.policy,
        auto_create=gateway.policy.network_auto_create if auto_create is None else auto_create.lower() == "true",
    )

    def work(tx: Tx, stamps: Stamps) -> Device:
        device, created = registration.run(tx)
        name = Special.DEVICE_ADD if created else Special.DEVICE_UPDATE
        tx.append(device_notification(name, device, stamps.take()), device)
        return device

    device: Device = await gateway.transact(work, stamps_for=[known.id if known is not None else 0])
    gateway.activity[device.id] = gateway.now_ms()
    if caller.connection is not None:
        caller.connection.enrolled()
    return {}
