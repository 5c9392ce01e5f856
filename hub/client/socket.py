"""Sockets to a hub: where, how, and what an HTTP answer in place of one means."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol as OfferedSubprotocol

from protocol.names import Endpoint, Subprotocol
from protocol.version import __version__

CLOSE_TIMEOUT_S = 2.0
"""How long to wait for the hub to confirm that a connection ends."""


class _WithoutFrames(logging.LoggerAdapter[logging.Logger]):
    """A logger for the socket that never shows frames, since one of them holds the credentials."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name that logging asks for
        return level > logging.DEBUG and super().isEnabledFor(level)


_socket_log = _WithoutFrames(logging.getLogger("hub.client.socket"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a client connects. The defaults suit nearly everybody.

    Attributes:
        subprotocols: what to offer, best first; without any, the connection is DeviceHive's ordinary one.
        ssl: for ``wss`` addresses; None: the system's certificate authorities.
        patience_s: how long to keep trying for the first connection. 0: once. Later connections are tried for ever.
        open_timeout_s: for each socket to open, and again for each to be authenticated.
        timeout_s: for a request, where the call does not say.
        queue_limit: how many messages a stream holds for its reader.
        pending_limit: how many requests may wait for an answer.
        max_message_bytes: the longest message to accept from the hub.
        backoff_first_s, backoff_most_s: the ceiling of the random delay before the first new connection, and its end.
        stable_s: how long a connection must hold before that ceiling falls back to the first.
    """

    subprotocols: tuple[Subprotocol, ...] = (Subprotocol.JSON,)
    ssl: SSLContext | None = None
    patience_s: float = 0.0
    open_timeout_s: float = 10.0
    timeout_s: float = 10.0
    queue_limit: int = 1_000
    pending_limit: int = 1_000
    max_message_bytes: int = 1 << 20
    backoff_first_s: float = 1.0
    backoff_most_s: float = 60.0
    stable_s: float = 10.0


def endpoint_url(url: str, endpoint: Endpoint) -> str:
    """The address of an endpoint below a hub's WebSocket address; either endpoint's own address will do, too.

    Raises:
        ValueError: it is not a ``ws`` or ``wss`` address, or it holds credentials. The text never repeats it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("the hub's address must look like ws://host:8080/api/websocket or wss://…")
    if "@" in parts.netloc:
        raise ValueError("the hub's address must not hold credentials: give them as arguments")
    base = parts.path.rstrip("/")
    for other in Endpoint:
        base = base.removesuffix(f"/{other.value}")
    return parts._replace(path=f"{base}/{endpoint.value}").geturl()


async def open_socket(url: str, options: Options) -> ClientConnection:
    """Open a socket.

    Raises:
        OSError, TimeoutError, InvalidHandshake: there is none.
    """
    # ssl=None would be taken for "no TLS" even where the address says wss.
    tls: dict[str, Any] = {} if options.ssl is None else {"ssl": options.ssl}
    return await connect(
        url,
        subprotocols=[OfferedSubprotocol(name.value) for name in options.subprotocols] or None,
        compression=None,
        open_timeout=options.open_timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        max_size=options.max_message_bytes,
        user_agent_header=f"hub-client/{__version__}",
        logger=_socket_log,
        **tls,
    )


def retry_after_s(values: list[str]) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date."""
    if not values:
        return None
    if values[0].isascii() and values[0].isdigit():
        return float(values[0])
    try:
        moment = parsedate_to_datetime(values[0])
    except ValueError:
        return None
    return max(0.0, (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds())
