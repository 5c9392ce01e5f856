"""Whose keys are meant, and which key bounds what is made."""

from hub.actions.caller import Caller
from hub.core.attenuation import covers
from hub.gateway import Gateway
from hub.store import Tx
from protocol.account_views import ShownKey
from protocol.entities import AccessKey
from protocol.errors import BAD_USER_ID, GRANTS_TOO_MUCH, NOT_AUTHENTICATED, HubError
from protocol.names import KeyType
from protocol.requests import to_integer


def to_user_id(named: str) -> int:
    """The number in a path that names a user.

    Raises:
        BadRequest: it is none.
    """
    try:
        number = to_integer(named, "userId")
    except HubError as exc:
        raise BAD_USER_ID.error(value=named) from exc
    assert number is not None, "a segment of a path is never null"
    return number


def maker_of(tx: Tx, gateway: Gateway, caller: Caller) -> AccessKey | None:
    """The key whose rights bound what is made; None: whoever asks is free, as users and their logins are."""
    key = caller.principal.key
    if not gateway.policy.keys_attenuate or key is None:
        return None
    present = tx.key(key.id)
    if present is None:
        raise NOT_AUTHENTICATED.error()
    return None if present.type is KeyType.SESSION else present


def is_covered(maker: AccessKey | None, key: AccessKey) -> bool:
    """Whether a maker may have what a key has."""
    return maker is None or covers(maker, key)


def check_covered(maker: AccessKey | None, *keys: AccessKey) -> None:
    """Let keys pass that a maker may make.

    Raises:
        Forbidden: one of them has more than its maker.
    """
    if not all(is_covered(maker, key) for key in keys):
        raise GRANTS_TOO_MUCH.error()


def shown_key(tx: Tx, key: AccessKey, maker: AccessKey | None) -> ShownKey:
    """A key as a maker sees it."""
    # A key that could read one with more rights would have those rights.
    readable = tx.readable_key(key.id) if is_covered(maker, key) else None
    return ShownKey(key, readable or key.masked)
