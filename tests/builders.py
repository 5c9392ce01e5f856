"""Builders of what tests talk about. Each supplies everything that the claim does not mention.

The same guid always stands for the same row; ids and timestamps of messages rise by themselves, as a hub gives them.
"""

from itertools import count
from typing import Any

from protocol.entities import AccessKey, Device, DeviceClass, Equipment, KeyPermission, Network, User
from protocol.messages import Command, Notification
from protocol.names import UserRole
from protocol.requests import to_json

EARLIER_MS = 1_437_717_044_000
"""2015-07-24T05:50:44.000: when the first message of a test was made."""

_rows: dict[str, int] = {}
_ids = count(1_000)
_times_ms = count(EARLIER_MS)


def row(guid: str) -> int:
    """The row id of a device: always the same for a guid, never that of another."""
    return _rows.setdefault(guid, len(_rows) + 1)


# --- messages ---------------------------------------------------------------------------------------------------------


def notification(guid: str = "lamp", name: str = "watts", parameters: Any = None, **members: Any) -> Notification:
    """A notification of a device; ``parameters`` is the value, not its encoding."""
    given = {"id": next(_ids), "device_id": row(guid), "timestamp_ms": next(_times_ms), **members}
    return Notification(device_guid=guid, name=name, parameters=to_json(parameters), **given)


def command(guid: str = "lamp", name: str = "on", parameters: Any = None, **members: Any) -> Command:
    """A command for a device; ``parameters`` and ``result`` are values, not their encodings."""
    given = {"id": next(_ids), "device_id": row(guid), "timestamp_ms": next(_times_ms), **members}
    given["result"] = to_json(given.get("result"))
    return Command(device_guid=guid, name=name, parameters=to_json(parameters), **given)


# --- entities ---------------------------------------------------------------------------------------------------------


def network(network_id: int = 1, **members: Any) -> Network:
    """A network without a key."""
    return Network(network_id, **{"name": f"net-{network_id}", **members})


def equipment(code: str = "LED", **members: Any) -> Equipment:
    """A piece of equipment of a class."""
    return Equipment(**{"id": 1, "name": code.title(), "code": code, "type": "light", **members})


def device_class(**members: Any) -> DeviceClass:
    """A class that registrations may change and whose devices never time out."""
    return DeviceClass(**{"id": 1, "name": "Sensor", "version": "1.0", **members})


def device(guid: str = "lamp", *, network_id: int | None = 1, **members: Any) -> Device:
    """A device in a network; ``network_id=None`` leaves it without one."""
    given: dict[str, Any] = {"id": row(guid), "name": guid.title(), "device_class": device_class()}
    if network_id is not None:
        given["network"] = network(network_id)
    return Device(guid=guid, **{**given, **members})


def user(*networks: int, **members: Any) -> User:
    """An active client who is a member of these networks."""
    return User(**{"id": 2, "login": "alice", "networks": frozenset(networks), **members})


def administrator(**members: Any) -> User:
    """An active administrator."""
    return user(**{"id": 1, "login": "admin", "role": UserRole.ADMIN, **members})


def permission(**members: Any) -> KeyPermission:
    """What narrows a key: lists may be given as such, what is not named is no restriction."""
    return KeyPermission(**{name: None if value is None else tuple(value) for name, value in members.items()})


def access_key(*permissions: KeyPermission, **members: Any) -> AccessKey:
    """A key of ``user()`` that never expires. Without permissions it may do all that its owner may."""
    return AccessKey(
        **{"id": 7, "user_id": 2, "label": "a key", "permissions": permissions or (permission(),), **members}
    )
