"""The opening handshake: which connection a request asks for, and who sends it."""

import base64
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from websockets.datastructures import Headers, MultipleValuesError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol as SubprotocolName

from hub.core.access import ANONYMOUS, Peer, Principal
from hub.core.origins import same_site
from hub.gateway import Gateway
from hub.web.edge import Edge
from protocol.codecs import Codec
from protocol.errors import BAD_CREDENTIALS
from protocol.names import Endpoint, Subprotocol

QUIET = logging.getLogger("hub.websockets")
"""The library logs each connection; we count them instead."""
QUIET.setLevel(logging.CRITICAL)

_OURS = frozenset(one.value for one in Subprotocol)


@dataclass(slots=True, frozen=True)
class Opening:
    """What a valid handshake asks for."""

    endpoint: Endpoint
    codec: Codec
    extended: bool
    peer: Peer
    base_url: str


class Refused(Exception):
    """The handshake fails with this status and sentence."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def server_protocol(edge: Edge) -> ServerProtocol:
    """The library's half of a handshake, and of every frame when compression was agreed on."""
    extensions = None
    if edge.deflate:
        extensions = [
            ServerPerMessageDeflateFactory(
                server_no_context_takeover=True,
                client_no_context_takeover=True,
                compress_settings={"memLevel": 5},
            )
        ]
    return ServerProtocol(
        extensions=extensions,
        select_subprotocol=_select,
        max_size=edge.limits.message_bytes,
        logger=QUIET,
    )


def _select(protocol: ServerProtocol, offered: Sequence[SubprotocolName]) -> SubprotocolName | None:
    """The first of ours that is offered; any other name is passed over."""
    return next((name for name in offered if str(name) in _OURS), None)


def read_opening(edge: Edge, request: Request, subprotocol: str | None, *, peer: str | None, secure: bool) -> Opening:
    """What a request asks for.

    Raises:
        Refused: the path is none of ours, or it is not clear which host is meant.
    """
    if len(request.headers.get_all("Host")) > 1:
        raise Refused(HTTPStatus.BAD_REQUEST, "Only one Host header")
    path = request.path.partition("?")[0]
    for context in edge.context_paths:
        for endpoint in Endpoint:
            if path == f"{context}/websocket/{endpoint.value}":
                return _opening(edge, request, endpoint, context, subprotocol, peer=peer, secure=secure)
    raise Refused(HTTPStatus.NOT_FOUND, "No such path; try /api/websocket/client or /api/websocket/device")


def _opening(
    edge: Edge,
    request: Request,
    endpoint: Endpoint,
    context: str,
    subprotocol: str | None,
    *,
    peer: str | None,
    secure: bool,
) -> Opening:
    headers = [(name.lower(), value) for name, value in request.headers.raw_items()]
    source = edge.proxies.source(peer, headers, secure=secure)
    origin = next((value for name, value in headers if name == "origin"), None)
    host = next((value for name, value in headers if name == "host"), "localhost")
    return Opening(
        endpoint,
        edge.codecs[subprotocol],
        subprotocol is not None,
        Peer(source.address, origin),
        (edge.public_url or f"{'https' if source.secure else 'http'}://{host}") + context,
    )


def has_credentials(headers: Headers) -> bool:
    """Whether a handshake says who it is."""
    return "Authorization" in headers or "Auth-DeviceID" in headers or "Auth-DeviceKey" in headers


async def authenticate(edge: Edge, headers: Headers, opening: Opening) -> Principal:
    """Who sends a handshake.

    Raises:
        Unauthorized: the credentials are wrong, or of a kind that nobody knows.
        LimitReached: this key, or this device, comes too often.
    """
    gateway = edge.gateway
    try:
        authorization = headers.get("Authorization")
        device_guid, device_key = headers.get("Auth-DeviceID"), headers.get("Auth-DeviceKey")
    except MultipleValuesError as exc:
        raise BAD_CREDENTIALS.error() from exc
    if authorization is None:
        if device_guid is None or device_key is None:
            return ANONYMOUS
        gateway.admission.pace(device_guid, device_key)
        return await gateway.logins.by_device(device_guid, device_key)
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        gateway.admission.pace(value.strip())
        return await gateway.logins.by_key(value.strip(), opening.peer)
    if scheme.lower() == "basic":
        return await _basic(edge, gateway, value.strip(), headers, opening)
    raise BAD_CREDENTIALS.error()


async def _basic(edge: Edge, gateway: Gateway, value: str, headers: Headers, opening: Opening) -> Principal:
    """Basic credentials. A browser attaches stored ones by itself, so from a foreign origin they do not count."""
    if not same_site(opening.peer.origin, headers.get("Host", ""), edge.allowed_origins):
        return ANONYMOUS
    try:
        login, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError as exc:  # No base64, no ASCII, no UTF-8.
        raise BAD_CREDENTIALS.error() from exc
    if not colon:
        raise BAD_CREDENTIALS.error()
    return await gateway.logins.by_password(login, password, opening.peer)


def refusal(protocol: ServerProtocol, status: HTTPStatus, text: str, *, retry_after_s: float | None = None) -> Response:
    """An HTTP answer in place of the upgrade."""
    response = protocol.reject(status, text + "\n")
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(retry_after_s))
    return response
