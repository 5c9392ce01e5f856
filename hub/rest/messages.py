"""Commands and notifications of one device: inserting, updating, reading and listing them."""

from dataclasses import dataclass
from typing import Any

import orjson

from hub.actions.caller import Caller
from hub.actions.history import (
    GetMessage,
    ListMessages,
    get_command,
    get_notification,
    list_messages,
    visible_device,
)
from hub.actions.messages import insert_command, insert_notification, update_command
from hub.gateway import Gateway
from hub.rest.route import Route
from hub.store import Order
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
    NOTIFICATION_NOT_FOUND,
    NOTIFICATION_REQUIRED,
    PARAMETERS_NOT_OBJECT,
    RESERVED_NAME,
    HubError,
)
from protocol.forms import (
    ANYTHING,
    INT32,
    INTEGER,
    NUMBER_ASKED,
    SORT_ORDER,
    TEXT,
    TEXT_ASKED,
    TIME_ASKED,
    Form,
    Type,
    body,
    header,
    one_of,
    path,
    query,
)
from protocol.messages import Command, CommandPatch, Json, Notification
from protocol.names import IDEMPOTENCY_KEY_MAX, Action, KeyAction, Kind, Operation
from protocol.requests import (
    UNSET,
    InsertCommand,
    InsertNotification,
    Unset,
    UpdateCommand,
    checked_idempotency_key,
    to_json,
)
from protocol.times import format_ms
from protocol.views import INT32 as INT32_SHOWN
from protocol.views import INT64, JSON_VALUE, STRING, TIME, View, listed, nullable, reference

# --- what answers show ------------------------------------------------------------------------------------------------


def _free(value: Json) -> orjson.Fragment:
    """A free value goes out as the text that was checked when it came in."""
    return orjson.Fragment(value)


COMMAND: View[Command] = View(
    "Command",
    {
        "id": (INT64, lambda one: one.id),
        "command": (STRING, lambda one: one.name),
        "timestamp": (TIME, lambda one: format_ms(one.timestamp_ms)),
        "userId": (nullable(INT64), lambda one: one.user_id),
        "deviceGuid": (STRING, lambda one: one.device_guid),
        "parameters": (JSON_VALUE, lambda one: _free(one.parameters)),
        "lifetime": (nullable(INT32_SHOWN), lambda one: one.lifetime_s),
        "status": (nullable(STRING), lambda one: one.status),
        "result": (JSON_VALUE, lambda one: _free(one.result)),
    },
)

NOTIFICATION: View[Notification] = View(
    "Notification",
    {
        "id": (INT64, lambda one: one.id),
        "notification": (STRING, lambda one: one.name),
        "deviceGuid": (STRING, lambda one: one.device_guid),
        "timestamp": (TIME, lambda one: format_ms(one.timestamp_ms)),
        "parameters": (JSON_VALUE, lambda one: _free(one.parameters)),
    },
)

CREATED_COMMAND: View[dict[str, Any]] = View(
    "CommandCreated",
    {
        "id": (INT64, lambda made: made["id"]),
        "timestamp": (TIME, lambda made: made["timestamp"]),
        "userId": (INT64, lambda made: made["userId"]),
    },
)

CREATED_NOTIFICATION: View[dict[str, Any]] = View(
    "NotificationCreated",
    {
        "id": (INT64, lambda made: made["id"]),
        "notification": (STRING, lambda made: made["notification"]),
        "deviceGuid": (STRING, lambda made: made["deviceGuid"]),
        "timestamp": (TIME, lambda made: made["timestamp"]),
    },
)

# --- what is asked ----------------------------------------------------------------------------------------------------

IDEMPOTENCY_KEY = Type(checked_idempotency_key, {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX})


@dataclass(slots=True, kw_only=True)
class NotificationForm(Form):
    """A notification to insert."""

    needs_body = True

    guid: str = path(TEXT_ASKED)
    notification: str | None | Unset = body(TEXT, required=True)
    parameters: Any = body(ANYTHING)
    idempotency_key: str | None = header(IDEMPOTENCY_KEY, "Idempotency-Key")

    def to_request(self) -> InsertNotification:
        """What a socket would have asked."""
        given = self.parameters is not UNSET
        return InsertNotification(
            self.guid,
            self.notification or None,
            to_json(self.parameters) if given else None,
            self.parameters if given else None,
            self.idempotency_key,
        )


@dataclass(slots=True, kw_only=True)
class CommandForm(Form):
    """A command to insert."""

    guid: str = path(TEXT_ASKED)
    command: str | None = body(TEXT, default=None, required=True)
    parameters: Any = body(ANYTHING, default=None)
    lifetime: int | None = body(INT32, default=None)
    status: str | None = body(TEXT, default=None)
    result: Any = body(ANYTHING, default=None)
    idempotency_key: str | None = header(IDEMPOTENCY_KEY, "Idempotency-Key")

    def to_request(self) -> InsertCommand:
        """What a socket would have asked."""
        return InsertCommand(
            self.guid,
            self.given,
            self.command,
            to_json(self.parameters),
            self.lifetime,
            self.status,
            to_json(self.result),
            self.idempotency_key,
        )


@dataclass(slots=True, kw_only=True)
class CommandUpdateForm(Form):
    """What a command gets: what is not there stays as it is. Its name is nobody's to change here."""

    needs_body = True

    guid: str = path(TEXT_ASKED)
    command_id: int = path(INTEGER, "id")
    status: str | None | Unset = body(TEXT)
    result: Any = body(ANYTHING)
    parameters: Any = body(ANYTHING)
    lifetime: int | None | Unset = body(INT32)

    def to_request(self) -> UpdateCommand:
        """What a socket would have asked."""
        members: dict[str, Any] = {
            "status": self.status,
            "result": UNSET if self.result is UNSET else to_json(self.result),
            "parameters": UNSET if self.parameters is UNSET else to_json(self.parameters),
            "lifetime_s": self.lifetime,
        }
        patch = CommandPatch({name: value for name, value in members.items() if value is not UNSET})
        return UpdateCommand(self.guid, self.command_id, patch)


@dataclass(slots=True, kw_only=True)
class MessageForm(Form):
    """One message of a device."""

    guid: str = path(TEXT_ASKED)
    message_id: int = path(INTEGER, "id")

    def to_request(self) -> GetMessage:
        return GetMessage(self.guid, self.message_id)


@dataclass(slots=True, kw_only=True)
class ListForm(Form):
    """A list of messages; the times are looked at before all else."""

    start: int | None = query(TIME_ASKED)
    end: int | None = query(TIME_ASKED)
    sort_order: bool | None = query(SORT_ORDER)
    take: int | None = query(NUMBER_ASKED)
    skip: int | None = query(NUMBER_ASKED)
    grid_interval: str | None = query(TEXT_ASKED)
    guid: str = path(TEXT_ASKED)

    def listed(self, kind: Kind, name: str | None, sort_field: str, status: str | None = None) -> ListMessages:
        """What it asks for. Texts that are empty are not given."""
        return ListMessages(
            kind,
            self.guid,
            self.start,
            self.end,
            name or None,
            status or None,
            {"timestamp": Order.TIME, "status": Order.STATUS}.get(sort_field, Order.NAME),
            self.sort_order,
            self.skip,
            self.take,
        )


@dataclass(slots=True, kw_only=True)
class CommandsForm(ListForm):
    """A list of commands."""

    sort_field: str = query(one_of("Timestamp", "Command", "Status"), default="timestamp")
    command: str | None = query(TEXT_ASKED)
    status: str | None = query(TEXT_ASKED)

    def to_request(self) -> ListMessages:
        return self.listed(Kind.COMMAND, self.command, self.sort_field, self.status)


@dataclass(slots=True, kw_only=True)
class NotificationsForm(ListForm):
    """A list of notifications."""

    sort_field: str = query(one_of("Timestamp", "Notification"), default="timestamp")
    notification: str | None = query(TEXT_ASKED)

    def to_request(self) -> ListMessages:
        return self.listed(Kind.NOTIFICATION, self.notification, self.sort_field)


# --- what is different here -------------------------------------------------------------------------------------------


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
    await visible_device(gateway, caller, KeyAction.UPDATE_DEVICE_COMMAND, ask.device_guid)
    await update_command(gateway, caller, ask)


LIST_REFUSALS = (DEVICE_NOT_FOUND, BAD_TIMESTAMP, BAD_SORT_ORDER, LIMIT_REACHED)

ROUTES = [
    Route(
        operation=Operation.LIST_COMMANDS,
        method="GET",
        path="/device/{guid}/command",
        summary="Commands of a device, newest first",
        perform=list_messages,
        form=CommandsForm,
        ask=CommandsForm.to_request,
        shape=lambda found: [COMMAND(one) for one in found],
        answer=listed(COMMAND),
        refusals=LIST_REFUSALS,
    ),
    Route(
        operation=Action.COMMAND_INSERT,
        method="POST",
        path="/device/{guid}/command",
        summary="Publish a command for a device",
        perform=insert_command,
        form=CommandForm,
        ask=CommandForm.to_request,
        status=201,
        shape=lambda result: CREATED_COMMAND(result["command"]),
        answer=reference(CREATED_COMMAND),
        refusals=(DEVICE_NOT_FOUND, COMMAND_REQUIRED),
        is_message=True,
    ),
    Route(
        operation=Operation.GET_COMMAND,
        method="GET",
        path="/device/{guid}/command/{id}",
        summary="A command of a device",
        perform=get_command,
        form=MessageForm,
        ask=MessageForm.to_request,
        shape=COMMAND,
        answer=reference(COMMAND),
        refusals=(DEVICE_NOT_FOUND, COMMAND_NOT_FOUND),
    ),
    Route(
        operation=Action.COMMAND_UPDATE,
        method="PUT",
        path="/device/{guid}/command/{id}",
        summary="Say what came of a command",
        perform=_update_command,
        form=CommandUpdateForm,
        ask=CommandUpdateForm.to_request,
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
        form=NotificationsForm,
        ask=NotificationsForm.to_request,
        shape=lambda found: [NOTIFICATION(one) for one in found],
        answer=listed(NOTIFICATION),
        refusals=LIST_REFUSALS,
    ),
    Route(
        operation=Action.NOTIFICATION_INSERT,
        method="POST",
        path="/device/{guid}/notification",
        summary="Publish a notification of a device",
        perform=insert_notification,
        form=NotificationForm,
        ask=NotificationForm.to_request,
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
        form=MessageForm,
        ask=MessageForm.to_request,
        shape=NOTIFICATION,
        answer=reference(NOTIFICATION),
        refusals=(DEVICE_NOT_FOUND, NOTIFICATION_NOT_FOUND),
    ),
]
