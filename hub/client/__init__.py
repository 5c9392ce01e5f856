"""The Python client: a device or a dashboard in a few lines.

::

    async with connect_device(url, guid="lamp", key="…") as device:
        await device.notify("temperature", {"value": 21.5})
        async for command in device.commands():
            await command.reply("done", {"lit": True})

    async with connect(url, access_key="…") as hub:
        async for notification in hub.notifications(devices=["lamp"], names=["temperature"]):
            print(notification.device_guid, notification.parameters)

It reconnects by itself, goes on where it was, repeats what was not answered, and says so when something was missed.
"""

from hub.client.application import Hub, connect
from hub.client.credentials import Registration
from hub.client.device import Command, Device, connect_device
from hub.client.errors import ClientError, ConnectionLost, CredentialsRefused, HubRefused, NoAnswer, Replaced
from hub.client.profile import BadProfile, Profile, ProfileReadableByOthers
from hub.client.socket import Options
from hub.client.stream import Stream
from protocol.client import ClientLimit
from protocol.client_events import CommandView, NotificationView
from protocol.names import Overflow, Subprotocol

__all__ = [
    "BadProfile",
    "ClientError",
    "ClientLimit",
    "Command",
    "CommandView",
    "ConnectionLost",
    "CredentialsRefused",
    "Device",
    "Hub",
    "HubRefused",
    "NoAnswer",
    "NotificationView",
    "Options",
    "Overflow",
    "Profile",
    "ProfileReadableByOthers",
    "Registration",
    "Replaced",
    "Stream",
    "Subprotocol",
    "connect",
    "connect_device",
]
