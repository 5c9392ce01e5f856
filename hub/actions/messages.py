"""Inserting notifications and commands, and answering commands: the hot path of the hub."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.special import SPECIAL
from hub.core.connection import Connection, Exchange
from hub.core.stamps import Stamp
from hub.core.states import has_ended
from hub.gateway import Gateway
from hub.gateway.calls import Commit, in_task
from protocol.entities import Device
from protocol.errors import (
    COMMAND_ID_REQUIRED,
    COMMAND_NOT_FOUND,
    COMMAND_REQUIRED,
    DEVICE_NOT_FOUND,
    DEVICE_WITHOUT_NETWORK,
    GUID_REFUSED,
    GUID_REQUIRED,
    NOT_CONNECTED,
    NOTIFICATION_REQUIRED,
    RESERVED_NAME,
    HubError,
    LimitReached,
    bad_parameter,
)
from protocol.messages import NULL, Command, Notification
from protocol.names import Action, KeyAction, Special
from protocol.requests import InsertCommand, InsertNotification, UpdateCommand
from protocol.times import format_ms


async def insert_notification(gateway: Gateway, caller: Caller, ask: InsertNotification) -> dict[str, Any]:
    """Publish a notification for a device, and answer with what identifies it."""
    if ask.name is None:
        raise NOTIFICATION_REQUIRED.error(detail={"parameter": "notification"})
    guid = caller.own_guid(ask.device_guid)
    if guid is None:
        raise GUID_REFUSED.error()
    device = _may_notify(caller, gateway.devices.cached(guid) or await gateway.devices.device(guid), ask)
    _remember(caller, ask, device)
    special = SPECIAL.get(ask.name)
    if special is not None:
        notification = await special(gateway, caller, device, ask)
    else:
        # Nothing is awaited between the stamp and the queue: ids follow the order of the log.
        stamp = gateway.ids.stamp_now(device.id) or await gateway.ids.stamp(device.id)
        notification = Notification(
            stamp.id, device.id, device.guid, ask.name, stamp.timestamp_ms, ask.parameters or NULL
        )
        idempotency = caller.idempotency(Action.NOTIFICATION_INSERT, ask.idempotency_key)
        if gateway.policy.durable_notifications or idempotency is not None:
            notification = await gateway.append(notification, device, idempotency)
        else:
            gateway.append_behind(notification, device)
    return inserted(notification, ask.name)


def inserted(notification: Notification, name: str) -> dict[str, Any]:
    """What answers an insert of this name."""
    return {
        "notification": {
            "id": notification.id,
            "notification": notification.name or name,
            "deviceGuid": notification.device_guid,
            "timestamp": format_ms(notification.timestamp_ms),
        }
    }


def insert_again(
    gateway: Gateway, connection: Connection, exchange: Exchange
) -> tuple[Notification, Commit | None] | None:
    """Insert a plain notification by what was found when the last one of this connection and device was inserted.

    That one went through :func:`insert_notification`. As long as the connection acts for the same principal object and
    the device's object is the same, asking again would bring the same answers: both are replaced when anything about
    them changes. This way a message costs no coroutine, and no rule is asked twice.

    Returns:
        The notification and its commit, None when it needs none; or None: it has to go the whole way.
    """
    ask, known = exchange.ask, connection.may_notify
    if known is None or type(ask) is not InsertNotification or exchange.has_credentials:
        return None
    principal, asked_guid, device = known
    if (
        ask.device_guid != asked_guid
        or ask.name is None
        or ask.name in _LOOKED_INTO
        or ask.idempotency_key is not None
        or connection.principal is not principal
        or gateway.devices.cached(device.guid) is not device
        or gateway.rights.is_stale(connection)
        or (stamp := gateway.ids.stamp_now(device.id)) is None
    ):
        return None
    notification = Notification(stamp.id, device.id, device.guid, ask.name, stamp.timestamp_ms, ask.parameters or NULL)
    if gateway.policy.durable_notifications:
        return notification, gateway.append(notification, device)
    gateway.append_behind(notification, device)
    return notification, None


_LOOKED_INTO = frozenset({*SPECIAL, Special.EVENT})


def _remember(caller: Caller, ask: InsertNotification, device: Device) -> None:
    connection, principal = caller.connection, caller.principal
    if connection is None or connection.principal is not principal:
        return
    # Who may expire, or be blocked as another device, is asked about each time.
    expires = principal.key is not None and principal.key.expires_ms is not None
    is_other = principal.device is not None and principal.device.guid != device.guid
    connection.may_notify = None if expires or is_other else (principal, ask.device_guid, device)


def _may_notify(caller: Caller, device: Device | None, ask: InsertNotification) -> Device:
    if device is None or not caller.sees(KeyAction.CREATE_DEVICE_NOTIFICATION, device):
        raise GUID_REFUSED.error()
    if device.network is None and not device.groups and not device.has_users:
        raise DEVICE_WITHOUT_NETWORK.error(guid=device.guid)
    if ask.name == Special.EVENT:
        raise RESERVED_NAME.error()
    return device


async def insert_command(gateway: Gateway, caller: Caller, ask: InsertCommand) -> dict[str, Any]:
    """Publish a command for a device; its updates come back to the connection that inserted it."""
    if ask.device_guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceGuid"})
    device = gateway.devices.cached(ask.device_guid) or await gateway.devices.device(ask.device_guid)
    if device is None or not caller.sees(KeyAction.CREATE_DEVICE_COMMAND, device):
        raise DEVICE_NOT_FOUND.error(guid=ask.device_guid)
    if not ask.given or ask.name is None:
        raise COMMAND_REQUIRED.error(detail={"parameter": "command"})
    _check_lifetime(caller, ask.lifetime_s)
    if not ask.may_wait and not takes_now(gateway, device, ask.name):
        await _refuse_unless_repeated(gateway, caller, device, ask, NOT_CONNECTED.error())
    if not gateway.open_commands.admit(device.id):
        await _require_room(gateway, caller, device, ask)
    stamp = gateway.ids.stamp_now(device.id) or await gateway.ids.stamp(device.id)
    command = _new_command(ask, device, stamp, user_id=caller.principal.require_user().id)
    stored = await _insert_listening(gateway, caller, device, command, ask.idempotency_key)
    made = {"id": stored.id, "timestamp": format_ms(stored.timestamp_ms), "userId": command.user_id}
    if caller.extended:
        made["state"] = stored.state.word
    return {"command": made}


def _check_lifetime(caller: Caller, lifetime_s: object) -> None:
    """In extended mode, what cannot be meant is not taken for no end at all."""
    if caller.extended and isinstance(lifetime_s, int) and lifetime_s <= 0:
        raise bad_parameter("lifetime")


def takes_now(gateway: Gateway, device: Device, name: str) -> bool:
    """Whether a connection of the device takes commands of this name, here or at another worker, where only is known
    that it takes some."""
    here = gateway.fan_out.takers.of(device.id)
    return any(subscription.names is None or name in subscription.names for subscription in here) or (
        gateway.others.elsewhere.takes(device.id)
    )


async def _require_room(gateway: Gateway, caller: Caller, device: Device, ask: InsertCommand) -> None:
    """A device with too many open commands takes no more."""
    try:
        await gateway.open_commands.require(device.id)
    except LimitReached as error:
        await _refuse_unless_repeated(gateway, caller, device, ask, error)


async def _refuse_unless_repeated(
    gateway: Gateway, caller: Caller, device: Device, ask: InsertCommand, error: HubError
) -> None:
    """An insert that was stored already may be repeated, whatever has become of the device."""
    idempotency = caller.idempotency(Action.COMMAND_INSERT, ask.idempotency_key)
    if idempotency is None or not await gateway.transact(lambda tx, _: tx.repeated(device.id, idempotency)):
        raise error


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
        stored = await gateway.append_command(command, device, idempotency)
    finally:
        if connection is not None and stored is not command:
            gateway.unlisten(connection, command.id)
    if stored is not command:
        stored = await _insert_again_listening(gateway, connection, stored)
    if caller.extended:
        gateway.states.watch_end(stored)
    return stored


async def _insert_again_listening(gateway: Gateway, connection: Connection | None, stored: Command) -> Command:
    """Asked again after a broken connection: what it may have missed meanwhile comes right behind the answer."""
    [stored] = await gateway.states.settled([stored])
    if connection is None:
        return stored
    # First listen, then look: what comes in between may be told twice, but not left out.
    gateway.listen(connection, stored.id)
    present: Command | None = await in_task(gateway.store.command(stored.device_id, stored.id))
    stored = present or stored
    if stored.updated or (connection.extended and has_ended(stored)):
        gateway.fan_out.remind(connection, stored)
    return stored


async def update_command(gateway: Gateway, caller: Caller, ask: UpdateCommand) -> dict[str, Any]:
    """Store what came of a command, and push it to whoever inserted it."""
    guid = caller.own_guid(ask.device_guid)
    if guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceGuid"})
    if ask.command_id is None:
        raise COMMAND_ID_REQUIRED.error(detail={"parameter": "commandId"})
    device = gateway.devices.cached(guid) or await gateway.devices.device(guid)
    if ask.patch is None or device is None or not caller.sees(KeyAction.UPDATE_DEVICE_COMMAND, device):
        raise _no_command(ask.command_id)
    _check_lifetime(caller, ask.patch.members.get("lifetime_s"))
    if await gateway.amend(device, ask.command_id, ask.patch) is None:
        raise _no_command(ask.command_id)
    return {}


def _no_command(command_id: int) -> HubError:
    return COMMAND_NOT_FOUND.error(id=command_id)
