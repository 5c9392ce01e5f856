"""Answers of the REST API: their headers, their bodies, and how an error looks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from protocol.errors import HubError
from protocol.views import Many

METHODS = "OPTIONS, GET, POST, PUT, DELETE, HEAD"
ALLOWED_HEADERS = (
    "Origin, Authorization, Accept, Content-Type, Auth-DeviceID, Auth-DeviceKey, Hub-Version, Idempotency-Key, "
    "Last-Event-ID"
)

JSON_TYPE = "application/json"
EVENT_STREAM = "text/event-stream"


@dataclass(slots=True)
class Reply:
    """An answer on its way out.

    Attributes:
        is_endless: the body follows by itself, until the connection ends.
    """

    status: int
    body: bytes = b""
    media: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    is_endless: bool = False

    def raw_headers(self, *, with_credentials: bool) -> list[tuple[bytes, bytes]]:
        """The headers as ASGI takes them, with those that every answer has."""
        headers = {
            "access-control-allow-origin": "*",
            "access-control-allow-methods": METHODS,
            "access-control-allow-headers": ALLOWED_HEADERS,
            "access-control-max-age": "0",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
            **self.headers,
        }
        if with_credentials:
            headers["access-control-allow-credentials"] = "true"
        if self.media is not None:
            headers["content-type"] = self.media
        if self.is_endless:
            headers["connection"] = "close"
        elif self.status != 204:
            headers["content-length"] = str(len(self.body))
        return [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]


def in_json(status: int, body: Any) -> Reply:
    """An answer with a body; ``orjson.Fragment`` in it is JSON that was checked when it came in."""
    return Reply(status, orjson.dumps(body), JSON_TYPE)


async def in_json_calmly(status: int, body: Any) -> Reply:
    """The same of a body that may hold many of something: others have their turns between the pieces of it."""
    if isinstance(body, Many):
        return Reply(status, await _encoded(body), JSON_TYPE)
    if isinstance(body, dict):
        many = {name: value for name, value in body.items() if isinstance(value, Many)}
        body = body | {name: orjson.Fragment(await _encoded(value)) for name, value in many.items()}
    return in_json(status, body)


async def _encoded(many: Many[Any]) -> bytes:
    pieces: list[bytes] = []
    for piece in many.pieces():
        if pieces:
            await asyncio.sleep(0)
        pieces.append(orjson.dumps(piece)[1:-1])
    return b"[" + b",".join(pieces) + b"]"


def refused(error: HubError, *, bare: bool, extended: bool, headers: Mapping[str, str] = {}) -> Reply:
    """How an error looks.

    Args:
        bare: without the code in the body, as DeviceHive has it where its framework refuses.
        extended: whether the caller asked for reasons.
    """
    members: dict[str, Any] = {"error": None if bare else error.code, "message": error.text}
    if extended:
        members["reason"] = error.reason
        if error.detail:
            members["detail"] = error.detail
        if error.retry_after_s is not None:
            members["retryAfter"] = error.retry_after_s
    reply = in_json(error.code, members)
    reply.headers.update(headers)
    return reply
