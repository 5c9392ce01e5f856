"""What the wire shows of networks, devices, classes and equipment; REST and sockets show the same."""

from collections.abc import Callable, Sequence
from typing import Any

from protocol.entities import Device, DeviceClass, Equipment, EquipmentState, Network
from protocol.times import format_ms
from protocol.views import (
    BOOL,
    INT32,
    INT64,
    JSON_VALUE,
    STRING,
    TIME,
    Many,
    View,
    listed,
    nullable,
    or_null,
    reference,
)

CREATED: View[Any] = View("Created", {"id": (INT64, lambda made: made.id)})
"""What was just made, where only its number is new to the caller."""

EQUIPMENT: View[Equipment] = View(
    "Equipment",
    {
        "id": (INT64, lambda piece: piece.id),
        "name": (STRING, lambda piece: piece.name),
        "code": (STRING, lambda piece: piece.code),
        "type": (STRING, lambda piece: piece.type),
        "data": (JSON_VALUE, lambda piece: piece.data),
    },
)

BARE_CLASS: View[DeviceClass] = View(
    "BareDeviceClass",
    {
        "id": (INT64, lambda of: of.id),
        "name": (STRING, lambda of: of.name),
        "version": (STRING, lambda of: of.version),
        "isPermanent": (BOOL, lambda of: of.is_permanent),
        "offlineTimeout": (nullable(INT32), lambda of: of.offline_timeout_s),
        "data": (JSON_VALUE, lambda of: of.data),
    },
)
"""A class without its equipment, as lists and networks show it."""

DEVICE_CLASS: View[DeviceClass] = BARE_CLASS.but(
    "DeviceClass", equipment=(listed(EQUIPMENT), lambda of: [EQUIPMENT(piece) for piece in of.equipment])
)

NETWORK: View[Network] = View(
    "Network",
    {
        "id": (INT64, lambda network: network.id),
        "key": (nullable(STRING), lambda network: network.key),
        "name": (STRING, lambda network: network.name),
        "description": (nullable(STRING), lambda network: network.description),
    },
)

NETWORK_FOR_DEVICE: View[Network] = NETWORK.but("NetworkForDevice", "key")

_NETWORK_IN_NOTICE: View[Network] = NETWORK.but("NetworkInNotice", key=({"type": "null"}, lambda network: None))


def _in(view: View[Network]) -> Any:
    """The member of a device that shows its network so."""
    show = or_null(view)
    return nullable(reference(view)), lambda device: show(device.network)


def _of_first(find: Callable[[Network], Any]) -> Callable[[tuple[Network, Sequence[Device]]], Any]:
    return lambda pair: find(pair[0])


DEVICE: View[Device] = View(
    "Device",
    {
        "id": (STRING, lambda device: device.guid),
        "name": (STRING, lambda device: device.name),
        "status": (nullable(STRING), lambda device: device.status),
        "data": (JSON_VALUE, lambda device: device.data),
        "network": _in(NETWORK),
        "deviceClass": (reference(DEVICE_CLASS), lambda device: DEVICE_CLASS(device.device_class)),
        "isBlocked": (BOOL, lambda device: device.is_blocked),
    },
)

DEVICE_FOR_DEVICE: View[Device] = DEVICE.but("DeviceForDevice", network=_in(NETWORK_FOR_DEVICE))
"""What a device sees of itself: its network without the key."""

DEVICE_IN_NOTICE: View[Device] = DEVICE.but("DeviceInNotice", network=_in(_NETWORK_IN_NOTICE))
"""What ``$device-add`` and ``$device-update`` tell: the network's key is there and always null."""

DEVICE_IN_NETWORK: View[Device] = DEVICE.but(
    "DeviceInNetwork",
    "network",
    deviceClass=(reference(BARE_CLASS), lambda device: BARE_CLASS(device.device_class)),
)

NETWORK_WITH_DEVICES: View[tuple[Network, Sequence[Device]]] = View(
    "NetworkWithDevices",
    {
        **{name: (schema, _of_first(find)) for name, (schema, find) in NETWORK.members.items()},
        "devices": (listed(DEVICE_IN_NETWORK), lambda pair: Many(DEVICE_IN_NETWORK, pair[1])),
    },
)
"""A network, with those of its devices that its reader may see."""

EQUIPMENT_STATE: View[EquipmentState] = View(
    "EquipmentState",
    {
        "id": (STRING, lambda state: state.code),
        "timestamp": (TIME, lambda state: format_ms(state.timestamp_ms)),
        "parameters": (JSON_VALUE, lambda state: state.parameters),
    },
)
