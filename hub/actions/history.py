"""Reading messages that are in the log: lists of a device's, and single ones."""

from collections.abc import Sequence
from dataclasses import replace

from hub.actions.caller import Caller
from hub.actions.devices import require_device
from hub.gateway import Gateway
from hub.store import HistoryQuery
from protocol.errors import COMMAND_NOT_FOUND, NOTIFICATION_NOT_FOUND, bad_parameter, limit_reached
from protocol.message_forms import GetMessage, ListMessages
from protocol.messages import Command, Message, Notification
from protocol.names import SUBSCRIBE_ACTION, KeyAction, Order

TAKE = 100
"""How many messages a list shows that does not say."""


async def list_messages(gateway: Gateway, caller: Caller, ask: ListMessages) -> Sequence[Message]:
    """A device's messages, those that are answered or expired as well."""
    query = _query(ask, most=gateway.policy.messages_per_list)
    device = await require_device(gateway, caller, SUBSCRIBE_ACTION[ask.kind], ask.device_guid)
    await gateway.all_stored()
    return await _settled(gateway, caller, await gateway.store.history(replace(query, device_id=device.id)))


async def _settled(gateway: Gateway, caller: Caller, messages: Sequence[Message]) -> Sequence[Message]:
    """The same messages, with states that can be shown to whoever is shown them."""
    commands = [message for message in messages if isinstance(message, Command)]
    return await gateway.states.settled(commands) if caller.extended and commands else messages


def _query(ask: ListMessages, *, most: int) -> HistoryQuery:
    """What a list asks of the store, still without the device."""
    take = TAKE if ask.take is None else ask.take
    if most and take > most:
        raise limit_reached(most, "messages per list", name="messages-per-list")
    if ask.skip is not None and ask.skip < 0:
        raise bad_parameter("skip")
    return HistoryQuery(
        ask.kind,
        device_id=0,
        since_ms=ask.since_ms,
        until_ms=ask.until_ms,
        name=ask.name,
        status=ask.status,
        order=ask.order,
        descending=ask.order is Order.TIME if ask.descending is None else ask.descending,
        skip=ask.skip or 0,
        take=take if take > 0 else most or None,
    )


async def get_command(gateway: Gateway, caller: Caller, ask: GetMessage) -> Command:
    """One command of a device."""
    device = await require_device(gateway, caller, KeyAction.GET_DEVICE_COMMAND, ask.device_guid)
    command = await gateway.store.command(device.id, ask.message_id)
    if command is None:
        raise COMMAND_NOT_FOUND.error(id=ask.message_id)
    return command if not caller.extended else (await gateway.states.settled([command]))[0]


async def get_notification(gateway: Gateway, caller: Caller, ask: GetMessage) -> Notification:
    """One notification of a device."""
    device = await require_device(gateway, caller, KeyAction.GET_DEVICE_NOTIFICATION, ask.device_guid)
    await gateway.all_stored()
    notification = await gateway.store.notification(device.id, ask.message_id)
    if notification is None:
        raise NOTIFICATION_NOT_FOUND.error(id=ask.message_id)
    return notification
