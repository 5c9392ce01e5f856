"""What REST requests about networks and devices hold."""

from dataclasses import dataclass
from typing import Any

from protocol.class_forms import CLASS_OBJECT
from protocol.forms import (
    ANYTHING,
    BOOLEAN,
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
from protocol.requests import EQUIPMENT_LIST, UNSET, SaveClass, SaveDevice, SaveEquipment, SaveNetwork, Unset

# --- networks ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ListNetworks(ListForm):
    """Which networks, in which order."""

    name: str | None = query(TEXT_ASKED)
    name_pattern: str | None = query(TEXT_ASKED)
    sort_field: str | None = query(one_of("ID", "Name"))


@dataclass(slots=True, kw_only=True)
class OneNetwork(Form):
    """A network by its number."""

    network_id: int = path(NUMBER_ASKED, "id")


@dataclass(slots=True, kw_only=True)
class CreateNetwork(Form):
    """A network to be made."""

    needs_body = True

    id: int | None | Unset = body(INTEGER)
    name: str | None | Unset = body(TEXT, required=True)
    key: str | None | Unset = body(TEXT)
    description: str | None | Unset = body(TEXT)


@dataclass(slots=True, kw_only=True)
class UpdateNetwork(OneNetwork):
    """What changes about a network."""

    name: str | None | Unset = body(TEXT)
    key: str | None | Unset = body(TEXT)
    description: str | None | Unset = body(TEXT)


# --- devices ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class ListDevices(ListForm):
    """Which devices, in which order."""

    name: str | None = query(TEXT_ASKED)
    name_pattern: str | None = query(TEXT_ASKED)
    status: str | None = query(TEXT_ASKED)
    network_id: int | None = query(NUMBER_ASKED)
    network_name: str | None = query(TEXT_ASKED)
    device_class_id: int | None = query(NUMBER_ASKED)
    device_class_name: str | None = query(TEXT_ASKED)
    device_class_version: str | None = query(TEXT_ASKED)
    sort_field: str | None = query(one_of("Name", "Status", "Network", "DeviceClass"))


@dataclass(slots=True, kw_only=True)
class OneDevice(Form):
    """A device by its guid."""

    guid: str = path(TEXT_ASKED)


@dataclass(slots=True, kw_only=True)
class OneState(OneDevice):
    """The state of one piece of a device's equipment."""

    code: str = path(TEXT_ASKED)


@dataclass(slots=True, kw_only=True)
class RegisterDevice(OneDevice):
    """A device to be made, or what changes about one."""

    needs_body = True

    key: str | None | Unset = body(TEXT)
    name: str | None | Unset = body(TEXT)
    status: str | None | Unset = body(TEXT)
    data: Any = body(ANYTHING)
    network: SaveNetwork | None | Unset = body(an_object(SaveNetwork.read, SaveNetwork.takes.members))
    device_class: SaveClass | None | Unset = body(CLASS_OBJECT)
    blocked: bool | None | Unset = body(BOOLEAN)
    is_blocked: bool | None | Unset = body(BOOLEAN)
    equipment: tuple[SaveEquipment, ...] | None = body(EQUIPMENT_LIST, default=None)

    def to_request(self) -> SaveDevice:
        """What a socket would have asked; the key of a device has one place only here."""
        return SaveDevice(
            self.guid,
            UNSET,
            given=True,
            key=self.key,
            name=self.name,
            status=self.status,
            data=self.data,
            network=self.network,
            device_class=self.device_class,
            is_blocked=self.blocked if self.is_blocked is UNSET else self.is_blocked,
            equipment=self.equipment,
        )
