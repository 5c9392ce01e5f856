"""What all sockets of a worker share: the gateway, the limits, the timer wheel, the counters."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from hub.core.connection import ConnectionLimits
from hub.gateway import Gateway
from hub.logs import LogLimit
from hub.web.addresses import Proxies
from hub.web.wheel import Wheel


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of sockets; each is a setting of the same name. Seconds, bytes, counts."""

    message_bytes: int = 65_536
    message_bytes_anonymous: int = 8_192
    fragments: int = 64
    handshake_s: float = 10.0
    authenticate_client_s: float = 10.0
    authenticate_device_s: float = 30.0
    ping_interval_s: float = 30.0
    ping_timeout_s: float = 20.0
    silence_s: float | None = None
    pings_per_s: int = 10
    ping_burst: int = 20
    write_wait_s: float = 10.0
    close_wait_s: float = 5.0
    in_flight_requests: int = 16
    header_bytes: int = 16_384
    headers: int = 64
    connections: int = 16_000

    def transports(self) -> int:
        """How many TCP connections there may be: those of WebSockets, and a tenth more for handshakes and HTTP."""
        return self.connections + max(64, self.connections // 10)

    def step_s(self) -> float:
        """How fine the timer wheel has to be: a second, or a fifth of the shortest time there is to keep."""
        times = (
            self.handshake_s,
            self.authenticate_client_s,
            self.authenticate_device_s,
            self.ping_interval_s,
            self.ping_timeout_s,
            self.silence_s or 0,
            self.write_wait_s,
            self.close_wait_s,
        )
        return max(0.02, min(1.0, *(seconds / 5 for seconds in times if seconds)))


@dataclass(slots=True)
class Counters:
    """What happened at the edge since the start."""

    accepted: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    received: int = 0
    written_bytes: int = 0
    writes: int = 0
    closes: Counter[int] = field(default_factory=Counter)


class AnySocket(Protocol):
    """What the edge knows of a socket."""

    def is_stalled(self, now_s: float) -> bool:
        """Whether its peer is behind with reading; closes the socket when its time is over."""
        ...

    def abort(self) -> None:
        """End the transport, whatever is still on its way."""
        ...


class Edge:
    """The shared part of every socket.

    Args:
        context_paths: the prefixes of ``/websocket/…``.
        public_url: scheme and host that peers are told; None: those that they asked for.
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
    ) -> None:
        self.gateway = gateway
        self.limits = limits
        self.connection_limits = connection_limits
        self.context_paths = tuple(context_paths)
        self.allowed_origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)
        self.proxies = proxies or Proxies(())
        self.deflate = deflate
        self.public_url = public_url.rstrip("/") if public_url else None
        self.wheel = Wheel(step_s=limits.step_s())
        self.counters = Counters()
        self.draining = False
        self.log = LogLimit(structlog.get_logger("hub.edge"))
        self.started_s = time.monotonic()
        self.sockets: set[AnySocket] = set()
        """Every socket that has a transport: also in its handshake, also after its goodbye."""
        self.stalled: dict[AnySocket, None] = {}
        """Sockets that were written to since the last step, and those whose peers were behind with reading then."""
        self.behind = 0
        """How many peers were behind with reading at the last step."""
        self.wheel.sweep(self)

    @property
    def silence_s(self) -> float | None:
        """The longest silence of a peer, in seconds, as it was stored or set; None: the pings decide."""
        set_ms = int((self.limits.silence_s or 0) * 1000)
        stored_ms = self.gateway.setting("websocket.ping.timeout", set_ms)
        return stored_ms / 1000 if stored_ms > 0 else None

    def tick(self, now_s: float) -> float | None:
        """At every step of the wheel: look at the sockets whose peers are behind with reading."""
        for socket in list(self.stalled):
            if not socket.is_stalled(now_s):
                self.stalled.pop(socket, None)
        self.behind = len(self.stalled)
        self.log.flush()
        return None
