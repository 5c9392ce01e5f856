"""What REST shows of commands and notifications."""

from typing import Any

import orjson

from protocol.messages import Command, Json, Notification
from protocol.names import CommandState
from protocol.times import format_ms
from protocol.values import Schema
from protocol.views import INT32, INT64, JSON_VALUE, STRING, TIME, View, nullable, reference


def _free(value: Json) -> orjson.Fragment:
    """A free value goes out as the text that was checked when it came in."""
    return orjson.Fragment(value)


STATE: Schema = {
    "type": "string",
    "enum": [state.word for state in CommandState],
    "description": "what the hub knows of the command; with Hub-Version: 1",
}

COMMAND: View[Command] = View(
    "Command",
    {
        "id": (INT64, lambda one: one.id),
        "command": (STRING, lambda one: one.name),
        "timestamp": (TIME, lambda one: format_ms(one.timestamp_ms)),
        "userId": (nullable(INT64), lambda one: one.user_id),
        "deviceGuid": (STRING, lambda one: one.device_guid),
        "parameters": (JSON_VALUE, lambda one: _free(one.parameters)),
        "lifetime": (nullable(INT32), lambda one: one.lifetime_s),
        "status": (nullable(STRING), lambda one: one.status),
        "result": (JSON_VALUE, lambda one: _free(one.result)),
    },
    more={"state": (STATE, lambda one: one.state.word)},
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
    more={"state": (STATE, lambda made: made["state"])},
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


def _of_many(view: View[Any], name: str, kind: str) -> View[Any]:
    return View(
        name,
        {kind: (reference(view), view), "deviceGuid": (STRING, lambda one: one.device_guid)},
    )


COMMAND_OF_MANY = _of_many(COMMAND, "CommandOfMany", "command")
NOTIFICATION_OF_MANY = _of_many(NOTIFICATION, "NotificationOfMany", "notification")
