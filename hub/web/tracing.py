"""Following requests of sockets and of REST, see :mod:`hub.gateway.tracing`."""

import re
from typing import Any, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.core.connection import Exchange
from hub.core.traced import TracedConnection
from hub.gateway.calls import Commit
from hub.gateway.tracing import Traced, TracedGateway
from hub.web.conversation import PIPELINED, Conversation
from hub.web.edge import Kinds
from protocol.codecs import TracedJsonCodec, TracedMsgpackCodec
from protocol.errors import HubError
from protocol.messages import Notification

FOLLOWED = re.compile(rb"/device/[^/]+/(notification|command)(/[0-9]+)?/?")
"""Paths whose POST and PUT insert a message, or say what came of it."""


class TracedConversation(Conversation):
    """A conversation whose inserts and updates are followed."""

    __slots__ = ("_followed",)

    def __init__(self, *args: Any, **options: Any) -> None:
        self._followed: dict[Exchange, Traced] = {}
        super().__init__(*args, **options)

    def _start(self, exchange: Exchange) -> None:
        connection = cast(TracedConnection, self.connection)
        traceparent = connection.traceparents.pop(exchange, None)
        if exchange.action not in PIPELINED:
            super()._start(exchange)
            return
        told = {"network.protocol.name": "websocket", "hub.principal": connection.principal.identity}
        traced = cast(TracedGateway, self._gateway).follow_request(exchange.action.value, traceparent, told)
        if traced is None:
            super()._start(exchange)
            return
        self._followed[exchange] = traced
        with traced.current():
            super()._start(exchange)

    def _stored(self, exchange: Exchange, notification: Notification, commit: Commit | None) -> None:
        super()._stored(exchange, notification, commit)
        self._end(exchange, None)

    def _done(self, exchange: Exchange, result: dict[str, Any] | None, error: HubError | None) -> None:
        super()._done(exchange, result, error)
        self._end(exchange, error)

    def _end(self, exchange: Exchange, error: HubError | None) -> None:
        traced = self._followed.pop(exchange, None)
        if traced is not None:
            traced.end(error)


TRACED = Kinds(TracedConnection, TracedConversation, TracedJsonCodec, TracedMsgpackCodec)


def follow_rest(app: ASGIApp, gateway: TracedGateway) -> ASGIApp:
    """The same application, whose inserts and updates of messages are followed."""

    async def followed(scope: Scope, receive: Receive, send: Send) -> None:
        traced = _follow(scope, gateway)
        if traced is None:
            await app(scope, receive, send)
            return
        failed: BaseException | None = None

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                traced.tell(http__response__status_code=message["status"])
            await send(message)

        try:
            with traced.current():
                await app(scope, receive, answer)
        except BaseException as exc:
            failed = exc
            raise
        finally:
            traced.end(failed)

    return followed


def _follow(scope: Scope, gateway: TracedGateway) -> Traced | None:
    found = FOLLOWED.search(scope["raw_path"]) if scope["method"] in ("POST", "PUT") else None
    if found is None:
        return None
    sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"]
    traceparent = sent[0] if len(sent) == 1 else None  # Of several none counts.
    told = {"network.protocol.name": "http", "http.request.method": scope["method"]}
    return gateway.follow_request(f"{scope['method']} {found[1].decode()}", traceparent, told)
