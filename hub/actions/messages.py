"""Inserting notifications and commands, and answering commands: the hot path of the hub."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.special import SPECIAL
from hub.core.stamps import Stamp
from hub.gateway import Gateway
from protocol.entities import Device
from protocol.errors import (
    COMMAND_ID_REQUIRED,
    COMMAND_NOT_FOUND,
    COMMAND_REQUIRED,
    DEVICE_NOT_FOUND,
    DEVICE_WITHOUT_NETWORK,
    GUID_REFUSED,
    GUID_REQUIRED,
    NOTIFICATION_REQUIRED,
    RESERVED_NAME,
    HubError,
)
from protocol.messages import NULL, Command, Notification
from protocol.names import Action, KeyAction, Special
from protocol.requests import InsertCommand, InsertNotification, UpdateCommand
from protocol.times import format_ms


async def insert_notification(gateway: Gateway, caller: Caller, ask: InsertNotification) -> dict[str, Any]:
    """Publish a notification for a device, and answer with what identifies it."""
    if ask.name is None:
        raise NOTIFICATION_REQUIRED.error(detail={"parameter": "notification"})
    device = await _notifying_device(gateway, caller, ask)
    special = SPECIAL.get(ask.name)
    if special is not None:
        notification = await special(gateway, caller, device, ask)
    else:
        notification = await _insert_ordinary(gateway, caller, device, ask)
    return {
        "notification": {
            "id": notification.id,
            "notification": notification.name or ask.name,
            "deviceGuid": notification.device_guid,
            "timestamp": format_ms(notification.timestamp_ms),
        }
    }


async def _notifying_device(gateway: Gateway, caller: Caller, ask: InsertNotification) -> Device:
    guid = caller.own_guid(ask.device_guid)
    device = await gateway.devices.device(guid) if guid is not None else None
    if device is None or not caller.sees(KeyAction.CREATE_DEVICE_NOTIFICATION, device):
        raise GUID_REFUSED.error()
    if device.network is None and not device.groups and not device.has_users:
        raise DEVICE_WITHOUT_NETWORK.error(guid=device.guid)
    if ask.name == Special.EVENT:
        raise RESERVED_NAME.error()
    return device


async def _insert_ordinary(gateway: Gateway, caller: Caller, device: Device, ask: InsertNotification) -> Notification:
    assert ask.name is not None, "checked by insert_notification"
    # Nothing is awaited between the stamp and the queue: ids follow the order of the log.
    stamp = await gateway.stamp(device.id)
    notification = Notification(stamp.id, device.id, device.guid, ask.name, stamp.timestamp_ms, ask.parameters or NULL)
    idempotency = caller.idempotency(Action.NOTIFICATION_INSERT, ask.idempotency_key)
    if gateway.policy.durable_notifications or idempotency is not None:
        stored: Notification = await gateway.append(notification, device, idempotency)
        return stored
    gateway.append_behind(notification, device)
    return notification


async def insert_command(gateway: Gateway, caller: Caller, ask: InsertCommand) -> dict[str, Any]:
    """Publish a command for a device; its updates come back to the connection that inserted it."""
    if ask.device_guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceGuid"})
    device = await gateway.devices.device(ask.device_guid)
    if device is None or not caller.sees(KeyAction.CREATE_DEVICE_COMMAND, device):
        raise DEVICE_NOT_FOUND.error(guid=ask.device_guid)
    if not ask.given or ask.name is None:
        raise COMMAND_REQUIRED.error(detail={"parameter": "command"})
    stamp = await gateway.stamp(device.id)
    command = _new_command(ask, device, stamp, user_id=caller.principal.require_user().id)
    stored = await _insert_listening(gateway, caller, device, command, ask.idempotency_key)
    return {"command": {"id": stored.id, "timestamp": format_ms(stored.timestamp_ms), "userId": command.user_id}}


def _new_command(ask: InsertCommand, device: Device, stamp: Stamp, *, user_id: int) -> Command:
    assert ask.name is not None, "checked by insert_command"
    return Command(
        stamp.id,
        device.id,
        device.guid,
        ask.name,
        stamp.timestamp_ms,
        user_id,
        ask.parameters,
        ask.lifetime_s,
        ask.status,
        ask.result,
    )


async def _insert_listening(
    gateway: Gateway, caller: Caller, device: Device, command: Command, idempotency_key: str | None
) -> Command:
    """Store a command; whoever inserts it listens before any device can answer."""
    connection = caller.connection
    if connection is not None:
        gateway.listen(connection, command.id)
    idempotency = caller.idempotency(Action.COMMAND_INSERT, idempotency_key)
    stored: Command | None = None
    try:
        stored = await gateway.append(command, device, idempotency)
    finally:
        if connection is not None and stored is not command:
            gateway.unlisten(connection, command.id)
    if connection is not None and stored is not command:
        # Asked again after a broken connection: what it may have missed meanwhile comes right behind the answer.
        gateway.listen(connection, stored.id)
        if stored.updated:
            gateway.fan_out.remind(connection, stored)
    return stored


async def update_command(gateway: Gateway, caller: Caller, ask: UpdateCommand) -> dict[str, Any]:
    """Store what came of a command, and push it to whoever inserted it."""
    guid = caller.own_guid(ask.device_guid)
    if guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceGuid"})
    if ask.command_id is None:
        raise COMMAND_ID_REQUIRED.error(detail={"parameter": "commandId"})
    device = await gateway.devices.device(guid)
    if ask.patch is None or device is None or not caller.sees(KeyAction.UPDATE_DEVICE_COMMAND, device):
        raise _no_command(ask.command_id)
    if await gateway.amend(device, ask.command_id, ask.patch) is None:
        raise _no_command(ask.command_id)
    return {}


def _no_command(command_id: int) -> HubError:
    return COMMAND_NOT_FOUND.error(id=command_id)
