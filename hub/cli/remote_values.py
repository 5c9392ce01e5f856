"""From what the REST API shows to entities and messages."""

from dataclasses import replace
from typing import Any

import orjson

from hub.core.states import state_of
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
from protocol.messages import Command, Message, Notification
from protocol.names import KeyType, Kind, UserRole, UserStatus
from protocol.times import parse_ms

Shown = dict[str, Any]

START_LENGTH = 6
"""How much of a key a hub keeps to recognise it by."""


def device_number(guid: str) -> int:
    """A number for a device that stands for its guid and nothing else."""
    return int.from_bytes(b"\1" + guid.encode("utf-8", "surrogatepass"), "big")


def guid_of(number: int) -> str:
    """The guid that :func:`device_number` made a number of."""
    return number.to_bytes((number.bit_length() + 7) // 8, "big")[1:].decode("utf-8", "surrogatepass")


def to_user(row: Shown, shown: Shown) -> User:
    """A user.

    Args:
        row: as a list has it, without networks.
        shown: the same user alone, with networks and without data.
    """
    return User(
        id=row["id"],
        login=row["login"],
        role=UserRole(row["role"]),
        status=UserStatus(row["status"]),
        last_login_ms=_ms(row["lastLogin"]),
        data=row["data"],
        networks=frozenset(each["network"]["id"] for each in shown["networks"]),
        google_login=row["googleLogin"],
        facebook_login=row["facebookLogin"],
        github_login=row["githubLogin"],
    )


def to_network(row: Shown) -> Network:
    return Network(row["id"], row["name"], row["key"], row["description"])


def to_class(row: Shown) -> DeviceClass:
    return DeviceClass(
        id=row["id"],
        name=row["name"],
        version=row["version"],
        is_permanent=row["isPermanent"],
        offline_timeout_s=row["offlineTimeout"],
        data=row["data"],
        equipment=tuple(
            Equipment(piece["id"], piece["name"], piece["code"], piece["type"], piece["data"])
            for piece in row["equipment"]
        ),
    )


def to_device(row: Shown) -> Device:
    return Device(
        id=device_number(row["id"]),
        guid=row["id"],
        name=row["name"],
        device_class=to_class(row["deviceClass"]),
        status=row["status"],
        data=row["data"],
        network=None if row["network"] is None else to_network(row["network"]),
        is_blocked=row["isBlocked"],
    )


def to_state(row: Shown) -> EquipmentState:
    return EquipmentState(row["id"], parse_ms(row["timestamp"]), row["parameters"])


def to_key(row: Shown, user_id: int) -> AccessKey:
    return AccessKey(
        id=row["id"],
        user_id=user_id,
        label=row["label"],
        start=row["key"].rstrip("*")[:START_LENGTH],
        type=KeyType(row["type"]),
        expires_ms=_ms(row["expirationDate"]),
        permissions=tuple(map(_to_permission, row["permissions"])),
    )


def _to_permission(row: Shown) -> KeyPermission:
    return KeyPermission(
        domains=_many(row["domains"]),
        subnets=_many(row["subnets"]),
        actions=_many(row["actions"]),
        network_ids=_many(row["networkIds"]),
        device_guids=_many(row["deviceGuids"]),
    )


def to_message(kind: Kind, guid: str, row: Shown) -> Message:
    shared = (row["id"], device_number(guid), guid, row[kind.name.lower()], parse_ms(row["timestamp"]))
    parameters = orjson.dumps(row["parameters"])
    if kind is Kind.NOTIFICATION:
        return Notification(*shared, parameters)
    command = Command(
        *shared,
        row["userId"],
        parameters,
        row["lifetime"],
        row["status"],
        orjson.dumps(row["result"]),
        updated=row["status"] is not None or row["result"] is not None,
    )
    return replace(command, state=state_of(row.get("state"), command))


def _ms(text: str | None) -> int | None:
    return None if text is None else parse_ms(text)


def _many(values: list[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else tuple(values)
