"""What tests put into the store before a hub starts on it: users, networks, devices, keys.

The data of ``fixture.json`` belong to the replayed exchanges; other tests bring their own in the same form.
"""

from functools import cache
from typing import Any

from hub.passwords import hash_password
from hub.store import Tx
from protocol.names import UserRole, UserStatus
from protocol.requests import SaveEquipment
from protocol.times import parse_ms
from tests.builders import permission

PERMISSION_MEMBERS = {
    "domains": "domains",
    "subnets": "subnets",
    "actions": "actions",
    "networkIds": "network_ids",
    "deviceGuids": "device_guids",
}

Secrets = dict[str, str]
"""The secret of each access key, by the name that the data give it."""

_hashed = cache(hash_password)


def fill(tx: Tx, world: dict[str, Any]) -> Secrets:
    """Put a world into an empty store. Rows get their ids in the order of the data, from 1 on."""
    networks = {entry["name"]: tx.insert_network(**entry).id for entry in world["networks"]}
    users = {entry["login"]: _user(tx, entry, networks) for entry in world["users"]}
    _devices(tx, world, networks)
    return {entry["name"]: put_key(tx, entry, users[entry["owner"]]) for entry in world["accessKeys"]}


def _user(tx: Tx, entry: dict[str, Any], networks: dict[str, int]) -> int:
    user = tx.insert_user(
        login=entry["login"],
        role=UserRole[entry["role"]],
        status=UserStatus[entry["status"]],
        password_hash=_hashed(entry["password"]),
    )
    for name in entry["networks"]:
        tx.add_member(user.id, networks[name])
    return user.id


def _devices(tx: Tx, world: dict[str, Any], networks: dict[str, int]) -> None:
    entry = world["deviceClass"]
    device_class = tx.insert_class(
        name=entry["name"],
        version=entry["version"],
        is_permanent=entry["isPermanent"],
        offline_timeout_s=entry["offlineTimeout"],
        data=entry["data"],
    )
    if "equipment" in entry:
        tx.replace_equipment(device_class.id, [SaveEquipment.read(item) for item in entry["equipment"]])
    for device in world["devices"]:
        tx.insert_device(
            guid=device["guid"],
            key=device["key"],
            name=device["name"],
            class_id=device_class.id,
            network_id=networks[device["network"]] if device["network"] is not None else None,
            status=device["status"],
            data=device["data"],
            is_blocked=device["blocked"],
        )


def put_key(tx: Tx, entry: dict[str, Any], user_id: int) -> str:
    """Make one access key; returns its secret."""
    expiry = entry.get("expirationDate")
    return tx.insert_key(
        user_id=user_id,
        label=entry["name"],
        permissions=[
            permission(**{PERMISSION_MEMBERS[member]: value for member, value in given.items()})
            for given in entry["permissions"]
        ],
        expires_ms=parse_ms(expiry) if expiry is not None else None,
    ).secret
