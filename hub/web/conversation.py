"""A conversation: the requests of one connection, carried out in their order."""

from collections.abc import Callable
from functools import partial
from typing import Any

from hub.actions import perform
from hub.actions.messages import insert_again
from hub.core.connection import Connection, Exchange
from hub.gateway import Gateway
from hub.gateway.calls import Call, Commit
from protocol.errors import INTERNAL, HubError
from protocol.messages import Notification
from protocol.names import Action

PIPELINED = frozenset(
    {
        Action.NOTIFICATION_INSERT,
        Action.COMMAND_INSERT,
        Action.COMMAND_UPDATE,
        Action.COMMAND_RECEIVE,
        Action.COMMAND_CANCEL,
    }
)
"""Actions that may begin while others of them wait for their commit: the log keeps their order. Everything else waits
until all before it is answered, so that it sees what they did, and its pushes come after its answer."""


class Conversation:
    """Feeds a connection's requests to the actions.

    Args:
        in_flight: how many requests may wait for their commit.
        resumed: called when a conversation that was not ``ready`` is so again.
        enrolled: called when a device was saved.
    """

    __slots__ = (
        "_blocked",
        "_enrolled",
        "_gateway",
        "_in_flight",
        "_next",
        "_outstanding",
        "_resumed",
        "connection",
        "ready",
    )

    def __init__(
        self,
        gateway: Gateway,
        connection: Connection,
        *,
        in_flight: int,
        resumed: Callable[[], None],
        enrolled: Callable[[], None],
    ) -> None:
        self.connection = connection
        self._gateway = gateway
        self._in_flight = in_flight
        self._resumed = resumed
        self._enrolled = enrolled
        self._outstanding = 0
        self._blocked = False
        self._next: Exchange | None = None
        self.ready = True
        """Whether it takes another message now; if not, stop reading until ``resumed`` is called."""

    def receive(self, payload: bytes) -> None:
        """Take one message. Only while ``ready``."""
        exchange = self.connection.receive(payload)
        if exchange is None:
            self._gateway.visit(self.connection)  # It was answered in place.
            return
        if self._outstanding == 0 or self._may_start(exchange):
            self._start(exchange)
        else:
            self._next = exchange
        self.ready = self._next is None and not self._blocked and self._outstanding < self._in_flight

    def _may_start(self, exchange: Exchange) -> bool:
        if self._outstanding == 0:
            return True
        return not self._blocked and exchange.action in PIPELINED

    def _start(self, exchange: Exchange) -> None:
        self._outstanding += 1
        if exchange.action is Action.NOTIFICATION_INSERT and self._insert_again(exchange):
            return
        call = Call(perform(self._gateway, self.connection, exchange), partial(self._done, exchange))
        if not call.finished:
            self._blocked = not (call.in_log and exchange.action in PIPELINED)

    def _insert_again(self, exchange: Exchange) -> bool:
        try:
            inserting = insert_again(self._gateway, self.connection, exchange)
        except HubError as error:
            self._done(exchange, None, error)
            return True
        if inserting is None:
            return False
        notification, commit = inserting
        if commit is None:
            self._stored(exchange, notification, None)
        else:
            commit.add_done_callback(partial(self._stored, exchange, notification))
        return True

    def _stored(self, exchange: Exchange, notification: Notification, commit: Commit | None) -> None:
        if commit is not None and isinstance(commit.outcome, BaseException):
            error = commit.outcome
            self._done(exchange, None, error if isinstance(error, HubError) else INTERNAL.error())
            return
        self.connection.inserted(exchange, notification)
        self._gateway.visit(self.connection)
        self._ended()

    def _done(self, exchange: Exchange, result: dict[str, Any] | None, error: HubError | None) -> None:
        self._answer(exchange, result, error)
        self._ended()

    def _answer(self, exchange: Exchange, result: dict[str, Any] | None, error: HubError | None) -> None:
        if error is not None:
            self.connection.refuse(exchange, error)
        else:
            self.connection.succeed(exchange, result or {})
            if exchange.action is Action.DEVICE_SAVE:
                self._enrolled()
        self._gateway.visit(self.connection)

    def _ended(self) -> None:
        self._outstanding -= 1
        # What blocks is always the newest: nothing starts behind it.
        if self._outstanding == 0:
            self._blocked = False
        if self.connection.closing is not None:
            self._next = None  # Nobody waits for its answer any more.
        elif self._next is not None and self._may_start(self._next):
            exchange, self._next = self._next, None
            self._start(exchange)
        if not self.ready and self._look():
            self._resumed()

    def _look(self) -> bool:
        self.ready = self._next is None and not self._blocked and self._outstanding < self._in_flight
        return self.ready
