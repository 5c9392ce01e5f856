"""Long polls: waiting for commands, for notifications, and for the result of a command."""

from collections.abc import Mapping
from typing import Any

from hub.actions.polls import check_wait, poll_messages, wait_for_command
from hub.gateway import Gateway
from hub.rest.route import Route
from protocol.errors import BAD_TIMESTAMP, BAD_WAIT, COMMAND_NOT_FOUND, DEVICE_NOT_FOUND, LIMIT_REACHED
from protocol.forms import Form
from protocol.message_forms import PollMany, PollOne, PollResult
from protocol.message_views import COMMAND, COMMAND_OF_MANY, NOTIFICATION, NOTIFICATION_OF_MANY
from protocol.names import Operation
from protocol.requests import to_integer
from protocol.views import View, each, listed, reference


def _check_wait(gateway: Gateway, asked: Mapping[str, str]) -> None:
    check_wait(gateway, to_integer(asked.get("waitTimeout") or None, "waitTimeout"))


def _polls(operation: Operation, at: str, summary: str, *, view: View[Any], form: type[Form], ask: Any) -> Route:
    return Route(
        operation=operation,
        method="GET",
        path=at,
        summary=summary,
        perform=poll_messages,
        form=form,
        ask=ask,
        check=_check_wait,
        shape=each(view),
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
        form=PollOne,
        ask=PollOne.to_commands,
    ),
    _polls(
        Operation.POLL_COMMANDS_OF_MANY,
        "/device/command/poll",
        "Wait for commands for several devices",
        view=COMMAND_OF_MANY,
        form=PollMany,
        ask=PollMany.to_commands,
    ),
    _polls(
        Operation.POLL_NOTIFICATIONS,
        "/device/{guid}/notification/poll",
        "Wait for notifications of a device",
        view=NOTIFICATION,
        form=PollOne,
        ask=PollOne.to_notifications,
    ),
    _polls(
        Operation.POLL_NOTIFICATIONS_OF_MANY,
        "/device/notification/poll",
        "Wait for notifications of several devices",
        view=NOTIFICATION_OF_MANY,
        form=PollMany,
        ask=PollMany.to_notifications,
    ),
    Route(
        operation=Operation.WAIT_FOR_COMMAND,
        method="GET",
        path="/device/{guid}/command/{id}/poll",
        summary="Wait for what comes of a command",
        perform=wait_for_command,
        form=PollResult,
        ask=PollResult.to_request,
        check=_check_wait,
        shape=COMMAND,
        shape_extended=COMMAND.extended,
        answer=reference(COMMAND),
        empty_when_none=204,
        refusals=(BAD_WAIT, DEVICE_NOT_FOUND, COMMAND_NOT_FOUND),
        bare=frozenset({BAD_WAIT}),
        silent=frozenset({DEVICE_NOT_FOUND, COMMAND_NOT_FOUND}),
    ),
]
