"""The sockets that most bytes wait for: a question about single connections, which metrics cannot answer."""

from heapq import nlargest
from typing import Any, Protocol

from starlette.requests import Request

from hub.core.access import parse_address
from hub.core.connection import Connection
from hub.web.edge import Edge

DEFAULT, MOST = 10, 100


class Slow(Protocol):
    """What is asked of a socket."""

    connection: Connection

    @property
    def unsent(self) -> int: ...

    def waited_s(self, now_s: float) -> float: ...


def slowest(edge: Edge, count: int) -> list[dict[str, Any]]:
    """The ``count`` sockets that most bytes wait for, the largest first; none that is up to date."""
    behind = [one for one in edge.stalled if one.unsent]
    largest: list[Any] = nlargest(count, behind, key=lambda one: one.unsent)
    return [_shown(one, edge.wheel.now_s) for one in largest]


def _shown(one: Slow, now_s: float) -> dict[str, Any]:
    connection = one.connection
    address = connection.peer.address
    return {
        "principal": connection.principal.identity,
        "endpoint": connection.endpoint.value,
        "address": None if address is None else str(address),
        "bytes": one.unsent,
        "limit": connection.outbox.limit,
        "waitedSeconds": round(one.waited_s(now_s), 3),
    }


def asked_count(text: str | None) -> int | None:
    """How many are asked for; None: what stands there is no number from 1 to ``MOST``."""
    if text is None:
        return DEFAULT
    return int(text) if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST else None


def is_from_here(request: Request) -> bool:
    """Whether somebody on this computer asks, and not through a proxy."""
    address = parse_address(request.client.host) if request.client is not None else None
    through = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via"))
    return address is not None and address.is_loopback and not through
