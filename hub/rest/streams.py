"""Event streams: messages as server-sent events, over a connection that is a subscriber like a socket."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from starlette.types import Scope

from hub.actions.caller import Caller
from hub.actions.subscriptions import Streaming, stream_messages
from hub.core.connection import Connection
from hub.gateway.admission import retry_after_s
from hub.rest.replies import EVENT_STREAM, Reply
from hub.rest.route import Route
from protocol.errors import (
    BAD_TIMESTAMP,
    DEVICE_NOT_FOUND,
    LIMIT_REACHED,
    NOT_AUTHENTICATED,
    TOO_MANY_CONNECTIONS,
    TURNED_AWAY,
    HubError,
)
from protocol.forms import Form
from protocol.message_forms import StreamMany, StreamOne
from protocol.message_views import COMMAND, NOTIFICATION
from protocol.names import CloseCode, Operation
from protocol.views import View, reference

RawHeaders = list[tuple[bytes, bytes]]


class Stream(Protocol):
    """A connection that is going to be an event stream."""

    connection: Connection

    def begin(self, headers: RawHeaders, streaming: Streaming) -> None:
        """Answer the request with the head of a stream and its first event; messages follow by themselves."""
        ...


OpenStream = Callable[[Scope, Caller], AbstractContextManager[Stream]]
"""Makes the connection of a stream, in place of the request that asks for it; the stream ends with the context unless
it has begun."""


async def begin_stream(
    opened: AbstractContextManager[Stream],
    caller: Caller,
    perform: Callable[[Caller], Awaitable[Streaming]],
    headers: RawHeaders,
) -> None:
    """Answer with a stream.

    Args:
        perform: the action; called with the caller, who has the connection then.
        headers: of the answer.

    Raises:
        HubError: what is asked for is refused, and the request still has to be answered.
    """
    with opened as stream:
        caller.connection = stream.connection
        streaming = await perform(caller)
        if stream.connection.closing is not None:
            raise _ended(*stream.connection.closing)
        stream.begin(headers, streaming)


def _ended(code: CloseCode, reason: str) -> HubError:
    """What a stream would have said that ends before it has begun."""
    if code == CloseCode.UNAUTHENTICATED:
        return NOT_AUTHENTICATED.error()
    return TURNED_AWAY.error(text=reason[:1].upper() + reason[1:], retry_after_s=retry_after_s())


def head() -> Reply:
    """What stands before the events. Proxies are asked not to collect them."""
    return Reply(200, media=EVENT_STREAM, headers={"x-accel-buffering": "no"}, is_endless=True)


def _streams(operation: Operation, at: str, summary: str, *, view: View[Any], form: type[Form], ask: Any) -> Route:
    refusals = (BAD_TIMESTAMP, LIMIT_REACHED, TOO_MANY_CONNECTIONS, TURNED_AWAY)
    return Route(
        operation=operation,
        method="GET",
        path=at,
        summary=summary,
        perform=stream_messages,
        form=form,
        ask=ask,
        answer=reference(view),
        streams=True,
        refusals=refusals if form is StreamMany else (*refusals, DEVICE_NOT_FOUND),
    )


ROUTES = [
    _streams(
        Operation.STREAM_COMMANDS,
        "/device/{guid}/command/stream",
        "Commands for a device, as server-sent events",
        view=COMMAND,
        form=StreamOne,
        ask=StreamOne.to_commands,
    ),
    _streams(
        Operation.STREAM_COMMANDS_OF_MANY,
        "/device/command/stream",
        "Commands for several devices, as server-sent events",
        view=COMMAND,
        form=StreamMany,
        ask=StreamMany.to_commands,
    ),
    _streams(
        Operation.STREAM_NOTIFICATIONS,
        "/device/{guid}/notification/stream",
        "Notifications of a device, as server-sent events",
        view=NOTIFICATION,
        form=StreamOne,
        ask=StreamOne.to_notifications,
    ),
    _streams(
        Operation.STREAM_NOTIFICATIONS_OF_MANY,
        "/device/notification/stream",
        "Notifications of several devices, as server-sent events",
        view=NOTIFICATION,
        form=StreamMany,
        ask=StreamMany.to_notifications,
    ),
]
