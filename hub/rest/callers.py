"""Who sends a request: Basic, Bearer, a device's two headers, or nobody."""

import base64
import math
from collections.abc import Mapping

from hub.core.access import ANONYMOUS, Peer, Principal
from hub.gateway import Gateway
from protocol.errors import BAD_CREDENTIALS, NOT_AUTHENTICATED, Unauthorized

Headers = Mapping[str, str]

_BASIC, _BEARER = (f'{scheme} realm="devicehive"' for scheme in ("Basic", "Bearer"))
CHALLENGES = (_BASIC, _BEARER)
"""What ``WWW-Authenticate`` may say."""


async def authenticate(gateway: Gateway, headers: Headers, peer: Peer) -> Principal:
    """The principal of a request. An ``Authorization`` header wins over a device's headers.

    Args:
        headers: by name in lower case.

    Raises:
        Unauthorized: credentials are there, and wrong or of a kind that nobody knows.
    """
    authorization = headers.get("authorization")
    if authorization is None:
        guid, key = headers.get("auth-deviceid"), headers.get("auth-devicekey")
        return ANONYMOUS if guid is None or key is None else await gateway.logins.by_device(guid, key)
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "basic":
        login, password = _split(value.strip())
        return await gateway.logins.by_basic(login, password, peer)
    if scheme.lower() != "bearer":
        raise NOT_AUTHENTICATED.error()
    try:
        return await gateway.logins.by_known_key(value.strip(), peer)
    except Unauthorized as exc:
        raise NOT_AUTHENTICATED.error() from exc


def _split(value: str) -> tuple[str, str]:
    try:
        login, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError as exc:  # No base64, no ASCII, no UTF-8.
        raise BAD_CREDENTIALS.error() from exc
    if not colon or "\0" in login:  # PostgreSQL has no such text.
        raise BAD_CREDENTIALS.error()
    return login.strip(), password.strip()


def uses_basic(headers: Headers) -> bool:
    """Whether the credentials are of the kind that a browser attaches by itself."""
    return headers.get("authorization", "").strip().lower().startswith("basic")


def challenge(headers: Headers) -> str:
    """What ``WWW-Authenticate`` says. A page gets no Basic, or its browser would open a window for passwords."""
    bearer = headers.get("authorization", "").strip().lower().startswith("bearer")
    by_page = "origin" in headers or "x-requested-with" in headers
    return _BEARER if bearer or by_page else _BASIC


def seconds(retry_after_s: float) -> str:
    """A ``Retry-After``: whole seconds, never too early."""
    return str(math.ceil(retry_after_s))
