"""One transaction from inside: what the rules of an action may read and change."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from hub.store.oauth import OAuth
from hub.store.records import Change, Keeper, Listing, NewKey, Provider, Where
from hub.store.writing import Idempotency
from protocol.entities import AccessKey, Device, DeviceClass, Equipment, EquipmentState, KeyPermission, Network, User
from protocol.messages import Message
from protocol.names import KeyType, Kind, UserRole, UserStatus
from protocol.requests import UNSET, SaveEquipment, Unset

DELETED_AT_ONCE = 500
"""Devices, or grants of an application, that one transaction deletes where many have to go."""


class Tx(Protocol):
    """One transaction, from inside. Synchronous; every change leaves a :class:`Change` behind.

    Reads return entities as they are inside this transaction. ``UNSET`` arguments leave a column as it is. Writes raise
    ``Conflict`` where a uniqueness rule fails; lengths and presence are the caller's to check.
    """

    # Users
    def user(self, user_id: int) -> User | None: ...
    def user_by_login(self, login: str) -> User | None: ...
    def user_by_identity(self, provider: Provider, login: str) -> User | None:
        """The user with this login at a provider, upper and lower case the same; DELETED users are not found."""

    def users(self) -> list[User]: ...
    def list_users(self, listing: Listing) -> list[User]: ...
    def active_administrators(self) -> int: ...
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
    ) -> User: ...
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
    ) -> None: ...
    def set_password(self, user_id: int, *, password_hash: str | None, ends_sessions: bool = True) -> None:
        """Replace the password. ``ends_sessions=False`` is for re-hashing the same password."""

    def record_login(self, user_id: int, *, now_ms: int | None, login_attempts: int) -> None:
        """Keep login statistics: ``now_ms`` becomes the last login (None: unchanged). Leaves no Change."""

    def delete_user(self, user_id: int) -> bool:
        """Delete a user with memberships, links and access keys. Returns whether there was one."""

    # Networks
    def network(self, network_id: int) -> Network | None: ...
    def network_by_name(self, name: str) -> Network | None: ...
    def networks(self) -> list[Network]: ...
    def list_networks(self, listing: Listing, ids: frozenset[int] | None = None) -> list[Network]:
        """Networks; with ``ids``, only those."""

    def insert_network(self, *, name: str, key: str | None = None, description: str | None = None) -> Network: ...
    def update_network(
        self,
        network_id: int,
        *,
        name: str | Unset = UNSET,
        key: str | None | Unset = UNSET,
        description: str | None | Unset = UNSET,
    ) -> None: ...
    def delete_network(self, network_id: int) -> bool:
        """Delete a network with its devices. Returns whether there was one."""

    def add_member(self, user_id: int, network_id: int) -> None:
        """Make a user a member of a network. Idempotent."""

    def remove_member(self, user_id: int, network_id: int) -> None: ...

    # Device classes
    def device_class(self, name: str, version: str) -> DeviceClass | None: ...
    def class_by_id(self, class_id: int) -> DeviceClass | None: ...
    def device_classes(self) -> list[DeviceClass]: ...
    def list_classes(self, listing: Listing) -> list[DeviceClass]: ...
    def insert_class(
        self,
        *,
        name: str,
        version: str,
        is_permanent: bool = False,
        offline_timeout_s: int | None = None,
        data: Any = None,
    ) -> DeviceClass: ...
    def update_class(
        self,
        class_id: int,
        *,
        name: str | Unset = UNSET,
        version: str | Unset = UNSET,
        is_permanent: bool | Unset = UNSET,
        offline_timeout_s: int | None | Unset = UNSET,
        data: Any = UNSET,
    ) -> None: ...
    def delete_class(self, class_id: int) -> bool:
        """Delete a class with its equipment and its devices. Returns whether there was one."""

    # Equipment; a change of it is a change of its class
    def equipment(self, class_id: int, equipment_id: int) -> Equipment | None: ...
    def insert_equipment(self, class_id: int, piece: SaveEquipment) -> Equipment: ...
    def update_equipment(
        self,
        class_id: int,
        equipment_id: int,
        *,
        name: str | Unset = UNSET,
        code: str | Unset = UNSET,
        type: str | Unset = UNSET,  # noqa: A002
        data: Any = UNSET,
    ) -> None: ...
    def delete_equipment(self, class_id: int, equipment_id: int) -> bool: ...
    def replace_equipment(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Replace the whole set; every piece gets a new id. Codes must be distinct (the caller checks)."""

    # Devices
    def device(self, guid: str) -> Device | None: ...
    def devices(self, *, after: str = "", limit: int = 1_000) -> list[Device]:
        """Devices in order of their guid, strictly after ``after``."""

    def list_devices(self, listing: Listing, reach: Sequence[Where] | None = None) -> list[Device]:
        """Devices; with ``reach``, only those that are in one of them. Who shares a class shares its object."""

    def device_key_matches(self, device_id: int, key: str) -> bool: ...
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
    ) -> Device: ...
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
    ) -> None: ...
    def delete_device(self, guid: str) -> bool: ...
    def delete_devices(self, *, network_id: int | None = None, class_id: int | None = None, limit: int) -> int:
        """Delete up to ``limit`` devices of a network or of a class. Returns how many; as many as ``limit``: ask again.
        Many of them in one transaction would keep the writes of others waiting."""
        ...

    def equipment_states(self, device_id: int) -> list[EquipmentState]: ...
    def equipment_state(self, device_id: int, code: str) -> EquipmentState | None: ...
    def put_equipment_state(self, device_id: int, state: EquipmentState) -> None:
        """Insert or replace the state of one piece of equipment. Leaves no Change."""

    # Links: owner and target are (type, row id), as in ("user", 5) and ("device", 8).
    def add_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None:
        """Let the owner reach the target. Idempotent."""

    def remove_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None: ...

    # Access keys
    def key(self, key_id: int) -> AccessKey | None: ...
    def key_by_label(self, user_id: int, label: str) -> AccessKey | None:
        """A user's first key with this label."""

    def keys(self, user_id: int | None = None) -> list[AccessKey]: ...
    def list_keys(self, user_id: int, listing: Listing) -> list[AccessKey]: ...
    def insert_key(
        self,
        *,
        user_id: int,
        label: str,
        permissions: Sequence[KeyPermission],
        type: KeyType = KeyType.DEFAULT,  # noqa: A002
        expires_ms: int | None = None,
    ) -> NewKey:
        """Make a key of 32 random bytes in base64. Only its keyed hash and its first six characters are stored, and a
        sealed copy where the store was told that keys are readable."""

    def update_key(
        self,
        key_id: int,
        *,
        label: str | Unset = UNSET,
        permissions: Sequence[KeyPermission] | Unset = UNSET,
        type: KeyType | Unset = UNSET,  # noqa: A002
        expires_ms: int | None | Unset = UNSET,
    ) -> None: ...
    def renew_key(self, key_id: int) -> NewKey:
        """Give a key that is there a new secret; the old one is worth nothing any more."""
        ...

    def delete_key(self, key_id: int) -> bool: ...
    def readable_key(self, key_id: int) -> str | None:
        """The key itself, where a sealed copy was kept; None where not."""

    def has_pepper(self) -> bool:
        """Whether keys are hashed with the pepper that this database was made with. The first to ask decides."""
        ...

    # Secrets as they are kept, for a copy of an installation
    def pepper_mark(self) -> str:
        """A text that is the same only where keys are hashed with the same pepper."""
        ...

    def kept_secrets(self, entity: Keeper, row_id: int) -> dict[str, str | None]:
        """What is kept of the secrets of a user, a device, an access key or an OAuth client: columns with hashes, or
        with an encrypted copy."""
        ...

    def put_secrets(self, entity: Keeper, row_id: int, secrets: Mapping[str, str | None]) -> None:
        """Put back what :meth:`kept_secrets` has given. Logins with another password end."""

    # OAuth clients and grants
    @property
    def oauth(self) -> OAuth: ...

    # Configuration rows that an administrator wrote
    def configuration(self) -> dict[str, str]: ...
    def configuration_value(self, name: str) -> str | None: ...
    def put_configuration(self, name: str, value: str) -> None: ...
    def delete_configuration(self, name: str) -> None: ...

    # Messages that belong to the change
    def append(self, message: Message, device: Device, idempotency: Idempotency | None = None) -> None:
        """Store a message in this transaction. Its id must have been given before the transaction was queued.

        ``device`` is its device as this transaction leaves it.
        """

    def message_device(self, kind: Kind, message_id: int) -> int | None:
        """Whose the message with an id is; None: there is none."""
        ...

    def delete_messages(self, device_ids: Sequence[int], *, limit: int) -> int:
        """Delete up to ``limit`` messages of devices that are about to be deleted: nothing remembers that they were.
        Returns how many; as many as ``limit``: ask again."""
        ...

    def repeated(self, device_id: int, idempotency: Idempotency) -> Message | None:
        """The message that an earlier insert with the same idempotency key has stored."""

    def appended(self) -> list[tuple[Message, Device]]:
        """The messages that this piece of work has stored, with their devices: whoever commits it publishes them."""

    def changes(self) -> "list[Change]":
        """The changes that this piece of work has left so far, in the order of their revisions."""

    # Activity
    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Remember (device id, milliseconds since 1970) as last activity; never moves it back. Leaves no Change."""

    def forget_activity(self, device_id: int) -> None: ...
