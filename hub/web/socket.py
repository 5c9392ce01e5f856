"""The socket: a WebSocket's transport, its frames, its deadlines.

Nearly all traffic is whole, unfragmented, masked data frames, pings and pongs: they are read right here. Everything
rare (fragments, close, violations, compression) goes frame by frame to ``websockets``' sans-I/O protocol, made when
needed and dropped afterwards: kept, it would cost 6 KiB a connection. Whichever way a frame takes, RFC 6455 holds to
the letter.
"""

import asyncio
import random
import struct

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.speedups import apply_mask

from hub.core.connection import Connection
from hub.core.rates import UNLIMITED
from hub.web.conversation import Conversation
from hub.web.edge import Edge
from hub.web.handshake import QUIET
from hub.web.last_answer import LastAnswer
from hub.web.outgoing import Outgoing
from protocol.codecs import TEXT
from protocol.frames import frame
from protocol.names import CloseCode, Endpoint

FIN, MASKED = 0x80, 0x80
PING, PONG, CLOSE = 0x89, 0x8A, 0x88
PING_PAYLOAD = frame(0x9, b"devicehive-ping")
QUIET_CODES = frozenset({CloseCode.NORMAL, CloseCode.RESTART})
"""Ends that say nothing about the peer."""

DEFERRED_AT_ONCE = 65_536
"""Bytes of deferred messages that are written before the transport is asked whether it takes more."""

WRONG_FRAME = {True: "Binary messages not supported", False: "Text messages not supported"}


class Socket(Outgoing):
    """One open WebSocket, from its handshake's answer to the end of the transport.

    Args:
        protocol: the library's half, where it has to see every frame: compression was agreed on.
    """

    __slots__ = (
        "_asked_s",
        "_buffer",
        "_bytes_left",
        "_conversation",
        "_deadline_s",
        "_deaf",
        "_first_byte",
        "_fragments",
        "_heard_s",
        "_messages_left",
        "_need",
        "_over",
        "_paused",
        "_ping_s",
        "_pings",
        "_ponged_s",
        "_rare",
        "_resumed_s",
        "_throttled",
        "_touched_s",
    )

    def __init__(
        self, edge: Edge, transport: asyncio.Transport, connection: Connection, protocol: Protocol | None
    ) -> None:
        super().__init__(edge, transport, connection)
        self._conversation: Conversation | LastAnswer | None = edge.kinds.conversation(
            edge.gateway,
            connection,
            in_flight=edge.limits.in_flight_requests,
            resumed=self._resume,
            enrolled=self._start_deadline,
        )
        self._rare = protocol
        self._buffer: bytearray | None = None
        self._need = 0
        self._paused = False
        self._deaf = False
        self._fragments: list[bytes] | None = None
        self._first_byte = FIN | connection.codec.opcode
        self._heard_s = self._touched_s = edge.wheel.now_s
        self._deadline_s: float | None = None
        # Phases are random, so that sockets which came together are not pinged together.
        self._ping_s = edge.wheel.now_s + edge.limits.ping_interval_s * random.uniform(0.5, 1.0)  # noqa: S311
        self._asked_s: float | None = None
        self._ponged_s = float("-inf")
        self._pings: tuple[float, float] | None = None
        self._messages_left, self._bytes_left = edge.intake.messages, edge.intake.bytes
        self._throttled = False
        self._over: tuple[float, bool] | None = None
        self._resumed_s = 0.0
        edge.sockets.add(self)

    def begin(self, rest: bytes) -> None:
        """Start the deadlines, and read: first what came behind the handshake. Called once."""
        self._start_deadline()
        self._edge.wheel.add(self, 0)
        self._buffer = bytearray(rest) if rest else None
        self._paused = True
        self._resume()

    def _start_deadline(self) -> None:
        _, seconds = self._authenticate_limit()
        self._deadline_s = self._edge.wheel.now_s + seconds if seconds else None

    def _authenticate_limit(self) -> tuple[str, float]:
        limits = self._edge.limits
        if self.connection.endpoint is Endpoint.CLIENT:
            return "authenticate-client-s", limits.authenticate_client_s
        return "authenticate-device-s", limits.authenticate_device_s

    # --- reading

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        edge = self._edge
        now_s = self._heard_s = edge.wheel.now_s
        self._asked_s = None
        if now_s != self._touched_s:
            self._new_step(now_s)
        self._bytes_left -= len(data)
        buffer = self._buffer
        if buffer is None:
            self._read(data)
        else:
            # A frame that comes in a thousand pieces is looked at when it is complete, not a thousand times.
            buffer += data
            if not self._paused and len(buffer) >= self._need:
                self._buffer = None
                self._read(bytes(buffer))
        if self._bytes_left < 0:
            self._throttle()

    def _new_step(self, now_s: float) -> None:
        """The first sign of life within a step of the wheel: what it is worth, it is worth once."""
        self._messages_left, self._bytes_left = self._edge.intake.later(
            self._messages_left, self._bytes_left, now_s - self._touched_s
        )
        self._touched_s = now_s
        self._edge.gateway.heard(self.connection)

    def _read(self, data: bytes) -> None:
        """Take whole frames off the front; keep the rest."""
        position, end = 0, len(data)
        conversation = self._conversation
        if conversation is None:
            self._keep(data, 0)
            return
        self._need = 0
        first_byte = self._first_byte
        limit, widest = self._message_limit(), self._edge.limits.message_bytes
        most = left = self._room()
        while left > 0 and end - position >= 2:
            if self._closing_s is None and conversation.connection.closing is not None:
                # What the peer still wanted does not matter any more, but its goodbye has to be found in it.
                self._close_now(*conversation.connection.closing)
            if not conversation.ready and self._closing_s is None:
                self._wait_for_answers()
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
            if first == first_byte and masked and length <= limit and self._rare is None and self._closing_s is None:
                stop = at + 4 + length
                if end < stop:
                    self._need = stop - position
                    break
                payload = apply_mask(data[at + 4 : stop], data[at : at + 4])
                position = stop
                left -= 1
                conversation.receive(payload)
                if limit != widest:
                    limit = self._message_limit()  # Until it is authenticated, it may be less.
                continue
            self._spend(most - left)
            used = self._read_rare(data, position, at, length)
            most = left = self._room()
            if not used:
                break
            position += used
        if position < end and not self._deaf:
            self._keep(data, position)
        self._spend(most - left)
        if left < 1:
            if self._messages_left < 1:
                self._throttle()
            elif self._buffer:
                self._pause()
                self._edge.wait_for_turn(self)

    def _room(self) -> int:
        """How many messages may be read now."""
        return int(min(self._messages_left, self._edge.turn_left))

    def _spend(self, messages: int) -> None:
        self._messages_left -= messages
        self._edge.count_received(messages)

    def take_turn(self) -> None:
        """Go on reading: this turn has room again."""
        if self._paused and not self._throttled:
            self._paused = False
            self._read_on()

    def _wait_for_answers(self) -> None:
        self._pause()
        if self.connection.unanswered >= self._edge.limits.in_flight_requests:
            self._edge.tally["in-flight-requests"] += 1

    def _keep(self, data: bytes, position: int) -> None:
        self._buffer = bytearray(data[position:] if position else data)

    def _message_limit(self) -> int:
        limits = self._edge.limits
        if self.connection.principal.is_anonymous:
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
            self._too_big()
            self._hang_up()
            return 0
        stop = at + 4 + length
        if len(data) < stop:
            self._need = stop - position
            return 0
        if self._closing_s is not None:
            # We have said goodbye: only the peer's own goodbye is of interest now.
            if first == CLOSE:
                self.transport.close()
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
            most = self._edge.limits.fragments
            self._reached(CloseCode.TOO_BIG, f"at most {most} fragments", "fragments", most)
        elif event.fin:
            payload = b"".join(self._fragments)
            self._fragments = None
            self._spend(1)
            if self._conversation is not None and self._closing_s is None:
                self._conversation.receive(payload)

    def _flush_rare(self, rare: Protocol) -> None:
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
        if code == CloseCode.TOO_BIG:
            self._edge.tally[self._message_limit_name()] += 1
        data = connection.outbox.take(self.transport.get_write_buffer_size())
        if data:
            self.transport.write(data)
        self._say_goodbye()
        if rare.close_rcvd is not None:
            self.transport.close()
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
            most = limits.pings_per_s
            self._reached(CloseCode.POLICY, f"at most {most} pings per second", "pings-per-s", most)
            return
        self._pings = (tokens - 1, now_s)
        connection = self.connection
        if self.unsent > limits.pong_backlog_bytes:
            self._edge.tally["pong-backlog-bytes"] += 1
        else:
            connection.outbox.offer(frame(0xA, payload))
            self._edge.gateway.visit(connection)

    def _pong(self) -> None:
        """A pong counts for every device that the connection takes commands for; once a ping, or a flood would hurt."""
        now_s = self._edge.wheel.now_s
        if now_s - self._ponged_s >= self._edge.limits.ping_interval_s / 2:
            self._ponged_s = now_s
            self._edge.gateway.heard(self.connection)
            self._edge.gateway.heard_for_all(self.connection)

    # --- writing

    def visit(self) -> None:
        """Write what the outbox holds, and act on a decision to close. Called once a turn by the gateway."""
        connection, transport = self.connection, self.transport
        unsent = transport.get_write_buffer_size()
        fan_out = self._edge.gateway.fan_out
        if self._writable is None and fan_out.deferred_to(connection):
            connection.outbox.offer_all(
                fan_out.take_deferred(connection, DEFERRED_AT_ONCE, self._edge.gateway.expiry_ms())
            )
        data = connection.outbox.take(unsent)
        if self._writable is None and fan_out.deferred_to(connection):
            self._edge.gateway.visit(connection)  # There is more, and the transport has not said stop.
        if connection.outbox.overflowed and connection.closing is None:
            self._overflowed()
        if data:
            self._edge.count_writes(1, len(data))
            self.write(data)
        if connection.closing is not None:
            self._close_now(*connection.closing)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._edge.gateway.fan_out.deferred_to(self.connection):
            self._edge.gateway.visit(self.connection)

    # --- pausing

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            if not self.transport.is_closing():
                self.transport.pause_reading()

    def _resume(self) -> None:
        """Go on with what has been read, then read on."""
        if self._throttled:
            return
        if self._paused:
            self._paused = False
            asyncio.get_running_loop().call_soon(self._read_on)
        elif self._buffer:
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._paused or self._conversation is None:
            return
        buffer, self._buffer = self._buffer, None
        if buffer:
            self._read(bytes(buffer))
        if not self._paused and not self.transport.is_closing():
            self.transport.resume_reading()

    # --- too much

    def _throttle(self) -> None:
        """Read no more until the wheel's next step, at least."""
        if self._closing_s is not None or self._throttled:
            return
        edge = self._edge
        self._throttled = True
        self._pause()
        if self._over is None:
            by_count = self._messages_left < 1
            self._over = edge.wheel.now_s, by_count
            edge.tally["messages-per-s" if by_count else "message-bytes-per-s"] += 1
        edge.throttled[self] = None

    def is_over_rate(self, now_s: float) -> bool:
        """Whether it goes on sending more than it may; called at every step of the wheel while it is throttled.

        A whole step in which it was not throttled once ends the matter. When it does not end for too long, whatever the
        peer asks next is refused, and with that the connection ends.
        """
        if not self._throttled and now_s - self._resumed_s < self._edge.wheel.step_s:
            return True
        if not self._throttled or self._closing_s is not None:
            self._over = None
            return False
        self._new_step(now_s)
        # Nothing is read, so nothing can be heard: that must not pass for silence.
        self._heard_s, self._asked_s = now_s, None
        if self._messages_left < 1 or self._bytes_left < 0:
            return True
        assert self._over is not None, "set when it was throttled"
        since_s, by_count = self._over
        if now_s - since_s >= self._edge.limits.throttled_s:
            if self.connection.unanswered:
                return True
            self._conversation = LastAnswer(self._edge, self.connection, by_count=by_count)
        self._throttled, self._resumed_s = False, now_s
        self._resume()
        return True

    # --- time

    def tick(self, now_s: float) -> float | None:
        """Deadlines, pings and silence; called by the wheel."""
        if self.transport.is_closing() and self._closing_s is None:
            return None
        if self._closing_s is not None:
            return self._tick_closing(now_s)
        connection = self.connection
        if self._deadline_s is not None:
            if not connection.principal.is_anonymous:
                self._deadline_s = None
            elif now_s >= self._deadline_s:
                self._not_authenticated()
                return self._edge.limits.close_wait_s
        return self._tick_pings(connection, now_s)

    def _not_authenticated(self) -> None:
        name, seconds = self._authenticate_limit()
        self._decide(CloseCode.UNAUTHENTICATED, f"not authenticated in {seconds:g} s", name, seconds)

    def _tick_pings(self, connection: Connection, now_s: float) -> float:
        limits = self._edge.limits
        silent_s = now_s - self._heard_s
        if now_s >= self._ping_s:
            self._ping_s = now_s + limits.ping_interval_s
            # What counts is the first ping that nothing has come after.
            self._asked_s = self._asked_s or now_s
            if connection.outbox.offer(PING_PAYLOAD):
                self._edge.gateway.visit(connection)
        left_s = self._patience_s(now_s, silent_s)
        if left_s <= 0:
            self._no_sign_of_life()
            return limits.close_wait_s
        due_s = min(self._ping_s, self._deadline_s or self._ping_s)
        return max(0.0, min(due_s - now_s, left_s))

    def _no_sign_of_life(self) -> None:
        silence_s = self._edge.silence_s
        name = "ping-timeout-s" if silence_s is None else "websocket-ping-timeout-ms"
        value = self._edge.limits.ping_timeout_s if silence_s is None else int(silence_s * 1000)
        self._decide(CloseCode.NO_SIGN_OF_LIFE, "no sign of life", name, value)

    def _patience_s(self, now_s: float, silent_s: float) -> float:
        """How much longer a peer may be silent."""
        silence_s = self._edge.silence_s
        if silence_s is not None:
            return silence_s - silent_s
        if self._asked_s is None:
            return self._edge.limits.ping_interval_s
        return self._asked_s + self._edge.limits.ping_timeout_s - now_s

    # --- the end

    def _reached(self, code: CloseCode, reason: str, name: str, value: float) -> None:
        """Close at once, because of a limit."""
        self.connection.close(code, reason, detail={"limit": name, "value": value})
        self._close_now(code, reason)

    def _message_limit_name(self) -> str:
        limits = self._edge.limits
        return "message-bytes" if self._message_limit() == limits.message_bytes else "message-bytes-anonymous"

    def _too_big(self) -> None:
        most = self._message_limit()
        self._reached(CloseCode.TOO_BIG, f"at most {most} bytes", self._message_limit_name(), most)

    def _close_now(self, code: CloseCode, reason: str) -> None:
        """Send a close frame and wait a while for the peer's."""
        if self._closing_s is not None:
            return
        connection = self.connection
        connection.close(code, reason)
        code, reason = connection.closing or (code, reason)  # Something may have decided before, and announced it.
        self._note_close(code, reason, quietly=code in QUIET_CODES)
        data = connection.outbox.take(self.transport.get_write_buffer_size()) + connection.farewell()
        if data:
            self.transport.write(data)
        payload = struct.pack("!H", code) + reason.encode()[:123]
        self.transport.write(frame(0x8, payload))
        self._say_goodbye()
        self._edge.wheel.add(self, self._edge.limits.close_wait_s)
        # The peer's close frame has to be read to end in good order.
        self._resume()

    def _say_goodbye(self) -> None:
        """From now on only the peer's own goodbye is of interest, and that has to be found in what it still sends."""
        self._closing_s = self._edge.wheel.now_s
        self._messages_left = self._bytes_left = UNLIMITED
        self._throttled = False
        self._gone()
        if self.transport.get_write_buffer_size():
            self._edge.stalled[self] = None

    def _hang_up(self) -> None:
        """The peer has broken the protocol: nothing that it still sends can be understood.

        Its bytes are read and dropped for a while all the same. Closed at once, with bytes unread, TCP would reset the
        connection, and the peer might never see why.
        """
        self._deaf = True
        self._buffer = None
        if self.transport.can_write_eof() and not self.transport.is_closing():
            self.transport.write_eof()

    def _gone(self) -> None:
        """The conversation is over, whatever becomes of the transport."""
        super()._gone()
        self._fragments = None
        self._edge.throttled.pop(self, None)
        self._edge.forget_turn(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost()
        if self._closing_s is None:
            self._edge.counters.closes[1006] += 1
        self._gone()
        self._conversation = None
        self._buffer = None
