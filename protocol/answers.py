"""What the hub says on a WebSocket: the answer to each action, its pushes and its errors, in both modes.

The AsyncAPI document is made of these tables; every frame that a test receives is held against it. What the codecs
write by hand has the members of the views that stand here.
"""

from dataclasses import dataclass
from typing import Any

from protocol.access_forms import EXPLANATION
from protocol.device_views import DEVICE_FOR_DEVICE
from protocol.errors import CATALOGUE, HubError
from protocol.message_views import COMMAND, CREATED_COMMAND, CREATED_NOTIFICATION, NOTIFICATION, STATE
from protocol.messages import Command, Notification
from protocol.names import CLOSED, CLOSING, Action, CloseCode
from protocol.values import UNSET, Unset
from protocol.views import BOOL, INT64, JSON_VALUE, STRING, TIME, View, reference


@dataclass(frozen=True, slots=True)
class Said:
    """What the hub says on one occasion, beside the envelope.

    Attributes:
        summary: for an answer, what its action does; for a push, when it comes.
        ordinary, extended: its members in each mode. None: there are none; in ordinary mode, a push that does not come.
    """

    summary: str
    ordinary: View[Any] | None = None
    extended: View[Any] | None = None


def _same(summary: str, view: View[Any] | None = None) -> Said:
    return Said(summary, view, view)


# --- answers ----------------------------------------------------------------------------------------------------------

SERVER_INFO: View[dict[str, Any]] = View(
    "ServerInfo",
    {
        "apiVersion": (STRING, lambda info: info["apiVersion"]),
        "serverTimestamp": (TIME, lambda info: info["serverTimestamp"]),
        "restServerUrl": (STRING, lambda info: info["restServerUrl"]),
    },
)

MISSED: View["Missed"] = View(
    "Missed",
    {
        "reason": (
            {"type": "string", "enum": ["retention", "limit", "unknown-position"]},
            lambda missed: missed.reason,
        ),
        "after": (INT64, lambda missed: missed.after),
        "before": (INT64, lambda missed: missed.before),
    },
)


@dataclass(frozen=True, slots=True)
class Missed:
    """The range of ids that a replay does not have, without its ends, and why."""

    reason: str
    after: int
    before: int


@dataclass(slots=True)
class Subscribed:
    """What answers a subscription. UNSET: that was not asked for.

    Attributes:
        position: the id after which it is live.
        missed: None: nothing.
    """

    subscription_id: str
    position: int | Unset = UNSET
    recovered: bool | Unset = UNSET
    missed: Missed | Unset = UNSET


_SUBSCRIBED_MEMBERS: Any = {
    "subscriptionId": ({"type": "string", "format": "uuid"}, lambda one: one.subscription_id),
    "position": (INT64, lambda one: one.position),
    "recovered": (BOOL, lambda one: one.recovered),
    "missed": (reference(MISSED), lambda one: UNSET if one.missed is UNSET else MISSED(one.missed)),
}
SUBSCRIBED: View[Subscribed] = View(
    "Subscribed", _SUBSCRIBED_MEMBERS, optional=frozenset({"position", "recovered", "missed"})
)
SUBSCRIBED_EXTENDED: View[Subscribed] = View(
    "SubscribedExtended", _SUBSCRIBED_MEMBERS, optional=frozenset({"recovered", "missed"})
)


def _holding(name: str, member: str, view: View[Any]) -> View[Any]:
    """An answer with one member, and a view of something in it."""
    return View(name, {member: (reference(view), lambda result: result[member])})


_INFO = _holding("InfoAnswer", "info", SERVER_INFO)
_DEVICE = _holding("DeviceAnswer", "device", DEVICE_FOR_DEVICE)
_MOVED: View[dict[str, Any]] = View(
    "CommandMoved", {"id": (INT64, lambda moved: moved["id"]), "state": (STATE, lambda moved: moved["state"])}
)
_COMMAND_WITH_STATE = _holding("CommandAnswer", "command", COMMAND.in_mode(extended=True))
_NOTIFICATION_CREATED = _holding("NotificationAnswer", "notification", CREATED_NOTIFICATION)


def _by_mode(summary: str, name: str, member: str, view: View[Any]) -> Said:
    """One member, of which extended mode shows more."""
    ordinary = _holding(name, member, view.in_mode(extended=False))
    return Said(summary, ordinary, _holding(f"{name}Extended", member, view.in_mode(extended=True)))


ANSWERS: dict[Action, Said] = {
    Action.SERVER_INFO: _same("Version, time and the address of the REST API", _INFO),
    Action.AUTHENTICATE: _same("Say who the connection is"),
    Action.DEVICE_GET: _same("The calling device", _DEVICE),
    Action.DEVICE_SAVE: _same("Register a device, or update it"),
    Action.COMMAND_INSERT: _by_mode(
        "Publish a command for a device; its updates come back here", "CommandInserted", "command", CREATED_COMMAND
    ),
    Action.COMMAND_GET: _same("A command of a device, with its state", _COMMAND_WITH_STATE),
    Action.COMMAND_WATCH: _same("A command, and what becomes of it from now on", _COMMAND_WITH_STATE),
    Action.COMMAND_RECEIVE: _same("Say that the device has a command", _holding("MovedAnswer", "command", _MOVED)),
    Action.COMMAND_CANCEL: _same(
        "Take a command back that was not received", _holding("MovedAnswer", "command", _MOVED)
    ),
    Action.ACCESS_EXPLAIN: _same("Why something is allowed, or not", EXPLANATION),
    Action.COMMAND_UPDATE: _same("Say what came of a command"),
    Action.COMMAND_SUBSCRIBE: Said("Get commands from now on, or from a point on", SUBSCRIBED, SUBSCRIBED_EXTENDED),
    Action.COMMAND_UNSUBSCRIBE: _same("Get no more commands"),
    Action.NOTIFICATION_INSERT: _same("Publish a notification of a device", _NOTIFICATION_CREATED),
    Action.NOTIFICATION_SUBSCRIBE: Said(
        "Get notifications from now on, or from a point on", SUBSCRIBED, SUBSCRIBED_EXTENDED
    ),
    Action.NOTIFICATION_UNSUBSCRIBE: _same("Get no more notifications"),
}
"""What answers each action, beside ``action``, ``requestId`` and ``status``."""

# --- pushes -----------------------------------------------------------------------------------------------------------


def _push(name: str, member: str, view: View[Any]) -> View[Any]:
    """A message on a subscription; the codecs write it."""
    return View(
        name,
        {
            "subscriptionId": ({"type": "string", "format": "uuid"}, lambda push: push["subscriptionId"]),
            "deviceGuid": (STRING, lambda push: push["deviceGuid"]),
            member: (reference(view), lambda push: push[member]),
            "dropped": ({**INT64, "minimum": 1}, lambda push: push.get("dropped", UNSET)),
        },
        optional=frozenset({"dropped"}),
    )


def _traced(view: View[Any]) -> View[Any]:
    """A message that says, where the hub traces, which trace it belongs to (W3C Trace Context)."""
    traceparent: Any = {"traceparent": (STRING, lambda message: UNSET)}
    return View(f"Traced{view.name}", view.members | traceparent, optional=view.optional | {"traceparent"})


TRACED_COMMAND: View[Command] = _traced(COMMAND.in_mode(extended=False))
TRACED_NOTIFICATION: View[Notification] = _traced(NOTIFICATION)


_CLOSING: View[dict[str, Any]] = View(
    "Closing",
    {
        "code": ({"type": "integer", "enum": [int(code) for code in CloseCode]}, lambda last: last["code"]),
        "reason": (STRING, lambda last: last["reason"]),
        "detail": ({"type": "object"}, lambda last: last.get("detail", UNSET)),
        "retryAfter": ({"type": "number"}, lambda last: last.get("retryAfter", UNSET)),
        "reconnectAfter": ({"type": "number"}, lambda last: last.get("reconnectAfter", UNSET)),
    },
    optional=frozenset({"detail", "retryAfter", "reconnectAfter"}),
)

_SUBSCRIPTION_CLOSED: View[dict[str, Any]] = View(
    "SubscriptionClosed",
    {
        "subscriptionId": ({"type": "string", "format": "uuid"}, lambda told: told["subscriptionId"]),
        "reason": (STRING, lambda told: told["reason"]),
        "detail": ({"type": "object"}, lambda told: told["detail"]),
    },
)

PUSHES: dict[str, Said] = {
    Action.COMMAND_INSERT.value: Said(
        "A command, on a subscription",
        _push("CommandPush", "command", COMMAND.in_mode(extended=False)),
        _push("CommandPushExtended", "command", TRACED_COMMAND),
    ),
    Action.COMMAND_UPDATE.value: _by_mode(
        "What came of a command that this connection inserted or watches", "CommandUpdatePush", "command", COMMAND
    ),
    Action.NOTIFICATION_INSERT.value: Said(
        "A notification, on a subscription",
        _push("NotificationPush", "notification", NOTIFICATION),
        _push("NotificationPushExtended", "notification", TRACED_NOTIFICATION),
    ),
    CLOSING: Said("The last frame of a connection: why it ends", None, _CLOSING),
    CLOSED: Said("A change of rights has ended a subscription", None, _SUBSCRIPTION_CLOSED),
}
"""What comes without being asked for, by its ``action``."""

# --- errors -----------------------------------------------------------------------------------------------------------

ERROR: View[HubError] = View(
    "Error",
    {
        "status": ({"const": "error"}, lambda error: "error"),
        "code": ({"type": "integer", "enum": sorted({one.code for one in CATALOGUE})}, lambda error: error.code),
        "error": (STRING, lambda error: error.text),
    },
)
ERROR_EXTENDED: View[HubError] = View(
    "ErrorExtended",
    {
        **ERROR.members,
        "reason": (
            {"type": "string", "enum": sorted({one.reason for one in CATALOGUE})},
            lambda error: error.reason,
        ),
        "detail": ({"type": "object"}, lambda error: error.detail or UNSET),
        "retryAfter": (
            {"type": "number", "description": "seconds, where waiting helps"},
            lambda error: UNSET if error.retry_after_s is None else error.retry_after_s,
        ),
    },
    optional=frozenset({"detail", "retryAfter"}),
)
"""How an error is told; a test holds ``HubError.members`` to it."""

REQUEST_ID = JSON_VALUE
"""Whatever the client likes; it comes back in the answer as it was."""
