"""Who a connection is, and what a device tells about itself when it registers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from protocol.names import Endpoint


@dataclass(frozen=True, slots=True)
class Credentials:
    """Members of ``authenticate``, with the endpoint that takes them. The secret never shows in a repr."""

    endpoint: Endpoint
    members: Mapping[str, str] = field(repr=False)

    @classmethod
    def user(cls, login: str, password: str) -> Self:
        return cls(Endpoint.CLIENT, {"login": login, "password": password})

    @classmethod
    def access_key(cls, key: str) -> Self:
        return cls(Endpoint.CLIENT, {"accessKey": key})

    @classmethod
    def device(cls, guid: str, key: str) -> Self:
        return cls(Endpoint.DEVICE, {"deviceId": guid, "deviceKey": key})


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What ``device/save`` says about a device. None: leave it as it is.

    Attributes:
        name: for people.
        device_class, class_version: what kind of device it is; made when the hub does not know it.
        network, network_key: a new device that registers itself needs an existing network and its key.
        status: the device's own word, such as ``Online``.
        data: anything about the device.
        offline_timeout_s: seconds of silence after which the hub writes the status ``Offline``, for the whole class.
        equipment: parts of devices of the class: mappings with ``name``, ``code``, ``type`` and perhaps ``data``.
    """

    name: str
    device_class: str
    class_version: str = "1.0"
    network: str | None = None
    network_key: str | None = field(default=None, repr=False)
    status: str | None = None
    data: Any = None
    offline_timeout_s: int | None = None
    equipment: Sequence[Mapping[str, Any]] = ()

    def members(self, guid: str, key: str | None) -> dict[str, Any]:
        """The members of ``device/save``. ``key``: the device's; None leaves the one that it has."""
        device = _given(
            key=key,
            name=self.name,
            status=self.status,
            data=self.data,
            network=_given(name=self.network, key=self.network_key) or None,
            deviceClass=_given(
                name=self.device_class,
                version=self.class_version,
                offlineTimeout=self.offline_timeout_s,
                equipment=[dict(part) for part in self.equipment] or None,
            ),
        )
        return _given(deviceId=guid, deviceKey=key, device=device)


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
