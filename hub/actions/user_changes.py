"""What changes about a user: the checks in the order that DeviceHive has them, and the change itself."""

from collections.abc import Mapping
from typing import Any

from hub.store import Provider, Tx
from protocol.account_forms import UpdateCurrentUser
from protocol.entities import User
from protocol.errors import IDENTITY_TAKEN, LAST_ADMINISTRATOR, LOGIN_TAKEN, ROLE_REFUSED, USER_NOT_FOUND
from protocol.names import KeyType
from protocol.requests import UNSET, Unset

PROVIDER_OF: Mapping[str, Provider] = {
    "google_login": "google",
    "facebook_login": "facebook",
    "github_login": "github",
}


def check_free(tx: Tx, login: str | None | Unset, identities: Mapping[str, str | None], *, but: int = 0) -> None:
    """Refuse logins that another user has.

    Args:
        but: the user who may have them.

    Raises:
        Forbidden: the login first, then those at identity providers.
    """
    if login and _is_other(tx.user_by_login(login), but):
        raise LOGIN_TAKEN.error()
    for name, identity in identities.items():
        if identity is not None and _is_other(tx.user_by_identity(PROVIDER_OF[name], identity), but):
            raise IDENTITY_TAKEN.error()


def _is_other(user: User | None, but: int) -> bool:
    return user is not None and user.id != but


def keep_an_administrator(tx: Tx, before: User) -> None:
    """Refuse what has just left the hub without anybody to manage it.

    Args:
        before: the user who was changed, as it was.
    """
    if before.is_admin and before.is_active and tx.active_administrators() == 0:
        raise LAST_ADMINISTRATOR.error()


def end_sessions(tx: Tx, user_id: int, *, but: int | None = None) -> None:
    """Delete the session keys of a user, who has a new password.

    Args:
        but: the key that may stay.
    """
    for key in tx.keys(user_id):
        if key.type is KeyType.SESSION and key.id != but:
            tx.delete_key(key.id)


class UserChange:
    """One change of a user. :meth:`check` it, find out about its password, then :meth:`apply` it in a transaction.

    Args:
        as_admin: whether it goes by the rules for administrators, whoever the user is.
        keeps_session: the key with which it is made; a new password ends every other login of the user.
    """

    def __init__(self, ask: UpdateCurrentUser, user_id: int, *, as_admin: bool, keeps_session: int | None) -> None:
        self.ask = ask
        self._as_admin = as_admin
        self._user_id = user_id
        self._keeps_session = keeps_session
        self._login = ask.login.strip() if isinstance(ask.login, str) else ask.login

    def is_free(self, user: User) -> bool:
        """Whether no old password is needed, and role and status may change."""
        return self._as_admin or user.is_admin

    def check(self, tx: Tx) -> User:
        """What is looked at before any password. Returns the user as it is.

        Raises:
            NotFound, Forbidden: there is no such user; another one has the login.
        """
        user = tx.user(self._user_id)
        if user is None:
            raise USER_NOT_FOUND.error()
        check_free(tx, self._login, self.ask.identities, but=user.id)
        return user

    def apply(self, tx: Tx, user: User, password_hash: str | Unset) -> None:
        """Change the user.

        Raises:
            BadRequest, Forbidden: rules are broken; the caller may not; nobody would be left to manage the hub.
        """
        if not self.is_free(user) and (self.ask.role is not UNSET or self.ask.status is not UNSET):
            raise ROLE_REFUSED.error()
        values = {"login": self._login, **self.ask.identities}
        self.ask.check(**values)
        changes: dict[str, Any] = {**values, "data": self.ask.data, **self._standing()}
        tx.update_user(user.id, **changes)
        if not isinstance(password_hash, Unset):
            tx.set_password(user.id, password_hash=password_hash)
            end_sessions(tx, user.id, but=self._keeps_session)
        keep_an_administrator(tx, user)

    def _standing(self) -> dict[str, Any]:
        """Role and status; null leaves them as they are."""
        given = {"role": self.ask.role, "status": self.ask.status}
        return {name: value for name, value in given.items() if value is not None}
