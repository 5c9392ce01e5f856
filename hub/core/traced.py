"""What tracing adds to connections and messages. None of it is there unless traces are followed: the way of a message
asks nowhere whether they are."""

from typing import Any

from hub.core.connection import Connection, Exchange
from hub.core.subscription import Published
from protocol.codecs import TRACED_JSON, TRACED_MSGPACK, TracedJsonCodec, TracedMsgpackCodec
from protocol.messages import Message

_TRACED: dict[int, TracedJsonCodec | TracedMsgpackCodec] = {
    TRACED_JSON.number: TRACED_JSON,
    TRACED_MSGPACK.number: TRACED_MSGPACK,
}


class TracedConnection(Connection):
    """A connection that notes of each request to which trace its sender counts it.

    Attributes:
        traceparents: what stood in the requests that have been read and not been carried out, as it came.
    """

    __slots__ = ("traceparents",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.traceparents: dict[Exchange, str] = {}

    def _read(self, exchange: Exchange, members: dict[str, Any]) -> None:
        super()._read(exchange, members)
        traceparent = members.get("traceparent")
        if type(traceparent) is str:
            self.traceparents[exchange] = traceparent


class TracedPublished(Published):
    """A message that tells connections in extended mode which trace it belongs to."""

    __slots__ = ("traceparent",)

    def __init__(self, message: Message, network_id: int | None, groups: tuple[int, ...], *, traceparent: str) -> None:
        super().__init__(message, network_id, groups)
        self.traceparent: str = traceparent

    def body(self, codec: int) -> bytes:
        traced = _TRACED.get(codec)
        if traced is None:
            return super().body(codec)
        body = self._bodies[codec]
        if body is None:
            body = self._bodies[codec] = traced.traced_body(self.message, self.traceparent)
        return body
