"""One transaction, from inside: the entities and every rule that the database keeps for them.

Written against SQLAlchemy Core and a synchronous connection only, so that every database runs the same code. Beginning
and ending the transaction is the store's business.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    update,
)

from hub.store import (
    Change,
    Idempotency,
    Keeper,
    Listing,
    NewKey,
    Provider,
    Where,
    device_lists,
    lists,
    queries,
    reaching,
    rows,
)
from hub.store.oauth_entities import OAuthEntities
from hub.store.portable import one_of
from hub.store.schema import (
    REPEATABLE_MS,
    access_key,
    access_key_permission,
    activity,
    change,
    command,
    configuration,
    device,
    device_class,
    device_equipment,
    installation,
    link,
    network,
    notification,
    oauth_client,
    retention,
    user,
    user_network,
)
from hub.store.schema import equipment as equipment_table
from hub.store.secrets import START_LENGTH, Secrets, new_key
from hub.store.statements import Statements
from protocol.entities import (
    AccessKey,
    Device,
    DeviceClass,
    Equipment,
    EquipmentState,
    KeyPermission,
    Network,
    User,
)
from protocol.messages import Message
from protocol.names import KeyType, Kind, UserRole, UserStatus
from protocol.requests import UNSET, SaveEquipment, Unset

T = TypeVar("T")

_PEPPER = "pepper"
"""What is hashed with the pepper, to recognise it."""

MANY = 100
"""From so many rows on, a change says "many of them" instead of naming each."""


class LogWriter(Protocol):
    """What each database does in its own way, for speed."""

    def append(self, messages: Sequence[Message]) -> None:
        """Store messages of one kind; those whose id is known are passed over."""

    def remember(self, message: Message, idempotency: Idempotency) -> None:
        """Keep which message an idempotency key has made."""

    def repeated(self, device_id: int, idempotency: Idempotency, *, since_ms: int) -> Message | None:
        """The message that an idempotency key has made after a time."""

    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Move last activity forward: (device id, milliseconds since 1970), unknown devices passed over."""

    def equip(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Add pieces of equipment to a class, all in one statement."""


class Entities:
    """:class:`hub.store.Tx` over a SQLAlchemy connection that is inside a transaction; made for one piece of work.

    Args:
        log: writes messages in the same transaction.
        now_ms: the present, in milliseconds since 1970.
    """

    def __init__(self, connection: Connection, *, log: LogWriter, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        self._sql = Statements(connection)
        self._log = log
        self._secrets = secrets
        self._now_ms = now_ms
        self._appended: list[tuple[Message, Device]] = []
        self._changes: list[Change] = []

    @property
    def oauth(self) -> OAuthEntities:
        return OAuthEntities(self._sql, secrets=self._secrets, changed=self._changed, delete_key=self.delete_key)

    # --- users ---

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
        return _present(self.user(user_id))

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
            "data": _text(data),
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

    # --- networks ---

    def network(self, network_id: int) -> Network | None:
        return self._sql.one(queries.NETWORKS.where(network.c.id == network_id), rows.to_network)

    def network_by_name(self, name: str) -> Network | None:
        return self._sql.one(queries.NETWORKS.where(network.c.name == name), rows.to_network)

    def networks(self) -> list[Network]:
        return self._sql.all(queries.NETWORKS.order_by(network.c.id), rows.to_network)

    def list_networks(self, listing: Listing, ids: frozenset[int] | None = None) -> list[Network]:
        return self._sql.listed(lists.networks(listing, ids), queries.NETWORKS, rows.to_network)

    def insert_network(self, *, name: str, key: str | None = None, description: str | None = None) -> Network:
        network_id = self._sql.insert(network, name=name, key=key, description=description)
        self._changed("network", network_id)
        return _present(self.network(network_id))

    def update_network(
        self,
        network_id: int,
        *,
        name: str | Unset = UNSET,
        key: str | None | Unset = UNSET,
        description: str | None | Unset = UNSET,
    ) -> None:
        if self._sql.update(network, network_id, {"name": name, "key": key, "description": description}):
            self._changed("network", network_id)

    def delete_network(self, network_id: int) -> bool:
        members = select(user_network.c.user_id).where(user_network.c.network_id == network_id)
        self._users_changed(members)
        self._forget_devices(device.c.network_id == network_id)
        return self._delete(network, network_id, "network")

    def add_member(self, user_id: int, network_id: int) -> None:
        if self._sql.insert_new(user_network, user_id=user_id, network_id=network_id):
            self._changed("user", user_id)

    def remove_member(self, user_id: int, network_id: int) -> None:
        membership = (user_network.c.user_id == user_id) & (user_network.c.network_id == network_id)
        if self._sql.write(delete(user_network).where(membership)):
            self._changed("user", user_id)

    # --- device classes ---

    def device_class(self, name: str, version: str) -> DeviceClass | None:
        named = (device_class.c.name == name) & (device_class.c.version == version)
        return self._sql.one(queries.CLASSES.where(named), rows.to_class)

    def class_by_id(self, class_id: int) -> DeviceClass | None:
        return self._sql.one(queries.CLASSES.where(device_class.c.id == class_id), rows.to_class)

    def device_classes(self) -> list[DeviceClass]:
        return self._sql.all(queries.CLASSES.order_by(device_class.c.id), rows.to_class)

    def list_classes(self, listing: Listing) -> list[DeviceClass]:
        return self._sql.listed(lists.classes(listing), queries.CLASSES, rows.to_class)

    def insert_class(
        self,
        *,
        name: str,
        version: str,
        is_permanent: bool = False,
        offline_timeout_s: int | None = None,
        data: Any = None,
    ) -> DeviceClass:
        class_id = self._sql.insert(
            device_class,
            name=name,
            version=version,
            is_permanent=is_permanent,
            offline_timeout_s=offline_timeout_s,
            data=rows.to_text(data),
        )
        self._changed("class", class_id)
        return _present(self.class_by_id(class_id))

    def update_class(
        self,
        class_id: int,
        *,
        name: str | Unset = UNSET,
        version: str | Unset = UNSET,
        is_permanent: bool | Unset = UNSET,
        offline_timeout_s: int | None | Unset = UNSET,
        data: Any = UNSET,
    ) -> None:
        values = {
            "name": name,
            "version": version,
            "is_permanent": is_permanent,
            "offline_timeout_s": offline_timeout_s,
            "data": _text(data),
        }
        if self._sql.update(device_class, class_id, values):
            self._changed("class", class_id)

    def delete_class(self, class_id: int) -> bool:
        self._forget_devices(device.c.device_class_id == class_id)
        return self._delete(device_class, class_id, "class")

    def equipment(self, class_id: int, equipment_id: int) -> Equipment | None:
        return self._sql.one(select(equipment_table).where(_piece(class_id, equipment_id)), rows.to_equipment)

    def insert_equipment(self, class_id: int, piece: SaveEquipment) -> Equipment:
        values = {"name": piece.name, "code": piece.code, "type": piece.type, "data": rows.to_text(piece.data)}
        equipment_id = self._sql.insert(equipment_table, device_class_id=class_id, **values)
        self._changed("class", class_id)
        return _present(self.equipment(class_id, equipment_id))

    def update_equipment(
        self,
        class_id: int,
        equipment_id: int,
        *,
        name: str | Unset = UNSET,
        code: str | Unset = UNSET,
        type: str | Unset = UNSET,  # noqa: A002
        data: Any = UNSET,
    ) -> None:
        values = {"name": name, "code": code, "type": type, "data": _text(data)}
        is_there = self.equipment(class_id, equipment_id) is not None
        if is_there and self._sql.update(equipment_table, equipment_id, values):
            self._changed("class", class_id)

    def delete_equipment(self, class_id: int, equipment_id: int) -> bool:
        gone = self._sql.write(delete(equipment_table).where(_piece(class_id, equipment_id))) > 0
        if gone:
            self._changed("class", class_id)
        return gone

    def replace_equipment(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        self._sql.write(delete(equipment_table).where(equipment_table.c.device_class_id == class_id))
        self._log.equip(class_id, equipment)
        self._sql.update(device_class, class_id, {}, even_without_values=True)
        self._changed("class", class_id)

    # --- devices ---

    def device(self, guid: str) -> Device | None:
        return self._sql.one(queries.DEVICES.where(device.c.guid == guid), rows.to_device)

    def devices(self, *, after: str = "", limit: int = 1_000) -> list[Device]:
        found = queries.DEVICES.where(device.c.guid > after).order_by(device.c.guid).limit(limit)
        return self._sql.all(found, rows.to_device)

    def list_devices(self, listing: Listing, reach: Sequence[Where] | None = None) -> list[Device]:
        found = lists.devices(listing)
        if reach is not None:
            found = found.where(reaching.within(self._sql, reach))
        return device_lists.list_devices(self._sql, found)

    def device_key_matches(self, device_id: int, key: str) -> bool:
        stored = self._sql.execute(select(device.c.key).where(device.c.id == device_id)).scalar()
        return stored is not None and self._secrets.matches(key, stored)

    def insert_device(
        self,
        *,
        guid: str,
        key: str,
        name: str,
        class_id: int,
        network_id: int | None = None,
        status: str | None = None,
        data: Any = None,
        is_blocked: bool = False,
    ) -> Device:
        device_id = self._sql.insert(
            device,
            guid=guid,
            key=self._secrets.hash(key),
            name=name,
            device_class_id=class_id,
            network_id=network_id,
            status=status,
            data=rows.to_text(data),
            is_blocked=is_blocked,
        )
        self._changed("device", device_id, guid)
        return _present(self.device(guid))

    def update_device(
        self,
        device_id: int,
        *,
        key: str | Unset = UNSET,
        name: str | Unset = UNSET,
        status: str | None | Unset = UNSET,
        data: Any = UNSET,
        network_id: int | None | Unset = UNSET,
        class_id: int | Unset = UNSET,
        is_blocked: bool | Unset = UNSET,
    ) -> None:
        values = {
            "key": key if isinstance(key, Unset) else self._secrets.hash(key),
            "name": name,
            "status": status,
            "data": _text(data),
            "network_id": network_id,
            "device_class_id": class_id,
            "is_blocked": is_blocked,
        }
        if self._sql.update(device, device_id, values):
            self._devices_changed(device.c.id == device_id)

    def delete_device(self, guid: str) -> bool:
        return self._forget_devices(device.c.guid == guid) > 0

    def delete_devices(self, *, network_id: int | None = None, class_id: int | None = None, limit: int) -> int:
        asked = {device.c.network_id: network_id, device.c.device_class_id: class_id}
        of = [column == row_id for column, row_id in asked.items() if row_id is not None]
        ids = self._sql.column(select(device.c.id).where(or_(*of)).limit(limit))
        # Each by its name, however many: "many of them", once for each piece, would make everybody look again.
        self._all_changed("user", _users_of(ids))
        self._all_changed("device", select(device.c.id, device.c.guid).where(one_of(device.c.id, ids)))
        return self._delete_devices(ids)

    def equipment_states(self, device_id: int) -> list[EquipmentState]:
        of_device = device_equipment.c.device_id == device_id
        return self._sql.all(
            select(device_equipment).where(of_device).order_by(device_equipment.c.id), rows.to_equipment_state
        )

    def equipment_state(self, device_id: int, code: str) -> EquipmentState | None:
        piece = (device_equipment.c.device_id == device_id) & (device_equipment.c.code == code)
        return self._sql.one(select(device_equipment).where(piece), rows.to_equipment_state)

    def put_equipment_state(self, device_id: int, state: EquipmentState) -> None:
        values = {"timestamp_ms": state.timestamp_ms, "parameters": rows.to_text(state.parameters)}
        piece = (device_equipment.c.device_id == device_id) & (device_equipment.c.code == state.code)
        version = device_equipment.c.entity_version + 1
        if not self._sql.write(update(device_equipment).where(piece).values(**values, entity_version=version)):
            self._sql.insert(device_equipment, device_id=device_id, code=state.code, **values)

    def _forget_devices(self, which: ColumnElement[bool]) -> int:
        """Delete devices with everything that hangs on them, except messages. Returns how many there were."""
        ids = self._sql.column(select(device.c.id).where(which))
        self._users_changed(_users_of(ids))
        self._devices_changed(which)
        return self._delete_devices(ids)

    def _delete_devices(self, ids: list[int]) -> int:
        linked, owned = _links_of(ids)
        self._sql.write(delete(link).where(or_(linked, owned)))
        pruned = and_(retention.c.kind.in_([int(kind) for kind in Kind]), one_of(retention.c.device_id, ids))
        self._sql.write(delete(retention).where(pruned))
        return self._sql.write(delete(device).where(one_of(device.c.id, ids)))

    # --- links ---

    def add_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None:
        if self._sql.insert_new(link, **_ends(owner, target)):
            self._link_changed(owner, target)

    def remove_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None:
        same = [link.c[name] == value for name, value in _ends(owner, target).items()]
        if self._sql.write(delete(link).where(*same)):
            self._link_changed(owner, target)

    def _link_changed(self, *ends: tuple[str, int]) -> None:
        for type_, number in ends:
            if type_ == "device":
                self._devices_changed(device.c.id == number)
            else:
                self._changed(type_, number)

    # --- access keys ---

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
        return NewKey(key=_present(self.key(key_id)), secret=secret)

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
        return NewKey(key=_present(self.key(key_id)), secret=secret)

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
        key_ids = self._sql.column(expired)
        for key_id in key_ids:
            self.delete_key(key_id)
        return len(key_ids)

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

    # --- the trace ---

    def changes(self) -> list[Change]:
        return list(self._changes)

    def _changed(self, entity: str, row_id: int | None, guid: str | None = None) -> None:
        """Report a change of an entity. Every write passes here: this is where an audit log would listen."""
        values = {"entity": entity, "entity_id": row_id, "guid": guid, "time_ms": self._now_ms()}
        revision = self._sql.execute(insert(change).values(values).returning(change.c.revision)).scalar_one()
        self._changes.append(Change(revision, entity, row_id, guid))

    def _delete(self, table: Table, row_id: int, entity: str) -> bool:
        """Delete a row with what depends on it. Returns whether there was one."""
        gone = self._sql.write(delete(table).where(table.c.id == row_id)) > 0
        if gone:
            self._changed(entity, row_id)
        return gone

    def _users_changed(self, user_ids: Select[Any]) -> None:
        self._each_or_many("user", [(user_id, None) for user_id in self._sql.column(user_ids.limit(MANY))])

    def _devices_changed(self, which: ColumnElement[bool]) -> None:
        chosen = select(device.c.id, device.c.guid).where(which).limit(MANY)
        self._each_or_many("device", [(row.id, row.guid) for row in self._sql.execute(chosen)])

    def _all_changed(self, entity: str, rows: Select[Any]) -> None:
        """Report a change of each row (id and guid), in one statement."""
        found = rows.add_columns(literal(entity), literal(self._now_ms(), BigInteger()))
        columns = [change.c.entity_id, change.c.guid, change.c.entity, change.c.time_ms]
        made = (
            insert(change).from_select(columns, found).returning(change.c.revision, change.c.entity_id, change.c.guid)
        )
        for row in self._sql.execute(made):
            self._changes.append(Change(row.revision, entity, row.entity_id, row.guid))

    def _each_or_many(self, entity: str, changed: list[tuple[int, str | None]]) -> None:
        if len(changed) == MANY:
            self._changed(entity, None)
            return
        for row_id, guid in changed:
            self._changed(entity, row_id, guid)


_IDENTITIES = {"google": user.c.google_login, "facebook": user.c.facebook_login, "github": user.c.github_login}

_KEPT: dict[Keeper, tuple[Table, tuple[str, ...]]] = {
    "user": (user, ("password_hash", "password_salt")),
    "device": (device, ("key",)),
    "key": (access_key, ("key", "key_start", "key_sealed")),
    "oauth_client": (oauth_client, ("secret_sealed",)),
}
"""The columns that hold what is kept of secrets."""


def _links_of(ids: list[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The links to devices, and those that they own."""
    linked = and_(link.c.target_type == "device", one_of(link.c.target_id, ids))
    return linked, and_(link.c.owner_type == "device", one_of(link.c.owner_id, ids))


def _users_of(ids: list[int]) -> Select[Any]:
    """Who is linked to devices."""
    linked, _ = _links_of(ids)
    return select(link.c.owner_id, null()).distinct().where(linked, link.c.owner_type == "user")


def _piece(class_id: int, equipment_id: int) -> ColumnElement[bool]:
    return and_(equipment_table.c.id == equipment_id, equipment_table.c.device_class_id == class_id)


def _ends(owner: tuple[str, int], target: tuple[str, int]) -> dict[str, int | str]:
    return {
        "owner_type": owner[0],
        "owner_id": owner[1],
        "target_type": target[0],
        "target_id": target[1],
    }


def _text(value: Any) -> Any:
    """A free value as it is stored; UNSET stays."""
    return value if value is UNSET else rows.to_text(value)


def _present(found: T | None) -> T:
    assert found is not None, "a row that this transaction has just written"
    return found
