"""Users, as the database keeps them."""

from typing import Any

from sqlalchemy import delete, func, select, update

from hub.store import Listing, Provider, lists, queries, rows
from hub.store.schema import access_key, device, link, user
from hub.store.transaction import Transaction, present, text_of
from protocol.entities import User
from protocol.names import UserRole, UserStatus
from protocol.requests import UNSET, Unset

_IDENTITIES = {"google": user.c.google_login, "facebook": user.c.facebook_login, "github": user.c.github_login}


class UserEntities(Transaction):
    """Users inside a transaction."""

    def user(self, user_id: int) -> User | None:
        return self._sql.one(queries.USERS.where(user.c.id == user_id), rows.to_user)

    def user_by_login(self, login: str) -> User | None:
        named = (user.c.login == login) & (user.c.status != UserStatus.DELETED)
        return self._sql.one(queries.USERS.where(named), rows.to_user)

    def user_by_identity(self, provider: Provider, login: str) -> User | None:
        column = _IDENTITIES[provider]
        known = (func.lower(column) == func.lower(login)) & (user.c.status != UserStatus.DELETED)
        # Identities are unique to the letter only: several may match, and the nearest is meant.
        nearest = queries.USERS.where(known).order_by(column != login, user.c.id).limit(1)
        return self._sql.one(nearest, rows.to_user)

    def users(self) -> list[User]:
        return self._sql.all(queries.USERS.order_by(user.c.id), rows.to_user)

    def list_users(self, listing: Listing) -> list[User]:
        return self._sql.listed(lists.users(listing), queries.USERS, rows.to_user)

    def active_administrators(self) -> int:
        active = (user.c.role == UserRole.ADMIN) & (user.c.status == UserStatus.ACTIVE)
        return int(self._sql.execute(select(func.count()).select_from(user).where(active)).scalar_one())

    def insert_user(
        self,
        *,
        login: str,
        role: UserRole,
        status: UserStatus = UserStatus.ACTIVE,
        password_hash: str | None = None,
        password_salt: str | None = None,
        google_login: str | None = None,
        facebook_login: str | None = None,
        github_login: str | None = None,
        data: Any = None,
    ) -> User:
        user_id = self._sql.insert(
            user,
            login=login,
            role=int(role),
            status=int(status),
            password_hash=password_hash,
            password_salt=password_salt,
            google_login=google_login,
            facebook_login=facebook_login,
            github_login=github_login,
            data=rows.to_text(data),
        )
        self._changed("user", user_id)
        return present(self.user(user_id))

    def update_user(
        self,
        user_id: int,
        *,
        login: str | Unset = UNSET,
        role: UserRole | Unset = UNSET,
        status: UserStatus | Unset = UNSET,
        google_login: str | None | Unset = UNSET,
        facebook_login: str | None | Unset = UNSET,
        github_login: str | None | Unset = UNSET,
        data: Any = UNSET,
    ) -> None:
        values = {
            "login": login,
            "role": role,
            "status": status,
            "google_login": google_login,
            "facebook_login": facebook_login,
            "github_login": github_login,
            "data": text_of(data),
        }
        if self._sql.update(user, user_id, values):
            self._changed("user", user_id)

    def set_password(self, user_id: int, *, password_hash: str | None, ends_sessions: bool = True) -> None:
        changes = user.c.password_changes + int(ends_sessions)
        values = {"password_hash": password_hash, "password_salt": None, "password_changes": changes}
        if self._sql.update(user, user_id, values):
            self._changed("user", user_id)

    def record_login(self, user_id: int, *, now_ms: int | None, login_attempts: int) -> None:
        values: dict[str, Any] = {"login_attempts": login_attempts}
        if now_ms is not None:
            values["last_login_ms"] = now_ms
        self._sql.write(update(user).where(user.c.id == user_id).values(values))

    def delete_user(self, user_id: int) -> bool:
        for key_id in self._sql.column(select(access_key.c.id).where(access_key.c.user_id == user_id)):
            self._changed("key", key_id)
        owned = (link.c.owner_type == "user") & (link.c.owner_id == user_id)
        linked = select(link.c.target_id).where(owned, link.c.target_type == "device")
        self._devices_changed(device.c.id.in_(linked))
        self._sql.write(delete(link).where(owned))
        return self._delete(user, user_id, "user")
