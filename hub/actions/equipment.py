"""The equipment of a class: as a whole, as registrations and REST replace it, and piece by piece."""

from collections.abc import Sequence
from typing import Any

from hub.actions.caller import Caller
from hub.gateway import Gateway, Stamps
from hub.store import Tx
from protocol.class_forms import CreatePiece, OnePiece, UpdatePiece
from protocol.entities import DeviceClass, Equipment
from protocol.errors import (
    CLASS_NOT_FOUND,
    CLASS_PERMANENT,
    DUPLICATE_EQUIPMENT,
    EQUIPMENT_NOT_FOUND,
    limit_reached,
)
from protocol.requests import SaveEquipment, or_none, to_json
from protocol.rules import EQUIPMENT, check


def replace_equipment(tx: Tx, of: DeviceClass, equipment: Sequence[SaveEquipment], *, most: int) -> None:
    """Make these the whole equipment of a class; what does not differ is not written.

    Args:
        most: how many pieces a class may have.
    """
    _check_number(len(equipment), most)
    codes: set[str | None] = set()
    for piece in equipment:
        check(EQUIPMENT, name=piece.name, code=piece.code, type=piece.type)
        if piece.code in codes:
            raise DUPLICATE_EQUIPMENT.error(code=piece.code, id=of.id)
        codes.add(piece.code)
    if differ([_members(piece) for piece in equipment], [_members(piece) for piece in of.equipment]):
        tx.replace_equipment(of.id, equipment)


def _check_number(number: int, most: int) -> None:
    if number > most:
        raise limit_reached(most, "pieces of equipment per device class", name="equipment-per-class")


def _members(piece: SaveEquipment | Equipment) -> tuple[Any, ...]:
    return piece.name, piece.code, piece.type, piece.data


def differ(value: Any, stored: Any) -> bool:
    """Whether two values differ as JSON, for which true and 1 are not the same."""
    return to_json(value) != to_json(stored)


# --- piece by piece ---------------------------------------------------------------------------------------------------


async def get_piece(gateway: Gateway, caller: Caller, ask: OnePiece) -> Equipment:
    """A piece of equipment of a class."""
    return _require(await gateway.store.consult(lambda tx: tx.equipment(ask.class_id, ask.equipment_id)), ask)


async def create_piece(gateway: Gateway, caller: Caller, ask: CreatePiece) -> Equipment:
    """Add a piece to a class that is not permanent."""
    piece = SaveEquipment(or_none(ask.name), or_none(ask.code), or_none(ask.type), or_none(ask.data))

    def work(tx: Tx, stamps: Stamps) -> Equipment:
        of = tx.class_by_id(ask.class_id)
        if of is None:
            raise CLASS_NOT_FOUND.error(id=ask.class_id)
        if of.is_permanent:
            raise CLASS_PERMANENT.error()
        check(EQUIPMENT, name=piece.name, code=piece.code, type=piece.type)
        if any(piece.code == other.code for other in of.equipment):
            raise DUPLICATE_EQUIPMENT.error(code=piece.code, id=of.id)
        _check_number(len(of.equipment) + 1, gateway.policy.equipment)
        return tx.insert_equipment(of.id, piece)

    made: Equipment = await gateway.transact(work)
    return made


async def update_piece(gateway: Gateway, caller: Caller, ask: UpdatePiece) -> None:
    """Change a piece of equipment; also one of a permanent class."""
    changes: dict[str, Any] = {"name": ask.name, "code": ask.code, "type": ask.type, "data": ask.data}

    def work(tx: Tx, stamps: Stamps) -> None:
        _require(tx.equipment(ask.class_id, ask.equipment_id), ask)
        check(EQUIPMENT, **changes)
        tx.update_equipment(ask.class_id, ask.equipment_id, **changes)

    await gateway.transact(work)


async def delete_piece(gateway: Gateway, caller: Caller, ask: OnePiece) -> None:
    """Delete a piece of equipment, if it is there; also one of a permanent class."""
    await gateway.transact(lambda tx, stamps: tx.delete_equipment(ask.class_id, ask.equipment_id))


def _require(found: Equipment | None, ask: OnePiece) -> Equipment:
    if found is None:
        raise EQUIPMENT_NOT_FOUND.error(id=ask.equipment_id, class_id=ask.class_id)
    return found
