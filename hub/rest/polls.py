"""Long polls: waiting for commands, for notifications, and for the result of a command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.actions.polls import PollMessages, WaitForCommand, check_wait, poll_messages, wait_for_command
from hub.gateway import Gateway
from hub.rest.messages import COMMAND, NOTIFICATION
from hub.rest.route import Route
from protocol.errors import BAD_TIMESTAMP, BAD_WAIT, COMMAND_NOT_FOUND, DEVICE_NOT_FOUND, LIMIT_REACHED
from protocol.forms import INTEGER, NUMBER_ASKED, TEXT_ASKED, TIME_ASKED, Form, Type, path, query
from protocol.messages import Message
from protocol.names import Kind, Operation
from protocol.requests import to_integer, to_text
from protocol.views import STRING, View, listed, reference

# --- what is asked ----------------------------------------------------------------------------------------------------


def _to_list(value: Any, name: str) -> tuple[str, ...] | None:
    """Texts with commas between them, as they are; empty ones are passed over, and nothing but those is not given."""
    text = to_text(value, name) or ""
    return tuple(dict.fromkeys(part for part in text.split(",") if part)) or None


COMMA_LIST = Type(_to_list, {"type": "string", "examples": ["one,two"]})


@dataclass(slots=True, kw_only=True)
class PollForm(Form):
    """A long poll."""

    timestamp: int | None = query(TIME_ASKED)
    names: tuple[str, ...] | None = query(COMMA_LIST)
    wait_timeout: int | None = query(NUMBER_ASKED)

    def asked(self, kind: Kind, guids: tuple[str, ...] | None) -> PollMessages:
        names = None if self.names is None else frozenset(self.names)
        return PollMessages(kind, guids, names, self.timestamp, self.wait_timeout)


@dataclass(slots=True, kw_only=True)
class OnePollForm(PollForm):
    """A long poll of one device."""

    guid: str = path(TEXT_ASKED)

    def to_commands(self) -> PollMessages:
        return self.asked(Kind.COMMAND, (self.guid,))

    def to_notifications(self) -> PollMessages:
        return self.asked(Kind.NOTIFICATION, (self.guid,))


@dataclass(slots=True, kw_only=True)
class ManyPollForm(PollForm):
    """A long poll of some devices, or of all that the caller may see."""

    device_guids: tuple[str, ...] | None = query(COMMA_LIST)

    def to_commands(self) -> PollMessages:
        return self.asked(Kind.COMMAND, self.device_guids)

    def to_notifications(self) -> PollMessages:
        return self.asked(Kind.NOTIFICATION, self.device_guids)


@dataclass(slots=True, kw_only=True)
class ResultForm(Form):
    """Waiting for what comes of a command."""

    guid: str = path(TEXT_ASKED)
    command_id: int = path(INTEGER, "id")
    wait_timeout: int | None = query(NUMBER_ASKED)

    def to_request(self) -> WaitForCommand:
        return WaitForCommand(self.guid, self.command_id, self.wait_timeout)


def _check_wait(gateway: Gateway, asked: Mapping[str, str]) -> None:
    check_wait(gateway, to_integer(asked.get("waitTimeout") or None, "waitTimeout"))


# --- what answers show ------------------------------------------------------------------------------------------------


def _of_many(view: View[Any], name: str, kind: str) -> View[Any]:
    return View(
        name,
        {kind: (reference(view), view), "deviceGuid": (STRING, lambda one: one.device_guid)},
    )


COMMAND_OF_MANY = _of_many(COMMAND, "CommandOfMany", "command")
NOTIFICATION_OF_MANY = _of_many(NOTIFICATION, "NotificationOfMany", "notification")


def _polls(operation: Operation, at: str, summary: str, *, view: View[Any], form: type[Form], ask: Any) -> Route:
    def shape(found: Sequence[Message]) -> list[dict[str, Any]]:
        return [view(one) for one in found]

    return Route(
        operation=operation,
        method="GET",
        path=at,
        summary=summary,
        perform=poll_messages,
        form=form,
        ask=ask,
        check=_check_wait,
        shape=shape,
        answer=listed(view),
        refusals=(BAD_WAIT, BAD_TIMESTAMP, LIMIT_REACHED),
        bare=frozenset({BAD_WAIT}),
    )


ROUTES = [
    _polls(
        Operation.POLL_COMMANDS,
        "/device/{guid}/command/poll",
        "Wait for commands for a device",
        view=COMMAND,
        form=OnePollForm,
        ask=OnePollForm.to_commands,
    ),
    _polls(
        Operation.POLL_COMMANDS_OF_MANY,
        "/device/command/poll",
        "Wait for commands for several devices",
        view=COMMAND_OF_MANY,
        form=ManyPollForm,
        ask=ManyPollForm.to_commands,
    ),
    _polls(
        Operation.POLL_NOTIFICATIONS,
        "/device/{guid}/notification/poll",
        "Wait for notifications of a device",
        view=NOTIFICATION,
        form=OnePollForm,
        ask=OnePollForm.to_notifications,
    ),
    _polls(
        Operation.POLL_NOTIFICATIONS_OF_MANY,
        "/device/notification/poll",
        "Wait for notifications of several devices",
        view=NOTIFICATION_OF_MANY,
        form=ManyPollForm,
        ask=ManyPollForm.to_notifications,
    ),
    Route(
        operation=Operation.WAIT_FOR_COMMAND,
        method="GET",
        path="/device/{guid}/command/{id}/poll",
        summary="Wait for what comes of a command",
        perform=wait_for_command,
        form=ResultForm,
        ask=ResultForm.to_request,
        check=_check_wait,
        shape=COMMAND,
        answer=reference(COMMAND),
        empty_when_none=204,
        refusals=(BAD_WAIT, DEVICE_NOT_FOUND, COMMAND_NOT_FOUND),
        bare=frozenset({BAD_WAIT}),
        silent=frozenset({DEVICE_NOT_FOUND, COMMAND_NOT_FOUND}),
    ),
]
