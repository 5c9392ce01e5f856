"""The last answer: what a peer hears that would not slow down."""

from hub.core.connection import Connection
from hub.web.edge import Edge
from protocol.errors import TOO_MANY
from protocol.names import CloseCode


class LastAnswer:
    """Takes the place of a conversation: the next request is refused with 429, and the connection ends.

    Args:
        by_count: whether it sent too many messages; otherwise too many bytes.
    """

    __slots__ = ("_edge", "_name", "_value", "_what", "connection")

    ready = True

    def __init__(self, edge: Edge, connection: Connection, *, by_count: bool) -> None:
        limits = edge.limits
        self.connection = connection
        self._edge = edge
        self._name = "messages-per-s" if by_count else "message-bytes-per-s"
        self._what = "messages per second" if by_count else "bytes per second"
        self._value = limits.messages_per_s if by_count else limits.message_bytes_per_s

    def receive(self, payload: bytes) -> None:
        """Refuse one message, whatever it asks, and decide to close."""
        connection, detail = self.connection, {"limit": self._name, "value": self._value}
        exchange = connection.receive(payload)
        if exchange is not None:
            wait_s = self._edge.limits.throttled_s
            error = TOO_MANY.error(value=self._value, what=self._what, detail=detail, retry_after_s=wait_s)
            connection.refuse(exchange, error)
        reason = f"at most {self._value} {self._what}"
        self._edge.gateway.close(connection, CloseCode.POLICY, reason, detail=detail)
