"""Notifications that the hub itself makes."""

import orjson

from hub.core.stamps import Stamp
from protocol.device_views import DEVICE_IN_NOTICE
from protocol.entities import Device
from protocol.messages import Notification


def device_notification(name: str, device: Device, stamp: Stamp) -> Notification:
    """``$device-add`` or ``$device-update``: the whole device, the network's key left out."""
    parameters = orjson.dumps(DEVICE_IN_NOTICE(device))
    return Notification(stamp.id, device.id, device.guid, name, stamp.timestamp_ms, parameters)
