"""From entities to the lines of an export. Imported when needed."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from hub.cli.lines import FORMAT, Members
from hub.cli.sessions import Session
from hub.cli.users import words_of
from hub.cli.values import utc
from hub.store import Listing
from protocol import __version__
from protocol.entities import AccessKey, Device, DeviceClass, EquipmentState, KeyPermission, Network, User
from protocol.messages import Command, Message
from protocol.names import KeyType, Kind

if TYPE_CHECKING:
    from hub.store import Tx

T = TypeVar("T")

PAGE = 500
"""Entities that are read at once."""

KEY_TYPES = {KeyType.DEFAULT: "key", KeyType.OAUTH: "oauth"}
"""Keys of logins are not exported: they end soon, and everybody can log in again."""


class Export:
    """Reads a hub, little by little, in an order in which it can be built up again.

    Args:
        keys: whether networks show their keys.
        hashes: whether hashes of passwords and keys are told, too; in a database only.
        messages: whether messages follow their devices.
    """

    def __init__(self, session: Session, *, keys: bool, hashes: bool, messages: bool) -> None:
        self._session = session
        self._keys = keys
        self._hashes = hashes
        self._messages = messages
        self._logins: dict[int, str | None] = {}

    def lines(self) -> Iterator[Members]:
        """The header, then everything. What others change meanwhile may be in it or not."""
        yield self._header()
        yield from self._networks()
        yield from self._each(lambda tx, listing: list(map(_class, tx.list_classes(listing))))
        yield from self._each(self._users)
        yield from self._each(self._keys_of_users)
        yield from self._devices()

    def _header(self) -> Members:
        header: Members = {"hub": __version__, "format": FORMAT, "secrets": self._keys, "messages": self._messages}
        return header | ({"pepper": self._session.read(lambda tx: tx.pepper_mark())} if self._hashes else {})

    def _each(self, work: "Callable[[Tx, Listing], list[Members | list[Members]]]") -> Iterator[Members]:
        for skip in count(0, PAGE):
            listing = Listing(skip=skip, take=PAGE)
            page = self._session.read(lambda tx, listing=listing: work(tx, listing))  # type: ignore[misc]
            if not page:
                return
            for one in page:
                yield from one if isinstance(one, list) else [one]

    # --- kinds of lines ---

    def _networks(self) -> Iterator[Members]:
        return self._each(lambda tx, listing: [self._network(one) for one in tx.list_networks(listing)])

    def _network(self, network: Network) -> Members:
        line = {"kind": "network", "name": network.name, "description": network.description}
        return line | ({"key": network.key} if self._keys else {})

    def _users(self, tx: "Tx", listing: Listing) -> list[Any]:
        users = tx.list_users(listing)
        names = _network_names(tx, {network for user in users for network in user.networks})
        return [self._user(tx, user, names) for user in users]

    def _user(self, tx: "Tx", user: User, names: dict[int, str]) -> Members:
        role, status = words_of(user)
        line: Members = {
            "kind": "user",
            "login": user.login,
            "role": role,
            "status": status,
            "data": user.data,
            "googleLogin": user.google_login,
            "facebookLogin": user.facebook_login,
            "githubLogin": user.github_login,
            "networks": sorted(names[number] for number in user.networks if number in names),
        }
        if self._hashes:
            kept = tx.kept_secrets("user", user.id)
            line |= {"passwordHash": kept["password_hash"], "passwordSalt": kept["password_salt"]}
        return line

    def _keys_of_users(self, tx: "Tx", listing: Listing) -> list[Any]:
        return [self._keys_of(tx, user) for user in tx.list_users(listing)]

    def _keys_of(self, tx: "Tx", user: User) -> list[Members]:
        keys = [key for key in tx.keys(user.id) if key.type in KEY_TYPES]
        wanted = {number for key in keys for permission in key.permissions for number in permission.network_ids or ()}
        names = _network_names(tx, wanted)
        return [self._key(tx, user, key, names) for key in keys]

    def _key(self, tx: "Tx", user: User, key: AccessKey, names: dict[int, str]) -> Members:
        line: Members = {
            "kind": "key",
            "owner": user.login,
            "label": key.label,
            "type": KEY_TYPES[key.type],
            "expires": utc(key.expires_ms),
            "permissions": [_permission(permission, names) for permission in key.permissions],
        }
        return line | ({"hash": tx.kept_secrets("key", key.id)} if self._hashes else {})

    def _devices(self) -> Iterator[Members]:
        for page in self._session.device_pages(PAGE):
            told = self._session.read(lambda tx, page=page: [self._device(tx, one) for one in page])  # type: ignore[misc]
            for device, line in zip(page, told, strict=True):
                yield line
                if self._messages:
                    yield from self._messages_of(device)

    def _device(self, tx: "Tx", device: Device) -> Members:
        of = device.device_class
        line: Members = {
            "kind": "device",
            "guid": device.guid,
            "name": device.name,
            "status": device.status,
            "data": device.data,
            "isBlocked": device.is_blocked,
            "network": device.network.name if device.network is not None else None,
            "class": {"name": of.name, "version": of.version},
            "states": list(map(_state, tx.equipment_states(device.id))),
        }
        return line | ({"keyHash": tx.kept_secrets("device", device.id)["key"]} if self._hashes else {})

    def _messages_of(self, device: Device) -> Iterator[Members]:
        for kind in Kind:
            for message in self._session.messages(kind, device.guid):
                yield self._message(message)

    def _message(self, message: Message) -> Members:
        line: Members = {
            "kind": message.kind.name.lower(),
            "device": message.device_guid,
            "id": message.id,
            "timestamp": utc(message.timestamp_ms),
            "name": message.name,
            "parameters": orjson.Fragment(message.parameters),
        }
        if isinstance(message, Command):
            line |= {
                "user": self._login(message.user_id),
                "lifetime": message.lifetime_s,
                "status": message.status,
                "result": orjson.Fragment(message.result),
                "state": message.state.word,
                "updated": message.updated,
            }
        return line

    def _login(self, user_id: int | None) -> str | None:
        if user_id is None:
            return None
        if user_id not in self._logins:
            user = self._session.read(lambda tx: tx.user(user_id))
            self._logins[user_id] = None if user is None else user.login
        return self._logins[user_id]


def _network_names(tx: "Tx", ids: set[int]) -> dict[int, str]:
    return {network.id: network.name for network in tx.networks() if network.id in ids} if ids else {}


def _class(of: DeviceClass) -> Members:
    return {
        "kind": "class",
        "name": of.name,
        "version": of.version,
        "isPermanent": of.is_permanent,
        "offlineTimeout": of.offline_timeout_s,
        "data": of.data,
        "equipment": [
            {"name": piece.name, "code": piece.code, "type": piece.type, "data": piece.data} for piece in of.equipment
        ],
    }


def _state(state: EquipmentState) -> Members:
    return {"code": state.code, "timestamp": utc(state.timestamp_ms), "parameters": state.parameters}


def _permission(permission: KeyPermission, names: dict[int, str]) -> Members:
    """Networks by their names: elsewhere they have other numbers. One that is gone admits nothing."""
    told = permission.view()
    ids = told.pop("networkIds")
    told["networks"] = None if ids is None else [names[number] for number in ids if number in names]
    return told
