"""Access keys with their permissions, as the database keeps them."""

from collections.abc import Sequence

from sqlalchemy import delete, null, select

from hub.store import Listing, NewKey, lists, queries, rows
from hub.store.portable import one_of
from hub.store.schema import access_key, access_key_permission
from hub.store.secrets import START_LENGTH, new_key
from hub.store.transaction import Transaction, present
from protocol.entities import AccessKey, KeyPermission
from protocol.names import KeyType
from protocol.requests import UNSET, Unset


class KeyEntities(Transaction):
    """Access keys inside a transaction."""

    def key(self, key_id: int) -> AccessKey | None:
        return self._sql.one(queries.KEYS.where(access_key.c.id == key_id), rows.to_key)

    def keys(self, user_id: int | None = None) -> list[AccessKey]:
        found = queries.KEYS.order_by(access_key.c.id)
        return self._sql.all(found if user_id is None else found.where(access_key.c.user_id == user_id), rows.to_key)

    def key_by_label(self, user_id: int, label: str) -> AccessKey | None:
        named = (access_key.c.user_id == user_id) & (access_key.c.label == label)
        return self._sql.one(queries.KEYS.where(named).order_by(access_key.c.id).limit(1), rows.to_key)

    def list_keys(self, user_id: int, listing: Listing) -> list[AccessKey]:
        return self._sql.listed(lists.keys(user_id, listing), queries.KEYS, rows.to_key)

    def insert_key(
        self,
        *,
        user_id: int,
        label: str,
        permissions: Sequence[KeyPermission],
        type: KeyType = KeyType.DEFAULT,  # noqa: A002
        expires_ms: int | None = None,
    ) -> NewKey:
        secret = new_key()
        kept = self._kept(secret)
        key_id = self._sql.insert(
            access_key, user_id=user_id, label=label, type=int(type), expires_ms=expires_ms, **kept
        )
        self._insert_permissions(key_id, permissions)
        self._changed("key", key_id)
        return NewKey(key=present(self.key(key_id)), secret=secret)

    def update_key(
        self,
        key_id: int,
        *,
        label: str | Unset = UNSET,
        permissions: Sequence[KeyPermission] | Unset = UNSET,
        type: KeyType | Unset = UNSET,  # noqa: A002
        expires_ms: int | None | Unset = UNSET,
    ) -> None:
        values = {"label": label, "type": type, "expires_ms": expires_ms}
        if not self._sql.update(access_key, key_id, values, even_without_values=permissions is not UNSET):
            return
        if not isinstance(permissions, Unset):
            self._sql.write(delete(access_key_permission).where(access_key_permission.c.access_key_id == key_id))
            self._insert_permissions(key_id, permissions)
        self._changed("key", key_id)

    def renew_key(self, key_id: int) -> NewKey:
        secret = new_key()
        self._sql.update(access_key, key_id, self._kept(secret))
        self._changed("key", key_id)
        return NewKey(key=present(self.key(key_id)), secret=secret)

    def _kept(self, secret: str) -> dict[str, str | None]:
        """What is stored of the secret of a key."""
        key_hash = self._secrets.hash(secret)
        sealed = self._secrets.seal(secret, key_hash)
        return {"key": key_hash, "key_start": secret[:START_LENGTH], "key_sealed": sealed}

    def delete_key(self, key_id: int) -> bool:
        return self._delete(access_key, key_id, "key")

    def delete_expired_keys(self, before_ms: int, *, limit: int) -> int:
        """Delete keys that expired before a time. Returns how many; as many as ``limit``: ask again."""
        expired = select(access_key.c.id).where(access_key.c.expires_ms < before_ms).limit(limit)
        return self._delete_keys(self._sql.column(expired))

    def _delete_keys(self, key_ids: Sequence[int]) -> int:
        """Delete these keys with what hangs on them. Returns how many there were."""
        those = one_of(access_key.c.id, key_ids)
        self._all_changed("key", select(access_key.c.id, null()).where(those))
        return self._sql.write(delete(access_key).where(those))

    def readable_key(self, key_id: int) -> str | None:
        columns = select(access_key.c.key_sealed, access_key.c.key).where(access_key.c.id == key_id)
        row = self._sql.execute(columns).one_or_none()
        return None if row is None else self._secrets.unseal(row.key_sealed, row.key)

    def _insert_permissions(self, key_id: int, permissions: Sequence[KeyPermission]) -> None:
        for permission in permissions:
            self._sql.insert(
                access_key_permission,
                access_key_id=key_id,
                domains=rows.to_text(permission.domains),
                subnets=rows.to_text(permission.subnets),
                actions=rows.to_text(permission.actions),
                network_ids=rows.to_text(permission.network_ids),
                device_guids=rows.to_text(permission.device_guids),
            )
