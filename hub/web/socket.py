"""The socket: a WebSocket's transport, its frames, its deadlines.

Nearly all traffic is whole, unfragmented, masked data frames, pings and pongs: they are read right here. Everything
rare (fragments, close, violations, compression) goes frame by frame to ``websockets``' sans-I/O protocol, made when
needed and dropped afterwards: kept, it would cost 6 KiB a connection. Whichever way a frame takes, RFC 6455 holds to
the letter.
"""

import asyncio
import random
import struct
from http import HTTPStatus

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from hub.core.access import Principal
from hub.core.connection import Connection
from hub.gateway.calls import Call
from hub.web.conversation import Conversation
from hub.web.edge import Edge
from hub.web.handshake import (
    QUIET,
    Opening,
    Refused,
    authenticate,
    has_credentials,
    read_opening,
    refusal,
    server_protocol,
)
from protocol.codecs import TEXT
from protocol.errors import HubError
from protocol.frames import frame
from protocol.names import CloseCode, Endpoint

FIN, MASKED = 0x80, 0x80
PING, PONG, CLOSE = 0x89, 0x8A, 0x88
PING_PAYLOAD = frame(0x9, b"devicehive-ping")
QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.RESTART})
"""Ends that say nothing about the peer."""

PONG_BACKLOG = 65_536
"""Bytes that a peer may leave unread and still get pongs."""

WRONG_FRAME = {True: "Binary messages not supported", False: "Text messages not supported"}


class Socket(asyncio.Protocol):
    """One WebSocket, from the handshake's bytes to the end of the transport."""

    __slots__ = (
        "_asked_s",
        "_buffer",
        "_closing_s",
        "_conversation",
        "_deadline_s",
        "_deaf",
        "_edge",
        "_first_byte",
        "_fragments",
        "_handshake",
        "_heard_s",
        "_mark",
        "_need",
        "_paused",
        "_ping_s",
        "_pings",
        "_ponged_s",
        "_rare",
        "_touched_s",
        "_transport",
        "_writable",
        "_written_s",
        "connection",
    )

    def __init__(self, edge: Edge, transport: asyncio.Transport) -> None:
        self._edge = edge
        self._transport = transport
        self._handshake: ServerProtocol | None = server_protocol(edge)
        self._conversation: Conversation | None = None
        self.connection: Connection | None = None
        self._rare: Protocol | None = None
        self._buffer: bytearray | None = None
        self._need = 0
        self._paused = False
        self._deaf = False
        self._fragments: list[bytes] | None = None
        self._first_byte = FIN | TEXT
        self._heard_s = self._touched_s = edge.wheel.now_s
        self._deadline_s: float | None = None
        self._ping_s: float | None = None
        self._asked_s: float | None = None
        self._ponged_s = float("-inf")
        self._closing_s: float | None = None
        self._pings: tuple[float, float] | None = None
        self._mark: tuple[float, int, int] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._written_s: float | None = None
        edge.sockets.add(self)

    def __repr__(self) -> str:
        return f"Socket({self.connection!r})"

    # --- the handshake

    def open(self, head: bytes, rest: bytes) -> None:
        """Answer an upgrade request.

        Args:
            head: the request's line and headers.
            rest: bytes that came behind them.
        """
        protocol = self._handshake
        assert protocol is not None, "a socket is opened once"
        protocol.receive_data(head)
        requests = protocol.events_received()
        if rest:
            self._buffer = bytearray(rest)
        if not requests:
            self._finish_http(protocol)
            return
        request = requests[0]
        assert isinstance(request, Request), "the first event of a handshake is its request"
        self._consider(protocol, request)

    def _consider(self, protocol: ServerProtocol, request: Request) -> None:
        limits = self._edge.limits
        if self._edge.draining or len(self._edge.gateway) >= limits.connections:
            protocol.send_response(
                refusal(
                    protocol,
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "The hub restarts" if self._edge.draining else f"At most {limits.connections} connections",
                    retry_after_s=random.randint(1, 30),  # noqa: S311 - spreads retries, guards nothing
                )
            )
            self._finish_http(protocol)
            return
        response = protocol.accept(request)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            protocol.send_response(response)
            self._finish_http(protocol)
            return
        secure = self._transport.get_extra_info("sslcontext") is not None
        peer = self._transport.get_extra_info("peername")
        subprotocol = response.headers.get("Sec-WebSocket-Protocol")
        try:
            opening = read_opening(self._edge, request, subprotocol, peer=peer[0] if peer else None, secure=secure)
        except Refused as refused:
            protocol.send_response(refusal(protocol, refused.status, refused.text))
            self._finish_http(protocol)
            return

        epoch = self._edge.gateway.rights.epoch

        def accept(principal: Principal | None, error: HubError | None) -> None:
            if self._handshake is None:
                return  # It took too long, or the peer has gone.
            if error is not None:
                status, wait_s = HTTPStatus(error.code), error.retry_after_s
                protocol.send_response(refusal(protocol, status, error.text, retry_after_s=wait_s))
                self._finish_http(protocol)
                return
            protocol.send_response(response)
            self._begin(protocol, opening, principal, epoch)

        if has_credentials(request.headers):
            self._pause()
            self._edge.wheel.add(HandshakeDeadline(self), limits.handshake_s)
            Call(authenticate(self._edge, request.headers, opening), accept)
        else:
            accept(None, None)

    def give_up_handshake(self) -> None:
        """The time for the handshake is over."""
        if self._handshake is not None:
            self._handshake = None
            self._transport.abort()

    def _finish_http(self, protocol: ServerProtocol) -> None:
        """Write an HTTP answer that is no upgrade, and end."""
        self._handshake = None
        for data in protocol.data_to_send():
            if data:
                self._edge.counters.refused[_status(data)] += 1
                self._transport.write(data)
        self._transport.close()

    def _begin(self, protocol: ServerProtocol, opening: Opening, principal: Principal | None, epoch: int) -> None:
        edge = self._edge
        self._handshake = None
        self._transport.write(b"".join(protocol.data_to_send()))
        connection = Connection(
            endpoint=opening.endpoint,
            codec=opening.codec,
            extended=opening.extended,
            peer=opening.peer,
            limits=edge.connection_limits,
            base_url=opening.base_url,
        )
        self._first_byte = FIN | opening.codec.opcode
        self._rare = protocol if protocol.extensions else None
        self.connection = connection
        self._conversation = Conversation(
            edge.gateway,
            connection,
            in_flight=edge.limits.in_flight_requests,
            resumed=self._resume,
            enrolled=self._start_deadline,
        )
        edge.counters.accepted += 1
        edge.gateway.connect(connection, self)
        if principal is not None:
            edge.gateway.authenticated(connection, principal, epoch=epoch)
        self._start_deadline()
        self._heard_s = edge.wheel.now_s
        # Phases are random, so that sockets which came together are not pinged together.
        self._ping_s = edge.wheel.now_s + edge.limits.ping_interval_s * random.uniform(0.5, 1.0)  # noqa: S311
        edge.wheel.add(self, 0)
        if self._paused or self._buffer:
            self._resume()

    def _start_deadline(self) -> None:
        limits = self._edge.limits
        assert self.connection is not None, "only open sockets get here"
        as_client = self.connection.endpoint is Endpoint.CLIENT
        seconds = limits.authenticate_client_s if as_client else limits.authenticate_device_s
        self._deadline_s = self._edge.wheel.now_s + seconds if seconds else None

    # --- reading

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        edge = self._edge
        now_s = self._heard_s = edge.wheel.now_s
        self._asked_s = None
        if now_s != self._touched_s and self.connection is not None:
            self._touched_s = now_s
            edge.gateway.heard(self.connection)
        buffer = self._buffer
        if buffer is None:
            self._read(data)
            return
        # A frame that comes in a thousand pieces is looked at when it is complete, not a thousand times.
        buffer += data
        if self._paused or len(buffer) < self._need:
            return
        self._buffer = None
        self._read(bytes(buffer))

    def _read(self, data: bytes) -> None:
        """Take whole frames off the front; keep the rest."""
        position, end = 0, len(data)
        conversation = self._conversation
        if conversation is None:
            self._keep(data, 0)
            return
        self._need = 0
        first_byte = self._first_byte
        while end - position >= 2:
            if self._closing_s is None and conversation.connection.closing is not None:
                # What the peer still wanted does not matter any more, but its goodbye has to be found in it.
                self._close_now(*conversation.connection.closing)
            if not conversation.ready and self._closing_s is None:
                self._pause()
                break
            length = data[position + 1] & 0x7F
            at = position + 2
            if length == 126:
                if end - position < 4:
                    break
                length = data[at] << 8 | data[at + 1]
                at += 2
            elif length == 127:
                if end - position < 10:
                    break
                length = int.from_bytes(data[at : at + 8])
                at += 8
            first = data[position]
            masked = data[position + 1] & MASKED
            limit = self._message_limit()
            if first == first_byte and masked and length <= limit and self._rare is None and self._closing_s is None:
                stop = at + 4 + length
                if end < stop:
                    self._need = stop - position
                    break
                payload = apply_mask(data[at + 4 : stop], data[at : at + 4])
                position = stop
                self._edge.counters.received += 1
                conversation.receive(payload)
                continue
            used = self._read_rare(data, position, at, length)
            if not used:
                break
            position += used
        if position < end and not self._deaf:
            self._keep(data, position)

    def _keep(self, data: bytes, position: int) -> None:
        self._buffer = bytearray(data[position:] if position else data)

    def _message_limit(self) -> int:
        limits = self._edge.limits
        connection = self.connection
        if connection is not None and connection.principal.is_anonymous:
            return min(limits.message_bytes, limits.message_bytes_anonymous)
        return limits.message_bytes

    def _read_rare(self, data: bytes, position: int, at: int, length: int) -> int:
        """Handle a frame off the short path. Returns how many bytes it took; 0: wait for more, or it is over."""
        first = data[position]
        masked = data[position + 1] & MASKED
        control = first & 0x08
        if first & 0x7F not in (0, 1, 2, 8, 9, 10) and self._rare is None:
            return self._violation(data[position:])
        if not masked or (control and (length > 125 or not first & FIN)):
            return self._violation(data[position:])
        if not control and length > self._message_limit():
            self._close_now(CloseCode.TOO_BIG, f"at most {self._message_limit()} bytes")
            self._hang_up()
            return 0
        stop = at + 4 + length
        if len(data) < stop:
            self._need = stop - position
            return 0
        if self._closing_s is not None:
            # We have said goodbye: only the peer's own goodbye is of interest now.
            if first == CLOSE:
                self._transport.close()
            return stop - position
        # Also amid fragments: the library would answer every ping, however many there are.
        if first == PING:
            self._ping(apply_mask(data[at + 4 : stop], data[at : at + 4]))
        elif first == PONG:
            self._pong()
        else:
            self._feed(data[position:stop])
        return stop - position

    def _violation(self, data: bytes) -> int:
        """Let the library say what is wrong with this, and end."""
        self._feed(data[:4096])
        if self._closing_s is None:
            self._close_now(CloseCode.PROTOCOL_ERROR, "protocol error")
            self._hang_up()
        return 0

    def _feed(self, data: bytes) -> None:
        """Hand one frame to the library's protocol, and act on what it makes of it."""
        if self._rare is None:
            self._rare = Protocol(SERVER, state=OPEN, max_size=self._message_limit(), logger=QUIET)
        rare = self._rare
        rare.max_message_size = self._message_limit()
        rare.receive_data(data)
        for event in rare.events_received():
            if isinstance(event, Frame):
                self._rare_frame(event)
        self._flush_rare(rare)
        if rare.state is not OPEN:
            self._end_by_protocol()
        elif self._fragments is None and not rare.extensions:
            self._rare = None

    def _rare_frame(self, event: Frame) -> None:
        if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._fragment(event)

    def _fragment(self, event: Frame) -> None:
        if event.opcode is not Opcode.CONT:
            if FIN | int(event.opcode) != self._first_byte:
                self._close_now(CloseCode.WRONG_FRAME, WRONG_FRAME[self._first_byte == FIN | TEXT])
                return
            self._fragments = []
        if self._fragments is None:
            return
        self._fragments.append(bytes(event.data))
        if len(self._fragments) > self._edge.limits.fragments:
            self._close_now(CloseCode.TOO_BIG, f"at most {self._edge.limits.fragments} fragments")
        elif event.fin:
            payload = b"".join(self._fragments)
            self._fragments = None
            self._edge.counters.received += 1
            if self._conversation is not None and self._closing_s is None:
                self._conversation.receive(payload)

    def _flush_rare(self, rare: Protocol) -> None:
        if self.connection is None:
            return
        for data in rare.data_to_send():
            if data:
                self.connection.outbox.offer(data)
        self._edge.gateway.visit(self.connection)

    def _end_by_protocol(self) -> None:
        """The library has answered a close, or said why it closes: write that, and end."""
        rare, connection = self._rare, self.connection
        assert rare is not None, "only the library's protocol gets here"
        code = rare.close_sent.code if rare.close_sent is not None else CloseCode.NORMAL
        self._edge.counters.closes[code] += 1
        if connection is not None:
            data = connection.outbox.take(self._transport.get_write_buffer_size())
            if data:
                self._transport.write(data)
        self._closing_s = self._edge.wheel.now_s
        self._gone()
        if rare.close_rcvd is not None:
            self._transport.close()
        else:
            self._edge.wheel.add(self, self._edge.limits.close_wait_s)
            self._hang_up()

    # --- control frames

    def _ping(self, payload: bytes) -> None:
        limits = self._edge.limits
        now_s = asyncio.get_running_loop().time()
        tokens, since_s = self._pings or (float(limits.ping_burst), now_s)
        tokens = min(limits.ping_burst, tokens + (now_s - since_s) * limits.pings_per_s)
        if tokens < 1:
            self._close_now(CloseCode.POLICY, f"at most {limits.pings_per_s} pings per second")
            return
        self._pings = (tokens - 1, now_s)
        connection = self.connection
        if connection is not None and self._transport.get_write_buffer_size() + len(connection.outbox) <= PONG_BACKLOG:
            connection.outbox.offer(frame(0xA, payload))
            self._edge.gateway.visit(connection)

    def _pong(self) -> None:
        """A pong counts for every device that the connection takes commands for; once a ping, or a flood would hurt."""
        now_s = self._edge.wheel.now_s
        if self.connection is not None and now_s - self._ponged_s >= self._edge.limits.ping_interval_s / 2:
            self._ponged_s = now_s
            self._edge.gateway.heard(self.connection)
            self._edge.gateway.heard_for_all(self.connection)

    # --- writing

    def visit(self) -> None:
        """Write what the outbox holds, and act on a decision to close. Called once a turn by the gateway."""
        connection, transport = self.connection, self._transport
        if connection is None:
            return
        unsent = transport.get_write_buffer_size()
        fan_out = self._edge.gateway.fan_out
        if self._writable is None and fan_out.deferred_to(connection):
            connection.outbox.offer_all(fan_out.take_deferred(connection, PONG_BACKLOG, self._edge.gateway.expiry_ms()))
        data = connection.outbox.take(unsent)
        if data:
            counters = self._edge.counters
            counters.writes += 1
            counters.written_bytes += len(data)
            transport.write(data)
            if self._written_s != self._edge.wheel.now_s:
                # What the kernel did not take is looked for at the wheel's next step: no more than once per step.
                self._written_s = self._edge.wheel.now_s
                self._edge.stalled[self] = None
        if self._writable is None and fan_out.deferred_to(connection):
            self._edge.gateway.visit(connection)  # There is more, and the transport has not said stop.
        if connection.outbox.overflowed and connection.closing is None:
            self._edge.gateway.close(connection, CloseCode.SLOW_READER, "reads too slowly")
        if connection.closing is not None:
            self._close_now(*connection.closing)

    def is_stalled(self, now_s: float) -> bool:
        """Whether the peer is behind with reading; one that makes no progress for too long is closed."""
        transport, connection = self._transport, self.connection
        unsent = transport.get_write_buffer_size()
        if connection is None or not unsent:
            self._mark = None
            return False
        sent = connection.outbox.written - unsent
        if self._mark is None or sent >= self._mark[1]:
            # Nothing that was written up to here may wait longer than this.
            self._mark = (now_s + self._edge.limits.write_wait_s, connection.outbox.written, sent)
        elif now_s >= self._mark[0]:
            self._edge.gateway.close(connection, CloseCode.SLOW_READER, "reads too slowly")
            return False
        return True

    def pause_writing(self) -> None:
        self._edge.stalled[self] = None
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            if not self._writable.done():
                self._writable.set_result(None)
            self._writable = None
        if self.connection is not None and self._edge.gateway.fan_out.deferred_to(self.connection):
            self._edge.gateway.visit(self.connection)

    async def writable(self) -> None:
        """Return when the transport's buffer has drained, or when the socket is gone."""
        await asyncio.sleep(0)
        while self._writable is not None:
            await asyncio.shield(self._writable)

    # --- pausing

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def _resume(self) -> None:
        """Go on with what has been read, then read on."""
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._read_on)
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._paused or self.connection is None:
            return
        buffer, self._buffer = self._buffer, None
        if buffer:
            self._read(bytes(buffer))
        if not self._paused and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- time

    def tick(self, now_s: float) -> float | None:
        """Deadlines, pings and silence; called by the wheel."""
        if self._transport.is_closing() and self._closing_s is None:
            return None
        if self._closing_s is not None:
            return self._tick_closing(now_s)
        connection = self.connection
        if connection is None or self._ping_s is None:
            return None
        if self._deadline_s is not None:
            if not connection.principal.is_anonymous:
                self._deadline_s = None
            elif now_s >= self._deadline_s:
                self._edge.gateway.close(connection, CloseCode.UNAUTHENTICATED, "not authenticated in time")
                return self._edge.limits.close_wait_s
        return self._tick_pings(connection, now_s)

    def _tick_closing(self, now_s: float) -> float | None:
        assert self._closing_s is not None, "only closing sockets get here"
        left_s = self._closing_s + self._edge.limits.close_wait_s - now_s
        if left_s <= 0:
            self._transport.abort()
            return None
        return left_s

    def _tick_pings(self, connection: Connection, now_s: float) -> float:
        limits = self._edge.limits
        assert self._ping_s is not None, "set when the socket was opened"
        silent_s = now_s - self._heard_s
        if now_s >= self._ping_s:
            self._ping_s = now_s + limits.ping_interval_s
            # What counts is the first ping that nothing has come after.
            self._asked_s = self._asked_s or now_s
            if connection.outbox.offer(PING_PAYLOAD):
                self._edge.gateway.visit(connection)
        left_s = self._patience_s(now_s, silent_s)
        if left_s <= 0:
            self._edge.gateway.close(connection, CloseCode.NO_SIGN_OF_LIFE, "no sign of life")
            return limits.close_wait_s
        due_s = min(self._ping_s, self._deadline_s or self._ping_s)
        return max(0.0, min(due_s - now_s, left_s))

    def _patience_s(self, now_s: float, silent_s: float) -> float:
        """How much longer a peer may be silent."""
        silence_s = self._edge.silence_s
        if silence_s is not None:
            return silence_s - silent_s
        if self._asked_s is None:
            return self._edge.limits.ping_interval_s
        return self._asked_s + self._edge.limits.ping_timeout_s - now_s

    # --- the end

    def _close_now(self, code: CloseCode, reason: str) -> None:
        """Send a close frame and wait a while for the peer's."""
        if self._closing_s is not None:
            return
        if self.connection is not None:
            self.connection.close(code, reason)
        self._closing_s = self._edge.wheel.now_s
        connection = self.connection
        if connection is not None:
            connection.close(code, reason)
            code, reason = connection.closing or (code, reason)  # Something may have decided before, and announced it.
        self._edge.counters.closes[code] += 1
        if connection is not None and code not in QUIET_CODES:
            self._edge.log.info(
                "closed a connection",
                source=str(connection.peer.address),
                close_code=int(code),
                reason=reason,
                principal=connection.principal.identity,
            )
        if connection is not None:
            data = connection.outbox.take(self._transport.get_write_buffer_size()) + connection.farewell()
            if data:
                self._transport.write(data)
        payload = struct.pack("!H", code) + reason.encode()[:123]
        self._transport.write(frame(0x8, payload))
        self._gone()
        self._edge.wheel.add(self, self._edge.limits.close_wait_s)
        # The peer's close frame has to be read to end in good order.
        self._resume()

    def _hang_up(self) -> None:
        """The peer has broken the protocol: nothing that it still sends can be understood.

        Its bytes are read and dropped for a while all the same. Closed at once, with bytes unread, TCP would reset the
        connection, and the peer might never see why.
        """
        self._deaf = True
        self._buffer = None
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()

    def _gone(self) -> None:
        """The conversation is over, whatever becomes of the transport."""
        connection = self.connection
        if connection is not None:
            self._edge.gateway.disconnect(connection)
        self._fragments = None
        self._edge.stalled.pop(self, None)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def eof_received(self) -> bool:
        return False

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._edge.sockets.discard(self)
        self._handshake = None
        if self._closing_s is None and self.connection is not None:
            self._edge.counters.closes[1006] += 1
        self._gone()
        self.connection = None
        self._conversation = None
        self._buffer = None


class HandshakeDeadline:
    """Ends a handshake whose credentials take too long to check."""

    __slots__ = ("_socket",)

    def __init__(self, socket: Socket) -> None:
        self._socket = socket

    def tick(self, now_s: float) -> float | None:
        self._socket.give_up_handshake()
        return None


def _status(response: bytes) -> int:
    try:
        return int(response.split(b" ", 2)[1])
    except (IndexError, ValueError):
        return 0
