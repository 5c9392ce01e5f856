"""Request bodies: bounded, of the right type, and one object."""

from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive

from hub.rest.callers import Headers
from hub.rest.route import Media, Route
from protocol.codecs import Codec
from protocol.errors import BAD_PARAMETER, TOO_LARGE, WRONG_TYPE, HubError
from protocol.requests import Members


def has_body(headers: Headers) -> bool:
    """Whether a request announces one."""
    return headers.get("content-length", "0").strip() not in ("", "0") or "transfer-encoding" in headers


def check_type(headers: Headers, route: Route) -> None:
    """Refuse a body of a type that the route does not take.

    Raises:
        BadRequest: 415.
    """
    if not has_body(headers) or route.media is Media.TEXT:
        return
    if headers.get("content-type", "").partition(";")[0].strip().lower() != route.media.value:
        raise WRONG_TYPE.error()


async def read(receive: Receive, headers: Headers, *, most: int) -> bytes:
    """The whole body.

    Raises:
        LimitReached: it is larger than ``most`` bytes; what announces itself as too large is not read at all.
        BadRequest: the client went away before its end.
    """
    announced = headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced) > most:
        raise too_large(most)
    pieces, size = [], 0
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            # Nobody hears the answer, but half a body must not be taken for an empty one, which may mean something.
            raise BAD_PARAMETER.error()
        piece = event.get("body", b"")
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise too_large(most)
        if not event.get("more_body"):
            return b"".join(pieces)


def too_large(most: int) -> HubError:
    return TOO_LARGE.error(value=most, detail={"limit": "http-body-bytes", "value": most})


def to_members(payload: bytes, codec: Codec) -> Members | None:
    """The members of a JSON body; None: it is empty, which is no object.

    Raises:
        BadRequest: it is not one object, too deep, or holds what the data model does not.
    """
    if not payload.strip():
        return None
    try:
        members: dict[str, Any] = codec.decode(payload)
    except HubError as exc:
        raise BAD_PARAMETER.error() from exc
    return members


FIELDS = 64
"""Fields that a form may have: far more than any that we take."""


def to_fields(payload: bytes) -> Members | None:
    """The fields of a body as browsers send forms; None: it is empty.

    Raises:
        BadRequest: it is no such body, or a field is there twice: nobody could say which of them is meant.
    """
    if not payload.strip():
        return None
    try:
        pairs = parse_qsl(payload.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError as exc:
        raise BAD_PARAMETER.error() from exc
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise BAD_PARAMETER.error()
    return fields
