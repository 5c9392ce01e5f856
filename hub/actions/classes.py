"""Device classes, as managers see and change them: permanent ones, too."""

from typing import Any

from hub.actions.caller import Caller
from hub.actions.devices import delete_devices_of
from hub.actions.equipment import replace_equipment
from hub.actions.listing import listing
from hub.gateway import Gateway, Stamps
from hub.store import Tx
from protocol.class_forms import CreateClass, ListClasses, OneClass, UpdateClass
from protocol.entities import DeviceClass
from protocol.errors import CLASS_EXISTS, CLASS_NOT_FOUND, ID_GIVEN, violation
from protocol.requests import Unset, or_none
from protocol.rules import DEVICE_CLASS, check


async def list_classes(gateway: Gateway, caller: Caller, ask: ListClasses) -> list[DeviceClass]:
    """All classes. A pattern makes the plain name be ignored."""
    asked = listing(
        ask,
        sort=ask.sort_field,
        equal={"name": ask.name if ask.name_pattern is None else None, "version": ask.version},
        like={"name": ask.name_pattern},
    )
    return await gateway.store.consult(lambda tx: tx.list_classes(asked))


async def get_class(gateway: Gateway, caller: Caller, ask: OneClass) -> DeviceClass:
    """A class with its equipment."""
    return await gateway.store.consult(lambda tx: _require(tx, ask.class_id))


async def create_class(gateway: Gateway, caller: Caller, ask: CreateClass) -> DeviceClass:
    """Make a class with its equipment."""
    if or_none(ask.id) is not None:
        raise ID_GIVEN.error()
    name, version = or_none(ask.name), or_none(ask.version)

    def work(tx: Tx, stamps: Stamps) -> DeviceClass:
        if name is not None and version is not None and tx.device_class(name, version) is not None:
            raise CLASS_EXISTS.error()
        check(DEVICE_CLASS, name=name, version=version)
        made = tx.insert_class(
            name=name,
            version=version,
            is_permanent=bool(ask.is_permanent),
            offline_timeout_s=or_none(ask.offline_timeout_s),
            data=or_none(ask.data),
        )
        replace_equipment(tx, made, ask.equipment or (), most=gateway.policy.equipment)
        return made

    made: DeviceClass = await gateway.transact(work)
    return made


async def update_class(gateway: Gateway, caller: Caller, ask: UpdateClass) -> None:
    """Change a class; equipment that is given, null too, replaces the whole set."""
    changes: dict[str, Any] = {
        "name": ask.name,
        "version": ask.version,
        "is_permanent": ask.is_permanent,
        "offline_timeout_s": ask.offline_timeout_s,
        "data": ask.data,
    }

    def work(tx: Tx, stamps: Stamps) -> None:
        found = _require(tx, ask.class_id)
        check(DEVICE_CLASS, **changes)
        if ask.is_permanent is None:
            raise violation("isPermanent", None, "isPermanent field cannot be null.")
        tx.update_class(found.id, **changes)
        if not isinstance(ask.equipment, Unset):
            replace_equipment(tx, found, ask.equipment or (), most=gateway.policy.equipment)

    await gateway.transact(work)


async def delete_class(gateway: Gateway, caller: Caller, ask: OneClass) -> None:
    """Delete a class with its equipment and all its devices, if it is there."""
    await delete_devices_of(gateway, class_id=ask.class_id)
    await gateway.transact(lambda tx, stamps: tx.delete_class(ask.class_id))


def _require(tx: Tx, class_id: int) -> DeviceClass:
    found = tx.class_by_id(class_id)
    if found is None:
        raise CLASS_NOT_FOUND.error(id=class_id)
    return found
