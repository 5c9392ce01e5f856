"""HTTP connections: uvicorn's protocol with deadlines and bounds of its own, and the door to WebSockets."""

import asyncio
from http import HTTPStatus
from typing import Any, cast

import httptools
import orjson
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from hub.gateway.admission import retry_after_s
from hub.web.edge import Edge
from hub.web.streams import TRANSPORT
from hub.web.upgrade import Upgrade


class Deadline:
    """What the timer wheel keeps in place of a protocol, so that one which became a WebSocket is freed at once."""

    __slots__ = ("of",)

    def __init__(self, of: "HttpProtocol") -> None:
        self.of: HttpProtocol | None = of

    def tick(self, now_s: float) -> float | None:
        return None if self.of is None else self.of.tick(now_s)


class HttpProtocol(HttpToolsProtocol):
    """One HTTP connection. uvicorn waits for headers without end; this does not, and it takes only so many of them.

    Args:
        aside: answers instead of the config's application, and then there are no WebSockets.
    """

    def __init__(
        self,
        edge: Edge,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        aside: ASGIApp | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        if aside is not None:
            self.app = aside
        self._takes_sockets = aside is None
        self._edge = edge
        self._receiving = True
        self._in_head = True
        self._head_bytes = 0
        self._since_s = edge.wheel.now_s
        self._deadline = Deadline(self)
        self._answering: RequestResponseCycle | None = None
        """Of several requests that came together, the one whose turn it is; uvicorn's ``cycle`` is the newest."""

    @property
    def receiving(self) -> bool:
        """Whether a request is on its way, or none has come yet."""
        return self._receiving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        edge = self._edge
        if len(self.connections) + len(edge.sockets) > edge.limits.transports():
            # Silent connections must not use up the descriptors: the rest of them is for health checks and the log.
            edge.tally["connections"] += 1
            text = f"At most {edge.limits.connections} connections"
            self._refuse(503, text, retry_after_s=retry_after_s())
            edge.log.warning("refused a connection", source="all", limit="connections", value=edge.limits.connections)
            return
        edge.wheel.add(self._deadline, edge.limits.handshake_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.of = None
        super().connection_lost(exc)

    def tick(self, now_s: float) -> float | None:
        """Close a connection whose request does not come to its end."""
        if self.parser is None or self.transport.is_closing() or self.transport.get_protocol() is not self:
            return None
        left_s = self._since_s + self._edge.limits.handshake_s - now_s
        if self._receiving and left_s <= 0:
            self._edge.tally["handshake-s"] += 1
            self.transport.abort()
            return None
        return max(left_s, 0.0) if self._receiving else self._edge.limits.handshake_s

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if not self._receiving:
            # Whatever comes between two requests, an empty line too, has to become a request in time.
            self._receiving = True
            self._since_s = self._edge.wheel.now_s
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # An offer of another protocol, such as HTTP/2, is passed over: the request is answered like any other.
            if self._should_upgrade():
                self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "Invalid HTTP request received.")
        else:
            if self._in_head:
                self._check_size(self._head_bytes)

    def _should_upgrade_to_ws(self) -> bool:
        return self._takes_sockets

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._since_s = self._edge.wheel.now_s

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > self._edge.limits.headers and not self.transport.is_closing():
            self._edge.tally["http-headers"] += 1
            self._refuse(431, f"At most {self._edge.limits.headers} headers")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        # A head that came in one piece was never looked at while it was incomplete.
        self._check_size(len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers))
        if self.transport.is_closing():
            return
        # The transport, not this protocol: that would know itself for as long as the scope lives.
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item] # only our own reads it
        super().on_headers_complete()
        if not self.pipeline:
            self._answering = self.cycle

    def on_response_complete(self) -> None:
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()

    def _check_size(self, head_bytes: int) -> None:
        limit = self._edge.limits.header_bytes
        if head_bytes > limit and not self.transport.is_closing():
            self._edge.tally["http-header-bytes"] += 1
            self._refuse(431, f"At most {limit} bytes of headers")

    def on_body(self, body: bytes) -> None:
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._receiving = False
        if not self.transport.is_closing():
            super().on_message_complete()

    def _refuse(self, status: int, text: str, *, retry_after_s: int | None = None) -> None:
        """Answer without an application, and close. The answer looks like an error of the REST API."""
        self._edge.counters.refused[status] += 1
        reason = HTTPStatus(status).phrase.encode()
        body = orjson.dumps({"error": status, "message": text})
        wait = b"retry-after: %d\r\n" % retry_after_s if retry_after_s is not None else b""
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b"
            b"access-control-allow-origin: *\r\nconnection: close\r\n\r\n%b" % (status, reason, len(body), wait, body)
        )
        self.transport.close()

    def hand_over(self) -> bool:
        """Leave the transport to an event stream, for whose request nobody has answered anything yet.

        Returns:
            False: it has ended, and there is nothing to leave.
        """
        if self.parser is None or self.transport.is_closing():
            return False
        assert self._answering is not None, "a request is being answered"
        self._answering.disconnected = True  # To uvicorn it is as if the peer had gone.
        self.pipeline.clear()  # Nobody is going to answer what came behind.
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self._let_go()
        self.scope = self.cycle = None  # type: ignore[assignment] # they know this protocol, and it them
        return True

    def _let_go(self) -> None:
        """Somebody else has the transport."""
        self.connections.discard(self)
        # The parser and this protocol know each other: left so, each WebSocket would keep both until a collection.
        self._deadline.of = self._answering = None
        self.parser = None  # type: ignore[assignment] # as uvicorn does when a connection is lost

    def _upgrade(self, rest: bytes) -> None:
        """Hand the transport over to a WebSocket."""
        if self.transport.is_closing():
            return
        reason = self._edge.turns_away()
        if reason is not None:
            self._refuse(503, reason, retry_after_s=retry_after_s())
            return
        lines = [b"%b %b HTTP/1.1" % (self.parser.get_method(), self.url)]
        lines += [b"%b: %b" % header for header in self.headers]
        upgrade = Upgrade(self._edge, self.transport)
        self.transport.set_protocol(upgrade)
        self._let_go()
        upgrade.open(b"\r\n".join(lines) + b"\r\n\r\n", rest)
