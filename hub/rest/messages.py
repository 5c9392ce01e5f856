"""Commands and notifications of one device: inserting, updating, reading and listing them."""

from hub.actions.caller import Caller
from hub.actions.devices import require_device
from hub.actions.history import get_command, get_notification, list_messages
from hub.actions.messages import insert_command, insert_notification, update_command
from hub.gateway import Gateway
from hub.rest.route import Route
from protocol.errors import (
    BAD_PARAMETER,
    BAD_SORT_ORDER,
    BAD_TIMESTAMP,
    COMMAND_NOT_FOUND,
    COMMAND_REQUIRED,
    DEVICE_NOT_FOUND,
    DEVICE_WITHOUT_NETWORK,
    EQUIPMENT_CODE,
    EQUIPMENT_PARAMETERS,
    GUID_REFUSED,
    LIMIT_REACHED,
    NOT_CONNECTED,
    NOTIFICATION_NOT_FOUND,
    NOTIFICATION_REQUIRED,
    PARAMETERS_NOT_OBJECT,
    RESERVED_NAME,
    HubError,
)
from protocol.message_forms import (
    CreateCommand,
    CreateNotification,
    ListCommands,
    ListNotifications,
    OneMessage,
    PutCommand,
)
from protocol.message_views import COMMAND, CREATED_COMMAND, CREATED_NOTIFICATION, NOTIFICATION
from protocol.names import Action, KeyAction, Operation
from protocol.requests import InsertNotification, UpdateCommand
from protocol.views import each, listed, reference


def _told_of_notification(error: HubError, ask: InsertNotification) -> HubError | None:
    """On a socket an absent device is a wrong guid; here it is not found. And so on."""
    if error.problem is GUID_REFUSED:
        return DEVICE_NOT_FOUND.error(guid=ask.device_guid)
    if error.problem is NOTIFICATION_REQUIRED:
        return BAD_PARAMETER.error(detail=error.detail)
    return None


async def _update_command(gateway: Gateway, caller: Caller, ask: UpdateCommand) -> None:
    """On a socket an absent device has no such command; here it is not found itself."""
    assert ask.device_guid is not None, "it is in the path"
    await require_device(gateway, caller, KeyAction.UPDATE_DEVICE_COMMAND, ask.device_guid)
    await update_command(gateway, caller, ask)


LIST_REFUSALS = (DEVICE_NOT_FOUND, BAD_TIMESTAMP, BAD_SORT_ORDER, LIMIT_REACHED)

ROUTES = [
    Route(
        operation=Operation.LIST_COMMANDS,
        method="GET",
        path="/device/{guid}/command",
        summary="Commands of a device, newest first",
        perform=list_messages,
        form=ListCommands,
        ask=ListCommands.to_request,
        shape=each(COMMAND),
        shape_extended=each(COMMAND.extended),
        answer=listed(COMMAND),
        refusals=LIST_REFUSALS,
    ),
    Route(
        operation=Action.COMMAND_INSERT,
        method="POST",
        path="/device/{guid}/command",
        summary="Publish a command for a device",
        perform=insert_command,
        form=CreateCommand,
        ask=CreateCommand.to_request,
        status=201,
        shape=lambda result: CREATED_COMMAND(result["command"]),
        shape_extended=lambda result: CREATED_COMMAND.extended(result["command"]),
        answer=reference(CREATED_COMMAND),
        refusals=(DEVICE_NOT_FOUND, COMMAND_REQUIRED, NOT_CONNECTED),
        is_message=True,
    ),
    Route(
        operation=Operation.GET_COMMAND,
        method="GET",
        path="/device/{guid}/command/{id}",
        summary="A command of a device",
        perform=get_command,
        form=OneMessage,
        ask=OneMessage.to_request,
        shape=COMMAND,
        shape_extended=COMMAND.extended,
        answer=reference(COMMAND),
        refusals=(DEVICE_NOT_FOUND, COMMAND_NOT_FOUND),
    ),
    Route(
        operation=Action.COMMAND_UPDATE,
        method="PUT",
        path="/device/{guid}/command/{id}",
        summary="Say what came of a command",
        perform=_update_command,
        form=PutCommand,
        ask=PutCommand.to_request,
        status=204,
        refusals=(DEVICE_NOT_FOUND, COMMAND_NOT_FOUND),
        is_message=True,
    ),
    Route(
        operation=Operation.LIST_NOTIFICATIONS,
        method="GET",
        path="/device/{guid}/notification",
        summary="Notifications of a device, newest first",
        perform=list_messages,
        form=ListNotifications,
        ask=ListNotifications.to_request,
        shape=each(NOTIFICATION),
        answer=listed(NOTIFICATION),
        refusals=LIST_REFUSALS,
    ),
    Route(
        operation=Action.NOTIFICATION_INSERT,
        method="POST",
        path="/device/{guid}/notification",
        summary="Publish a notification of a device",
        perform=insert_notification,
        form=CreateNotification,
        ask=CreateNotification.to_request,
        status=201,
        shape=lambda result: CREATED_NOTIFICATION(result["notification"]),
        answer=reference(CREATED_NOTIFICATION),
        told=_told_of_notification,
        refusals=(
            DEVICE_NOT_FOUND,
            DEVICE_WITHOUT_NETWORK,
            RESERVED_NAME,
            EQUIPMENT_PARAMETERS,
            EQUIPMENT_CODE,
            PARAMETERS_NOT_OBJECT,
        ),
        is_message=True,
    ),
    Route(
        operation=Operation.GET_NOTIFICATION,
        method="GET",
        path="/device/{guid}/notification/{id}",
        summary="A notification of a device",
        perform=get_notification,
        form=OneMessage,
        ask=OneMessage.to_request,
        shape=NOTIFICATION,
        answer=reference(NOTIFICATION),
        refusals=(DEVICE_NOT_FOUND, NOTIFICATION_NOT_FOUND),
    ),
]
