"""From rows of :mod:`hub.store.queries` to entities, and from free values to text."""

from typing import Any, Protocol

import orjson

from hub.store import KeyRecord, LoginRecord
from protocol.entities import (
    AccessKey,
    Device,
    DeviceClass,
    Equipment,
    EquipmentState,
    KeyPermission,
    Network,
    OAuthClient,
    OAuthGrant,
    User,
)
from protocol.names import AccessType, GrantType, KeyType, UserRole, UserStatus


class Row(Protocol):
    """A row of either driver: columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...


def to_text(value: Any) -> str | None:
    """A free value as it is stored; null is no text at all."""
    return None if value is None else orjson.dumps(value).decode()


def from_text(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def to_user(row: Row) -> User:
    return User(
        id=row["user_id"],
        login=row["user_login"],
        role=UserRole(row["user_role"]),
        status=UserStatus(row["user_status"]),
        last_login_ms=row["user_last_login_ms"],
        google_login=row["user_google_login"],
        facebook_login=row["user_facebook_login"],
        github_login=row["user_github_login"],
        data=from_text(row["user_data"]),
        networks=_ids(row["user_networks"]),
        linked_devices=_ids(row["user_linked_devices"]),
        linked_groups=_ids(row["user_linked_groups"]),
        password_changes=row["user_password_changes"],
    )


def to_login_record(row: Row) -> LoginRecord:
    return LoginRecord(
        user=to_user(row),
        password_hash=row["user_password_hash"],
        password_salt=row["user_password_salt"],
        login_attempts=row["user_login_attempts"],
    )


def to_network(row: Row) -> Network:
    return Network(
        id=row["network_id"],
        name=row["network_name"],
        key=row["network_key"],
        description=row["network_description"],
    )


def to_class(row: Row) -> DeviceClass:
    pieces = sorted(orjson.loads(row["class_equipment"]))
    return DeviceClass(
        id=row["class_id"],
        name=row["class_name"],
        version=row["class_version"],
        is_permanent=bool(row["class_is_permanent"]),
        offline_timeout_s=row["class_offline_timeout_s"],
        data=from_text(row["class_data"]),
        equipment=tuple(
            Equipment(id=number, name=name, code=code, type=type_, data=from_text(data))
            for number, name, code, type_, data in pieces
        ),
    )


def to_equipment(row: Row) -> Equipment:
    return Equipment(id=row["id"], name=row["name"], code=row["code"], type=row["type"], data=from_text(row["data"]))


def to_equipment_state(row: Row) -> EquipmentState:
    return EquipmentState(row["code"], row["timestamp_ms"], from_text(row["parameters"]))


def to_device(row: Row, device_class: DeviceClass | None = None) -> Device:
    """A device, with this class or with the one that the row has."""
    place = None if row["device_network_id"] is None else to_network(row)
    return to_placed_device(row, device_class or to_class(row), place)


def to_placed_device(row: Row, device_class: DeviceClass, place: Network | None) -> Device:
    """A device of this class, in this network."""
    return Device(
        id=row["device_id"],
        guid=row["device_guid"],
        name=row["device_name"],
        device_class=device_class,
        status=row["device_status"],
        data=from_text(row["device_data"]),
        network=place,
        is_blocked=bool(row["device_is_blocked"]),
        has_users=bool(row["device_has_users"]),
    )


def to_key(row: Row) -> AccessKey:
    return AccessKey(
        id=row["key_id"],
        user_id=row["key_user_id"],
        label=row["key_label"],
        start=row["key_key_start"],
        type=KeyType(row["key_type"]),
        expires_ms=row["key_expires_ms"],
        permissions=tuple(_permission(lists) for _, *lists in sorted(orjson.loads(row["key_permissions"]))),
    )


def to_key_record(row: Row) -> KeyRecord:
    return KeyRecord(key=to_key(row), owner=to_user(row))


GRANT_TYPES, ACCESS_TYPES = tuple(GrantType), tuple(AccessType)
"""In the order of their numbers in the database."""


def to_client(row: Row) -> OAuthClient:
    return OAuthClient(
        id=row["client_id"],
        name=row["client_name"],
        domain=row["client_domain"],
        redirect_uri=row["client_redirect_uri"],
        oauth_id=row["client_oauth_id"],
        subnet=row["client_subnet"],
    )


def to_grant(row: Row) -> OAuthGrant:
    network_ids = from_text(row["grant_network_ids"])
    return OAuthGrant(
        id=row["grant_id"],
        timestamp_ms=row["grant_timestamp_ms"],
        user_id=row["grant_user_id"],
        client=to_client(row),
        key=to_key(row),
        type=GRANT_TYPES[row["grant_type"]],
        access_type=ACCESS_TYPES[row["grant_access_type"]],
        redirect_uri=row["grant_redirect_uri"],
        scope=row["grant_scope"],
        network_ids=None if network_ids is None else tuple(network_ids),
        auth_code=row["grant_auth_code"],
        code_challenge=row["grant_code_challenge"],
    )


def _permission(lists: list[str | None]) -> KeyPermission:
    return KeyPermission(*(None if text is None else tuple(orjson.loads(text)) for text in lists))


def _ids(text: str) -> frozenset[Any]:
    """The only column of a JSON array of rows."""
    return frozenset(row[0] for row in orjson.loads(text))
