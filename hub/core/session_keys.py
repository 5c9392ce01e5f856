"""Session keys: what a login is exchanged for."""

from protocol.entities import KeyPermission, User
from protocol.names import ADMIN_ACTIONS, LABEL_MAX, KeyAction

_FULL = KeyPermission()
_CLIENT = KeyPermission(actions=tuple(action.value for action in KeyAction if action not in ADMIN_ACTIONS))


def session_label(login: str, now_ms: int) -> str:
    """The label of a session key; of a long login only as much as there is room for."""
    before, after = "OAuth token for: ", f"({now_ms})"
    return before + login[: LABEL_MAX - len(before) - len(after)] + after


def session_permission(user: User) -> KeyPermission:
    """What a login may do: everything, or everything that clients may."""
    return _FULL if user.is_admin else _CLIENT
