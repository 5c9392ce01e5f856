"""A conversation: the requests of one connection, carried out in their order."""

from collections.abc import Callable
from typing import Any

from hub.actions import perform
from hub.core.connection import Connection, Exchange
from hub.gateway import Gateway
from hub.gateway.calls import Call
from protocol.errors import HubError
from protocol.names import Action

PIPELINED = frozenset({Action.NOTIFICATION_INSERT, Action.COMMAND_INSERT, Action.COMMAND_UPDATE})
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

    @property
    def ready(self) -> bool:
        """Whether it takes another message now; if not, stop reading until ``resumed`` is called."""
        return self._next is None and not self._blocked and self._outstanding < self._in_flight

    def receive(self, payload: bytes) -> None:
        """Take one message. Only while ``ready``."""
        exchange = self.connection.receive(payload)
        if exchange is not None:
            if self._may_start(exchange):
                self._start(exchange)
            else:
                self._next = exchange
        self._gateway.visit(self.connection)

    def _may_start(self, exchange: Exchange) -> bool:
        if self._outstanding == 0:
            return True
        return not self._blocked and exchange.action in PIPELINED

    def _start(self, exchange: Exchange) -> None:
        finished = False

        def done(result: dict[str, Any] | None, error: HubError | None) -> None:
            nonlocal finished
            self._answer(exchange, result, error)
            if started:
                self._ended()
            finished = True

        started = False
        call = Call(perform(self._gateway, self.connection, exchange), done)
        if not finished:
            started = True
            self._outstanding += 1
            self._blocked = not (exchange.action in PIPELINED and call.in_log)

    def _answer(self, exchange: Exchange, result: dict[str, Any] | None, error: HubError | None) -> None:
        if error is not None:
            self.connection.refuse(exchange, error)
        else:
            self.connection.succeed(exchange, result or {})
            if exchange.action is Action.DEVICE_SAVE:
                self._enrolled()
        self._gateway.visit(self.connection)

    def _ended(self) -> None:
        was_ready = self.ready
        self._outstanding -= 1
        # What blocks is always the newest: nothing starts behind it.
        if self._outstanding == 0:
            self._blocked = False
        if self.connection.closing is not None:
            self._next = None  # Nobody waits for its answer any more.
        elif self._next is not None and self._may_start(self._next):
            exchange, self._next = self._next, None
            self._start(exchange)
        if self.ready and not was_ready:
            self._resumed()
