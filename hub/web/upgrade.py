"""The upgrade: a transport between its request for a WebSocket and the socket that it becomes."""

import asyncio
from http import HTTPStatus

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from hub.core.access import Address, Principal
from hub.gateway.admission import retry_after_s
from hub.gateway.calls import Call
from hub.web.edge import Edge
from hub.web.handshake import (
    Opening,
    Refused,
    authenticate,
    has_credentials,
    read_opening,
    refusal,
    server_protocol,
)
from hub.web.socket import Socket
from protocol.errors import HubError


class Upgrade(asyncio.Protocol):
    """One opening handshake, from the request's bytes to a :class:`Socket` or an HTTP answer.

    While credentials are checked nothing is read; what came with the request waits for the socket.
    """

    __slots__ = ("_arrived", "_edge", "_protocol", "_rest", "_transport")

    def __init__(self, edge: Edge, transport: asyncio.Transport) -> None:
        self._edge = edge
        self._transport = transport
        self._protocol: ServerProtocol | None = server_protocol(edge)
        self._rest = b""
        self._arrived: Address | None = None
        edge.sockets.add(self)

    def open(self, head: bytes, rest: bytes) -> None:
        """Answer an upgrade request.

        Args:
            head: the request's line and headers.
            rest: bytes that came behind them.
        """
        protocol = self._protocol
        assert protocol is not None, "a handshake is begun once"
        self._rest = rest
        protocol.receive_data(head)
        requests = protocol.events_received()
        if not requests:
            self._finish(protocol)
            return
        request = requests[0]
        assert isinstance(request, Request), "the first event of a handshake is its request"
        self._consider(protocol, request)

    def _consider(self, protocol: ServerProtocol, request: Request) -> None:
        response = protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._finish(protocol, response)
            return
        secure = self._transport.get_extra_info("sslcontext") is not None
        peer = self._transport.get_extra_info("peername")
        subprotocol = response.headers.get("Sec-WebSocket-Protocol")
        try:
            opening = read_opening(self._edge, request, subprotocol, peer=peer[0] if peer else None, secure=secure)
        except Refused as refused:
            self._finish(protocol, refusal(protocol, refused.status, refused.text))
            return
        try:
            self._arrive(opening)
        except HubError as error:
            self._refuse(protocol, error)
        else:
            self._identify(protocol, request, response, opening)

    def _arrive(self, opening: Opening) -> None:
        """Count it for its address, until the transport ends."""
        self._edge.gateway.admission.arrive(opening.peer.address)
        self._arrived = opening.peer.address

    def _identify(self, protocol: ServerProtocol, request: Request, response: Response, opening: Opening) -> None:
        if has_credentials(request.headers):
            self._authenticate(protocol, request, response, opening)
        else:
            self._become(protocol, response, opening)

    def _authenticate(self, protocol: ServerProtocol, request: Request, response: Response, opening: Opening) -> None:
        epoch = self._edge.gateway.rights.epoch

        def done(principal: Principal | None, error: HubError | None) -> None:
            if self._protocol is None:
                return  # It took too long, or the peer has gone.
            if principal is not None and error is None:
                error = self._crowded(principal)
            if error is not None:
                self._refuse(protocol, error)
            else:
                self._become(protocol, response, opening, principal, epoch)

        self._transport.pause_reading()
        self._edge.wheel.add(self, self._edge.limits.handshake_s)
        Call(authenticate(self._edge, request.headers, opening), done)

    def _crowded(self, principal: Principal) -> HubError | None:
        try:
            self._edge.gateway.admission.check(principal)
        except HubError as error:
            return error
        return None

    def _refuse(self, protocol: ServerProtocol, error: HubError) -> None:
        """Whoever comes too often, or is one too many, is told 503 and to come back at a time of its own."""
        self._edge.tally.refused(error)
        code, wait_s = (503, retry_after_s()) if error.code == 429 else (error.code, error.retry_after_s)
        self._finish(protocol, refusal(protocol, HTTPStatus(code), error.text, retry_after_s=wait_s))

    def _become(
        self,
        protocol: ServerProtocol,
        response: Response,
        opening: Opening,
        principal: Principal | None = None,
        epoch: int = 0,
    ) -> None:
        """Answer 101, and give the transport to a socket."""
        edge = self._edge
        protocol.send_response(response)
        self._transport.write(b"".join(protocol.data_to_send()))
        self._protocol = self._arrived = None  # The socket departs in our place.
        edge.sockets.discard(self)
        connection = edge.kinds.connection(
            endpoint=opening.endpoint,
            codec=opening.codec,
            extended=opening.extended,
            peer=opening.peer,
            limits=edge.connection_limits,
            base_url=opening.base_url,
            tally=edge.tally,
        )
        socket = Socket(edge, self._transport, connection, protocol if protocol.extensions else None)
        self._transport.set_protocol(socket)
        if not protocol.extensions:
            vars(protocol).clear()  # Its parts know it: left so, each would be kept until a collection.
        edge.counters.accepted += 1
        edge.gateway.connect(connection, socket)
        if principal is not None:
            edge.gateway.authenticated(connection, principal, epoch=epoch)
        socket.begin(self._rest)

    def _finish(self, protocol: ServerProtocol, response: Response | None = None) -> None:
        """Write an HTTP answer that is no upgrade, and end. None: the library has written one already."""
        self._protocol = None
        if response is not None:
            protocol.send_response(response)
        for data in protocol.data_to_send():
            if data:
                self._edge.counters.refused[_status(data)] += 1
                self._transport.write(data)
        self._transport.close()

    def tick(self, now_s: float) -> float | None:
        """The time for the handshake is over; called by the wheel."""
        if self._protocol is not None:
            self._edge.tally["handshake-s"] += 1
            self._protocol = None
            self._transport.abort()
        return None

    def data_received(self, data: bytes) -> None:
        """More came before the transport stopped reading."""
        self._rest += data

    def eof_received(self) -> bool:
        return False

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.sockets.discard(self)
        self._edge.gateway.admission.depart(self._arrived)
        self._protocol = self._arrived = None
        self._rest = b""


def _status(response: bytes) -> int:
    try:
        return int(response.split(b" ", 2)[1])
    except (IndexError, ValueError):
        return 0
