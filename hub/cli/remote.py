"""What commands do in a transaction, done over the REST API of a hub elsewhere. Imported when needed."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from hub.cli.output import fail
from hub.cli.remote_oauth import RemoteOAuth
from hub.cli.remote_values import (
    guid_of,
    to_class,
    to_device,
    to_key,
    to_message,
    to_network,
    to_state,
    to_user,
)
from hub.cli.rest import PAGE, Rest, segment
from hub.cli.values import utc
from hub.store import Listing, NewKey
from protocol.entities import (
    AccessKey,
    Device,
    DeviceClass,
    EquipmentState,
    KeyPermission,
    Network,
    User,
)
from protocol.messages import Message
from protocol.names import KeyType, Kind, UserRole, UserStatus
from protocol.requests import SaveEquipment, Unset

T = TypeVar("T")


class RemoteTx:
    """As much of :class:`hub.store.Tx` as commands use. Nothing is undone: each change is made by itself, at once.

    A device's row has a number that REST does not show; here it is made of the guid (:func:`device_number`).
    """

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self.oauth = RemoteOAuth(rest)

    def _rows(self, path: str, asked: dict[str, Any]) -> Iterable[Any]:
        """A list: the page that is asked for, or all of it."""
        rows: Iterable[Any] = self._rest.get(path, **asked) if "take" in asked else self._rest.every(path, **asked)
        return rows

    # --- users ---

    def user(self, user_id: int) -> User | None:
        shown = self._rest.find(f"/user/{user_id}")
        if shown is None:
            return None
        # One shows the networks, the other everything else.
        rows = self._rest.get("/user", login=shown["login"])
        return to_user(rows[0], shown) if rows else None

    def users(self) -> list[User]:
        return list(self._all_users())

    def list_users(self, listing: Listing) -> list[User]:
        return list(self._all_users(**_asked(listing)))

    def _all_users(self, **asked: Any) -> Iterator[User]:
        rows = (
            self._rest.get("/user", **asked) if "take" in asked else self._rest.every("/user", sortField="ID", **asked)
        )
        for row in rows:
            shown = self._rest.find(f"/user/{row['id']}")
            if shown is not None:
                yield to_user(row, shown)

    def active_administrators(self) -> int:
        return sum(1 for _ in self._rest.every("/user", role=int(UserRole.ADMIN), status=int(UserStatus.ACTIVE)))

    def insert_user(
        self, *, login: str, role: UserRole, status: UserStatus = UserStatus.ACTIVE, data: Any = None, **more: Any
    ) -> User:
        body = {"login": login, "role": int(role), "status": int(status), "data": data, **_of_user(more)}
        made = self._rest.post("/user", {name: value for name, value in body.items() if value is not None})
        return _there(self.user(made["id"]))

    def update_user(self, user_id: int, **changes: Any) -> None:
        self._rest.put(f"/user/{user_id}", _of_user(changes))

    def set_password(self, user_id: int, *, password: str | None) -> None:
        if password is None:
            fail("a password cannot be removed over the REST API; do it on the hub's computer, or set a random one")
        self._rest.put(f"/user/{user_id}", {"password": password})

    def delete_user(self, user_id: int) -> None:
        self._rest.delete(f"/user/{user_id}")

    # --- networks ---

    def network(self, network_id: int) -> Network | None:
        # Not by its number: that would bring along all its devices.
        return next((network for network in self._all_networks() if network.id == network_id), None)

    def network_by_name(self, name: str) -> Network | None:
        return next(map(to_network, self._rest.get("/network", name=name)), None)

    def networks(self) -> list[Network]:
        return list(self._all_networks())

    def list_networks(self, listing: Listing) -> list[Network]:
        return list(map(to_network, self._rest.get("/network", **_asked(listing))))

    def _all_networks(self) -> Iterator[Network]:
        return map(to_network, self._rest.every("/network", sortField="ID"))

    def insert_network(self, *, name: str, key: str | None = None, description: str | None = None) -> Network:
        made = self._rest.post("/network", {"name": name, "key": key, "description": description})
        return Network(made["id"], name, key, description)

    def update_network(self, network_id: int, **changes: Any) -> None:
        self._rest.put(f"/network/{network_id}", changes)

    def delete_network(self, network_id: int) -> None:
        self._rest.delete(f"/network/{network_id}")

    def add_member(self, user_id: int, network_id: int) -> None:
        self._rest.put(f"/user/{user_id}/network/{network_id}", {})

    def remove_member(self, user_id: int, network_id: int) -> None:
        self._rest.delete(f"/user/{user_id}/network/{network_id}")

    # --- device classes ---

    def device_class(self, name: str, version: str) -> DeviceClass | None:
        rows = self._rest.get("/device/class", name=name, version=version)
        return self.class_by_id(rows[0]["id"]) if rows else None

    def class_by_id(self, class_id: int) -> DeviceClass | None:
        shown = self._rest.find(f"/device/class/{class_id}")
        return None if shown is None else to_class(shown)

    def list_classes(self, listing: Listing) -> list[DeviceClass]:
        return [_there(self.class_by_id(row["id"])) for row in self._rest.get("/device/class", **_asked(listing))]

    def insert_class(self, *, name: str, version: str, **more: Any) -> DeviceClass:
        made = self._rest.post("/device/class", {"name": name, "version": version, **_of_class(more)})
        return _there(self.class_by_id(made["id"]))

    def update_class(self, class_id: int, **changes: Any) -> None:
        self._rest.put(f"/device/class/{class_id}", _of_class(changes))

    def replace_equipment(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        pieces = [
            {"name": piece.name, "code": piece.code, "type": piece.type, "data": piece.data} for piece in equipment
        ]
        self._rest.put(f"/device/class/{class_id}", {"equipment": pieces})

    # --- devices ---

    def device(self, guid: str) -> Device | None:
        shown = self._rest.find(_path(guid))
        return None if shown is None else to_device(shown)

    def devices(self, *, after: str = "", limit: int = 1_000) -> list[Device]:
        """Devices in order of their guids. REST sorts by other things: they all come when asked for the first time."""
        found = sorted(map(to_device, self._rest.every("/device")), key=lambda device: device.guid)
        return [] if after else found

    def list_devices(self, listing: Listing) -> list[Device]:
        return list(map(to_device, self._rows("/device", _asked(listing))))

    def device_pages(self, take: int) -> Iterator[list[Device]]:
        """All devices, at most so many at a time."""
        return (list(map(to_device, rows)) for rows in self._rest.pages("/device"))

    def insert_device(self, *, guid: str, class_id: int, **more: Any) -> Device:
        self._rest.put(_path(guid), self._of_device({"class_id": class_id, **more}))
        return _there(self.device(guid))

    def update_device(self, device_id: int, **changes: Any) -> None:
        self._rest.put(_path(guid_of(device_id)), self._of_device(changes))

    def delete_device(self, guid: str) -> None:
        self._rest.delete(_path(guid))

    def equipment_states(self, device_id: int) -> list[EquipmentState]:
        return list(map(to_state, self._rest.get(f"{_path(guid_of(device_id))}/equipment")))

    def _of_device(self, values: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = {name: values[name] for name in ("key", "name", "status", "data") if name in values}
        if "is_blocked" in values:
            body["isBlocked"] = values["is_blocked"]
        if "class_id" in values:
            of = _there(self.class_by_id(values["class_id"]))
            body["deviceClass"] = {"name": of.name, "version": of.version}
        if "network_id" in values:
            within = None if values["network_id"] is None else _there(self.network(values["network_id"]))
            body["network"] = None if within is None else _joined(within)
        return body

    # --- access keys ---

    def key(self, key_id: int) -> AccessKey | None:
        # REST finds keys below their owners.
        for row in self._rest.every("/user", sortField="ID"):
            shown = self._rest.find(f"/user/{row['id']}/accesskey/{key_id}")
            if shown is not None:
                return to_key(shown, row["id"])
        return None

    def keys(self, user_id: int | None = None) -> list[AccessKey]:
        owners = [row["id"] for row in self._rest.every("/user", sortField="ID")] if user_id is None else [user_id]
        return [key for owner in owners for key in self._keys_of(owner)]

    def _keys_of(self, user_id: int, **asked: Any) -> Iterator[AccessKey]:
        rows = self._rest.every(f"/user/{user_id}/accesskey", sortField="ID", **asked)
        return (to_key(row, user_id) for row in rows)

    def key_by_label(self, user_id: int, label: str) -> AccessKey | None:
        return next(self._keys_of(user_id, label=label), None)

    def insert_key(
        self,
        *,
        user_id: int,
        label: str,
        permissions: Sequence[KeyPermission],
        type: KeyType = KeyType.DEFAULT,  # noqa: A002
        expires_ms: int | None = None,
    ) -> NewKey:
        body = {"label": label, **_of_key(permissions, type, expires_ms)}
        made = self._rest.post(f"/user/{user_id}/accesskey", body)
        shown = self._rest.get(f"/user/{user_id}/accesskey/{made['id']}")
        return NewKey(to_key(shown, user_id), made["key"])

    def update_key(self, key_id: int, **changes: Any) -> None:
        owner = _there(self.key(key_id)).user_id
        self._rest.put(f"/user/{owner}/accesskey/{key_id}", _of_key(**changes))

    def delete_key(self, key_id: int) -> None:
        self._rest.delete(f"/user/{_there(self.key(key_id)).user_id}/accesskey/{key_id}")

    def readable_key(self, key_id: int) -> str | None:
        """The key itself, where the hub keeps keys readable and shows this one to the caller's key."""
        owner = _there(self.key(key_id)).user_id
        text: str = self._rest.get(f"/user/{owner}/accesskey/{key_id}")["key"]
        return None if text.endswith("*") else text

    # --- messages ---

    def messages(self, kind: Kind, guid: str) -> Iterator[Message]:
        """What there is of one device, oldest first."""
        rows = self._rest.every(f"{_path(guid)}/{kind.name.lower()}", sortField="Timestamp", sortOrder="ASC")
        return (to_message(kind, guid, row) for row in rows)


def _there(found: T | None) -> T:
    """What was there a moment ago."""
    return found if found is not None else fail("what was to be changed has gone meanwhile; look and try again")


def _path(guid: str) -> str:
    return f"/device/{segment(guid)}"


def _joined(network: Network) -> dict[str, Any]:
    """A network as a registration names it: with its key, if it has one."""
    return {"name": network.name} | ({} if network.key is None else {"key": network.key})


def _asked(listing: Listing) -> dict[str, Any]:
    names = {"network_id": "networkId"}
    asked = {names.get(name, name): value for name, value in listing.equal.items()}
    if listing.take is not None:
        asked |= {"take": min(listing.take, PAGE), "skip": listing.skip}
    return asked


def _of_user(values: dict[str, Any]) -> dict[str, Any]:
    names = {"google_login": "googleLogin", "facebook_login": "facebookLogin", "github_login": "githubLogin"}
    return _named(names, values)


def _of_class(values: dict[str, Any]) -> dict[str, Any]:
    return _named({"is_permanent": "isPermanent", "offline_timeout_s": "offlineTimeout"}, values)


def _named(names: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """Values that are given, by their names on the wire."""
    return {names.get(name, name): value for name, value in values.items() if not isinstance(value, Unset)}


def _of_key(permissions: Iterable[KeyPermission], type: KeyType, expires_ms: int | None) -> dict[str, Any]:  # noqa: A002
    told = [permission.view() for permission in permissions]
    return {"permissions": told, "type": int(type), "expirationDate": utc(expires_ms)}
