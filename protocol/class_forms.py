"""What REST requests about device classes and their equipment hold."""

from dataclasses import dataclass
from typing import Any

from protocol.forms import (
    ANYTHING,
    BOOLEAN,
    INT32,
    INTEGER,
    NUMBER_ASKED,
    TEXT,
    TEXT_ASKED,
    Form,
    ListForm,
    an_object,
    body,
    one_of,
    path,
    query,
)
from protocol.requests import EQUIPMENT_LIST, SaveClass, SaveEquipment, Unset

CLASS_OBJECT = an_object(SaveClass.read, SaveClass.takes.members)
"""The class that a registration names."""

# --- classes ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ListClasses(ListForm):
    """Which classes, in which order. A pattern makes the plain name be ignored."""

    name: str | None = query(TEXT_ASKED)
    name_pattern: str | None = query(TEXT_ASKED)
    version: str | None = query(TEXT_ASKED)
    sort_field: str | None = query(one_of("ID", "Name"))


@dataclass(slots=True, kw_only=True)
class OneClass(Form):
    """A class by its number."""

    class_id: int = path(NUMBER_ASKED, "id")


@dataclass(slots=True, kw_only=True)
class CreateClass(Form):
    """A class to be made."""

    needs_body = True

    id: int | None | Unset = body(INTEGER)
    name: str | None | Unset = body(TEXT, required=True)
    version: str | None | Unset = body(TEXT, required=True)
    is_permanent: bool | None | Unset = body(BOOLEAN)
    offline_timeout_s: int | None | Unset = body(INT32, "offlineTimeout")
    data: Any = body(ANYTHING)
    equipment: tuple[SaveEquipment, ...] | None | Unset = body(EQUIPMENT_LIST)


@dataclass(slots=True, kw_only=True)
class UpdateClass(OneClass):
    """What changes about a class; equipment, if it is there, replaces the whole set."""

    name: str | None | Unset = body(TEXT)
    version: str | None | Unset = body(TEXT)
    is_permanent: bool | None | Unset = body(BOOLEAN)
    offline_timeout_s: int | None | Unset = body(INT32, "offlineTimeout")
    data: Any = body(ANYTHING)
    equipment: tuple[SaveEquipment, ...] | None | Unset = body(EQUIPMENT_LIST)


# --- equipment --------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class OfClass(Form):
    """Something of the equipment of a class."""

    class_id: int = path(NUMBER_ASKED, "deviceClassId")


@dataclass(slots=True, kw_only=True)
class OnePiece(OfClass):
    """A piece of equipment by its number."""

    equipment_id: int = path(NUMBER_ASKED, "id")


@dataclass(slots=True, kw_only=True)
class CreatePiece(OfClass):
    """A piece of equipment to be made."""

    needs_body = True

    name: str | None | Unset = body(TEXT, required=True)
    code: str | None | Unset = body(TEXT, required=True)
    type: str | None | Unset = body(TEXT, required=True)
    data: Any = body(ANYTHING)


@dataclass(slots=True, kw_only=True)
class UpdatePiece(OnePiece):
    """What changes about a piece of equipment."""

    name: str | None | Unset = body(TEXT)
    code: str | None | Unset = body(TEXT)
    type: str | None | Unset = body(TEXT)
    data: Any = body(ANYTHING)
