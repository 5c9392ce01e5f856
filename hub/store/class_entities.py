"""Device classes and their equipment, as the database keeps them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, select

from hub.store import Listing, lists, queries, rows
from hub.store.device_entities import DeviceEntities
from hub.store.schema import device, device_class
from hub.store.schema import equipment as equipment_table
from hub.store.transaction import present, text_of
from protocol.entities import DeviceClass, Equipment
from protocol.requests import UNSET, SaveEquipment, Unset


class ClassEntities(DeviceEntities):
    """Device classes and their equipment inside a transaction."""

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
        return present(self.class_by_id(class_id))

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
            "data": text_of(data),
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
        return present(self.equipment(class_id, equipment_id))

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
        values = {"name": name, "code": code, "type": type, "data": text_of(data)}
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


def _piece(class_id: int, equipment_id: int) -> ColumnElement[bool]:
    return and_(equipment_table.c.id == equipment_id, equipment_table.c.device_class_id == class_id)
