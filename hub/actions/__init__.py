"""Actions: one use case each, called by sockets and by REST alike.

An action gets the gateway, who asks, and a converted request; it returns the members of its answer or raises a
HubError. It never builds an error reply, and never knows the surface that it was called from.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from hub.actions.accounts import authenticate, is_current, resolve
from hub.actions.caller import Caller
from hub.actions.commands import cancel_command, receive_command, show_command, watch_command
from hub.actions.devices import get_device, save_device
from hub.actions.explain import explain_access
from hub.actions.info import server_info
from hub.actions.messages import insert_command, insert_notification, update_command
from hub.actions.subscriptions import (
    subscribe_commands,
    subscribe_notifications,
    unsubscribe_commands,
    unsubscribe_notifications,
)
from hub.core.access import permit
from hub.core.connection import Connection, Exchange
from hub.gateway import Gateway
from hub.gateway.calls import in_task
from protocol.errors import HubError
from protocol.names import Action

__all__ = ["HANDLERS", "Caller", "perform"]

Result = dict[str, Any]
Handler = Callable[[Gateway, Caller, Any], Coroutine[Any, Any, Result]]

HANDLERS: dict[Action, Handler] = {
    Action.SERVER_INFO: server_info,
    Action.AUTHENTICATE: authenticate,
    Action.DEVICE_GET: get_device,
    Action.DEVICE_SAVE: save_device,
    Action.COMMAND_INSERT: insert_command,
    Action.COMMAND_UPDATE: update_command,
    Action.COMMAND_SUBSCRIBE: subscribe_commands,
    Action.COMMAND_UNSUBSCRIBE: unsubscribe_commands,
    Action.NOTIFICATION_INSERT: insert_notification,
    Action.NOTIFICATION_SUBSCRIBE: subscribe_notifications,
    Action.NOTIFICATION_UNSUBSCRIBE: unsubscribe_notifications,
    Action.COMMAND_GET: show_command,
    Action.COMMAND_WATCH: watch_command,
    Action.COMMAND_RECEIVE: receive_command,
    Action.COMMAND_CANCEL: cancel_command,
    Action.ACCESS_EXPLAIN: explain_access,
}


def perform(gateway: Gateway, connection: Connection, exchange: Exchange) -> Coroutine[Any, Any, Result]:
    """Carry out a socket's request: who asks (step 5 of the order of checks), may they (6), and then the action (7).

    Nearly always the first two are known at once, and then they cost no coroutine of their own.
    """
    assert exchange.action is not None, "only requests whose envelope was read get here"
    principal = connection.principal
    if exchange.has_credentials or gateway.rights.is_stale(connection) or not is_current(gateway, principal):
        return _perform_asking(gateway, connection, exchange)
    try:
        permit(exchange.action, principal)
    except HubError as error:
        return _refused(error)
    return HANDLERS[exchange.action](gateway, Caller(principal, connection), exchange.ask)


async def _refused(error: HubError) -> Result:
    raise error


async def _perform_asking(gateway: Gateway, connection: Connection, exchange: Exchange) -> Result:
    assert exchange.action is not None, "only requests whose envelope was read get here"
    if gateway.rights.is_stale(connection):
        await in_task(gateway.rights.settled(connection))
    principal = connection.principal
    if exchange.has_credentials or principal.device is not None or principal.key is not None:
        principal = await resolve(gateway, connection, exchange)
    permit(exchange.action, principal)
    return await HANDLERS[exchange.action](gateway, Caller(principal, connection), exchange.ask)
