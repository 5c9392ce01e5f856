"""One transaction, from inside: the entities and every rule that the database keeps for them.

Written against SQLAlchemy Core and a synchronous connection only, so that every database runs the same code. Beginning
and ending the transaction is the store's business.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select, update

from hub.store import Idempotency, Keeper
from hub.store.class_entities import ClassEntities
from hub.store.key_entities import KeyEntities
from hub.store.oauth_entities import OAuthEntities
from hub.store.schema import (
    REPEATABLE_MS,
    access_key,
    activity,
    command,
    configuration,
    device,
    installation,
    notification,
    oauth_client,
    user,
)
from hub.store.secrets import Secrets
from hub.store.transaction import LogWriter
from hub.store.user_entities import UserEntities
from protocol.entities import Device
from protocol.messages import Message
from protocol.names import Kind

_PEPPER = "pepper"
"""What is hashed with the pepper, to recognise it."""


class Entities(UserEntities, ClassEntities, KeyEntities):
    """:class:`hub.store.Tx` over a SQLAlchemy connection that is inside a transaction; made for one piece of work."""

    def __init__(self, connection: Connection, *, log: LogWriter, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        super().__init__(connection, log=log, secrets=secrets, now_ms=now_ms)
        self._appended: list[tuple[Message, Device]] = []

    @property
    def oauth(self) -> OAuthEntities:
        return OAuthEntities(
            self._sql,
            secrets=self._secrets,
            changed=self._changed,
            all_changed=self._all_changed,
            delete_keys=self._delete_keys,
        )

    # --- the installation ---

    def has_pepper(self) -> bool:
        mark = select(installation.c.value).where(installation.c.name == _PEPPER)
        known = self._sql.execute(mark).scalar()
        if known is None:
            self._sql.write(insert(installation).values(name=_PEPPER, value=self._secrets.hash(_PEPPER)))
            return True
        return self._secrets.matches(_PEPPER, known)

    def pepper_mark(self) -> str:
        return self._secrets.hash(_PEPPER)

    def kept_secrets(self, entity: Keeper, row_id: int) -> dict[str, str | None]:
        table, names = _KEPT[entity]
        kept = self._sql.execute(select(*(table.c[name] for name in names)).where(table.c.id == row_id))
        return dict(zip(names, kept.one(), strict=True))

    def put_secrets(self, entity: Keeper, row_id: int, secrets: Mapping[str, str | None]) -> None:
        table, names = _KEPT[entity]
        values: dict[str, Any] = {name: secrets[name] for name in names}
        if entity == "user":
            values["password_changes"] = user.c.password_changes + 1
        self._sql.update(table, row_id, values)
        if entity == "device":
            self._devices_changed(device.c.id == row_id)
        else:
            self._changed(entity, row_id)

    # --- configuration ---

    def configuration(self) -> dict[str, str]:
        written = select(configuration.c.name, configuration.c.value).order_by(configuration.c.name)
        return {row.name: row.value for row in self._sql.execute(written)}

    def configuration_value(self, name: str) -> str | None:
        found = select(configuration.c.value).where(configuration.c.name == name)
        value: str | None = self._sql.execute(found).scalar()
        return value

    def put_configuration(self, name: str, value: str) -> None:
        version = configuration.c.entity_version + 1
        existing = update(configuration).where(configuration.c.name == name)
        if not self._sql.write(existing.values(value=value, entity_version=version)):
            self._sql.insert(configuration, name=name, value=value)
        self._changed("configuration", None)

    def delete_configuration(self, name: str) -> None:
        if self._sql.write(delete(configuration).where(configuration.c.name == name)):
            self._changed("configuration", None)

    # --- messages and activity ---

    def append(self, message: Message, device: Device, idempotency: Idempotency | None = None) -> None:
        self._log.append([message])
        if idempotency is not None:
            self._log.remember(message, idempotency)
        self._appended.append((message, device))

    def message_device(self, kind: Kind, message_id: int) -> int | None:
        log = notification if kind is Kind.NOTIFICATION else command
        device_id: int | None = self._sql.execute(select(log.c.device_id).where(log.c.id == message_id)).scalar()
        return device_id

    def delete_messages(self, device_ids: Sequence[int], *, limit: int) -> int:
        gone = 0
        for log in (notification, command):
            chosen = select(log.c.id).where(log.c.device_id.in_(device_ids)).limit(limit - gone)
            gone += self._sql.write(delete(log).where(log.c.id.in_(chosen)))
        return gone

    def repeated(self, device_id: int, idempotency: Idempotency) -> Message | None:
        return self._log.repeated(device_id, idempotency, since_ms=self._now_ms() - REPEATABLE_MS)

    def appended(self) -> list[tuple[Message, Device]]:
        return list(self._appended)

    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        self._log.touch(activity)

    def forget_activity(self, device_id: int) -> None:
        self._sql.write(delete(activity).where(activity.c.device_id == device_id))


_KEPT: dict[Keeper, tuple[Table, tuple[str, ...]]] = {
    "user": (user, ("password_hash", "password_salt")),
    "device": (device, ("key",)),
    "key": (access_key, ("key", "key_start", "key_sealed")),
    "oauth_client": (oauth_client, ("secret_sealed",)),
}
"""The columns that hold what is kept of secrets."""
