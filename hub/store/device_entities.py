"""Devices, the networks that they are in, and links to them, inside a transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, null, or_, select, update

from hub.store import Listing, Where, device_lists, lists, queries, reaching, rows
from hub.store.portable import one_of
from hub.store.schema import device, device_equipment, link, network, retention, user_network
from hub.store.transaction import Transaction, present, text_of
from protocol.entities import Device, EquipmentState, Network
from protocol.names import Kind
from protocol.requests import UNSET, Unset


class DeviceEntities(Transaction):
    """Devices, their networks and their links inside a transaction."""

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
        return present(self.network(network_id))

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
        return present(self.device(guid))

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
            "data": text_of(data),
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


def _links_of(ids: list[int]) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """The links to devices, and those that they own."""
    linked = and_(link.c.target_type == "device", one_of(link.c.target_id, ids))
    return linked, and_(link.c.owner_type == "device", one_of(link.c.owner_id, ids))


def _users_of(ids: list[int]) -> Select[Any]:
    """Who is linked to devices."""
    linked, _ = _links_of(ids)
    return select(link.c.owner_id, null()).distinct().where(linked, link.c.owner_type == "user")


def _ends(owner: tuple[str, int], target: tuple[str, int]) -> dict[str, int | str]:
    return {
        "owner_type": owner[0],
        "owner_id": owner[1],
        "target_type": target[0],
        "target_id": target[1],
    }
