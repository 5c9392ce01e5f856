"""What all sockets of a worker share: the gateway, the limits, the timer wheel, the counters."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from hub.core.connection import Connection, ConnectionLimits
from hub.core.limits import heaviest
from hub.core.rates import Intake, Pace
from hub.gateway import Gateway
from hub.logs import LogLimit
from hub.web.addresses import Proxies, Source
from hub.web.conversation import Conversation
from hub.web.wheel import Wheel
from hub.web.writes import Send, Writes
from protocol.codecs import Codec, JsonCodec, MsgpackCodec
from protocol.names import Subprotocol


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of sockets; each is a setting of the same name. Seconds, bytes, counts. Rates: 0 is no limit.

    Attributes:
        profile: the name of the set of limits that these come from, HUB_LIMITS.
    """

    message_bytes: int = 65_536
    message_bytes_anonymous: int = 8_192
    fragments: int = 64
    json_depth: int = 32
    json_nodes: int = 16_384
    messages_per_s: int = 1_000
    message_burst: int = 2_000
    message_bytes_per_s: int = 4_194_304
    throttled_s: float = 10.0
    handshake_s: float = 10.0
    authenticate_client_s: float = 10.0
    authenticate_device_s: float = 30.0
    ping_interval_s: float = 30.0
    ping_timeout_s: float = 20.0
    silence_s: float | None = None
    pings_per_s: int = 10
    ping_burst: int = 20
    pong_backlog_bytes: int = 65_536
    outbox_wait_s: float = 10.0
    write_wait_s: float = 10.0
    close_wait_s: float = 5.0
    in_flight_requests: int = 16
    messages_per_turn: int = 512
    header_bytes: int = 16_384
    headers: int = 64
    connections: int = 16_000
    accepts_per_s: float = 200.0
    accept_burst: int = 200
    send_memory_bytes: int = 536_870_912
    drain_share_per_s: float = 0.2
    profile: str = "default"

    def transports(self) -> int:
        """How many TCP connections there may be: those of WebSockets, and a tenth more for handshakes and HTTP."""
        return self.connections + max(64, self.connections // 10)

    def too_slow(self, waited_s: float, stuck_s: float) -> tuple[str, str, float] | None:
        """Whether a peer's bytes have waited for too long: in words, the limit's name and its value.

        Args:
            waited_s: how long the oldest of them has waited.
            stuck_s: for how long none has moved.
        """
        if stuck_s >= self.write_wait_s:
            return f"no progress for {self.write_wait_s:g} s", "write-wait-s", self.write_wait_s
        if waited_s >= self.outbox_wait_s:
            return f"bytes wait {self.outbox_wait_s:g} s at most", "outbox-wait-s", self.outbox_wait_s
        return None

    def step_s(self) -> float:
        """How fine the timer wheel has to be: a second, or a fifth of the shortest time there is to keep."""
        times = (
            self.handshake_s,
            self.authenticate_client_s,
            self.authenticate_device_s,
            self.ping_interval_s,
            self.ping_timeout_s,
            self.silence_s or 0,
            self.outbox_wait_s,
            self.write_wait_s,
            self.throttled_s,
            self.close_wait_s,
        )
        return max(0.02, min(1.0, *(seconds / 5 for seconds in times if seconds)))


@dataclass(frozen=True, slots=True)
class Kinds:
    """What the parts of a socket are made of: chosen once, for what tracing adds nobody else shall pay for."""

    connection: type[Connection] = Connection
    conversation: type[Conversation] = Conversation
    extended_json: type[JsonCodec] = JsonCodec
    extended_msgpack: type[MsgpackCodec] = MsgpackCodec


@dataclass(slots=True)
class Counters:
    """What happened at the edge since the start."""

    accepted: int = 0
    streams: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    received: int = 0
    written_bytes: int = 0
    writes: int = 0
    closes: Counter[int] = field(default_factory=Counter)


class Ending(Protocol):
    """Whatever has a transport."""

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        ...


class WrittenTo(Ending, Protocol):
    """What the edge knows of a socket or an event stream: how far its peer is behind with reading."""

    @property
    def unsent(self) -> int:
        """Bytes that wait for its peer."""
        ...

    @property
    def is_closing(self) -> bool:
        """Whether it has said goodbye."""
        ...

    def is_stalled(self, now_s: float) -> bool:
        """Whether its peer is behind with reading; closes it when its time is over."""
        ...

    def cut(self) -> None:
        """Close it: all together have too many bytes unsent."""
        ...


class ReadFrom(Protocol):
    """What the edge knows of a socket that sends: how much it may."""

    def take_turn(self) -> None:
        """Go on reading: this turn has room again."""
        ...

    def is_over_rate(self, now_s: float) -> bool:
        """Whether it is still throttled for what it sends; goes on reading when there is something to spend."""
        ...


class Edge:
    """The shared part of every socket.

    Args:
        context_paths: the prefixes of ``/websocket/…``.
        kinds: what the parts of sockets are made of.
        public_url: scheme and host that peers are told; None: those that they asked for.
        send: makes the writes of a turn in one call, see :mod:`hub.web.writes`.
        allowed_origins: origins besides the own host from which a browser's stored Basic credentials count.
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        limits: EdgeLimits = EdgeLimits(),
        connection_limits: ConnectionLimits = ConnectionLimits(),
        context_paths: Sequence[str] = ("/api", "/dh", ""),
        allowed_origins: Sequence[str] = (),
        proxies: Proxies | None = None,
        deflate: bool = False,
        public_url: str | None = None,
        send: Send | None = None,
        kinds: Kinds = Kinds(),
    ) -> None:
        self.gateway = gateway
        self.kinds = kinds
        self.limits = limits
        self.connection_limits = connection_limits
        self.context_paths = tuple(context_paths)
        self.allowed_origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)
        self.proxies = proxies or Proxies(())
        self.deflate = deflate
        self.public_url = public_url.rstrip("/") if public_url else None
        self.json: Codec = JsonCodec(depth=limits.json_depth, nodes=limits.json_nodes)
        bounds = {"depth": limits.json_depth, "nodes": limits.json_nodes}
        self.codecs: dict[str | None, Codec] = {
            None: self.json,
            Subprotocol.JSON: kinds.extended_json(**bounds),
            Subprotocol.MSGPACK: kinds.extended_msgpack(**bounds),
        }
        """What a socket speaks, by the subprotocol that it has asked for."""
        self.wheel = Wheel(step_s=limits.step_s())
        self.counters = Counters()
        self.tally = gateway.tally
        self.intake = Intake(
            messages_per_s=limits.messages_per_s,
            # What a socket has is filled up once in a step: less than that would be less than the rate.
            burst=max(limits.message_burst, math.ceil(limits.messages_per_s * self.wheel.step_s)),
            bytes_per_s=limits.message_bytes_per_s,
        )
        self._accepts = Pace(limits.accepts_per_s, limits.accept_burst)
        self.writes = None if send is None else Writes(send, gateway.fan_out, count=self.count_writes)
        """What writes to sockets together, where that is possible."""
        gateway.write_together = self.writes
        self.turn_left = limits.messages_per_turn
        """How many more messages this turn of the loop takes in."""
        self._turn_counted = False
        self._waiting: dict[ReadFrom, None] = {}
        self.draining = False
        self.log = LogLimit(structlog.get_logger("hub.edge"))
        self.started_s = time.monotonic()
        self.sockets: set[Ending] = set()
        """Every socket that has a transport: also in its handshake, also after its goodbye."""
        self.streams = 0
        """How many of them are event streams."""
        self.stalled: dict[WrittenTo, None] = {}
        """Sockets that were written to since the last step, and those whose peers were behind with reading then."""
        self.throttled: dict[ReadFrom, None] = {}
        """Sockets that have sent more than they may."""
        self.unsent_bytes = 0
        """Bytes that waited for their peers, of all sockets, when they were last weighed."""
        self.weigh_at_bytes = 0
        """At so many written bytes they are weighed again, should that be before the wheel's next step."""
        self.behind = 0
        """How many peers were behind with reading at the last step."""
        self.wheel.sweep(self)

    @property
    def silence_s(self) -> float | None:
        """The longest silence of a peer, in seconds, as it was stored or set; None: the pings decide."""
        set_ms = int((self.limits.silence_s or 0) * 1000)
        stored_ms = self.gateway.setting("websocket.ping.timeout", set_ms)
        return stored_ms / 1000 if stored_ms > 0 else None

    def find_source(self, peer: str | None, headers: list[tuple[str, str]], secure: bool) -> Source:
        """The client behind trusted proxies, see :meth:`Proxies.source`."""
        return self.proxies.source(peer, headers, secure=secure)

    def count_received(self, messages: int) -> None:
        """Count messages that were read, against this turn's share as well.

        A turn ends after so many: its writes begin while the next are read, and nobody waits for a long one.
        """
        self.counters.received += messages
        self.turn_left -= messages
        if not self._turn_counted and messages:
            self._turn_counted = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def wait_for_turn(self, socket: ReadFrom) -> None:
        """Let a socket read on in a later turn; those that have waited longest first."""
        self._waiting[socket] = None

    def forget_turn(self, socket: ReadFrom) -> None:
        """A socket that has ended waits for nothing. Idempotent."""
        self._waiting.pop(socket, None)

    def _next_turn(self) -> None:
        self._turn_counted = False
        self.turn_left = self.limits.messages_per_turn
        while self._waiting and self.turn_left > 0:
            socket = next(iter(self._waiting))
            del self._waiting[socket]
            socket.take_turn()

    def count_writes(self, writes: int, size: int) -> None:
        """Count writes and their bytes, and look after the memory that they take."""
        self.counters.writes += writes
        self.counters.written_bytes += size
        if self.counters.written_bytes > self.weigh_at_bytes:
            self.weigh()

    def tick(self, now_s: float) -> float | None:
        """At every step of the wheel: look at the sockets whose peers are behind with reading."""
        for socket in list(self.stalled):
            if not socket.is_stalled(now_s):
                self.stalled.pop(socket, None)
        self.behind = len(self.stalled)
        self.weigh()
        for sender in list(self.throttled):
            if not sender.is_over_rate(now_s):
                self.throttled.pop(sender, None)
        self.log.flush()
        return None

    # --- what all sockets have together

    def weigh(self) -> None:
        """Sum up what waits for peers, and make room when it is too much.

        Called at every step of the wheel, and whenever an eighth of the limit has been written since the last time:
        between two looks memory cannot grow by more than that.
        """
        limit = self.limits.send_memory_bytes
        self.weigh_at_bytes = self.counters.written_bytes + limit // 8
        sizes = [(socket, socket.unsent) for socket in self.stalled]
        self.unsent_bytes = sum(size for _, size in sizes)
        if self.unsent_bytes > limit:
            self._make_room(sizes, self.unsent_bytes - limit)

    def _make_room(self, sizes: list[tuple[WrittenTo, int]], excess: int) -> None:
        """Who was told to go and has not read it keeps its bytes no longer; then the largest of the others are told."""
        going = [(socket, size) for socket, size in sizes if socket.is_closing]
        for socket in heaviest(going, excess):
            excess -= socket.unsent
            socket.abort()
        for socket in heaviest([pair for pair in sizes if not pair[0].is_closing], excess):
            socket.cut()

    # --- the door

    def turns_away(self) -> str | None:
        """Why a handshake is not even looked at now, as a sentence for its peer; None: it is."""
        limits = self.limits
        if self.draining:
            return "The hub restarts"
        if len(self.gateway) >= limits.connections:
            self.tally["connections"] += 1
            return f"At most {limits.connections} connections"
        if self._accepts.take(None, asyncio.get_running_loop().time()):
            self.tally["accepts-per-s"] += 1
            return f"At most {limits.accepts_per_s:g} handshakes per second"
        return None
