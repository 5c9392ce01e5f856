"""Notifications that the hub itself makes."""

import orjson

from hub.core.stamps import Stamp
from protocol.entities import Device
from protocol.messages import Notification


def device_notification(name: str, device: Device, stamp: Stamp) -> Notification:
    """``$device-add`` or ``$device-update``: the whole device, the network's key left out."""
    parameters = orjson.dumps(device.view_in_notification())
    return Notification(stamp.id, device.id, device.guid, name, stamp.timestamp_ms, parameters)
