"""Who called an action, and over what."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from hub.core.access import Peer, Principal
from hub.core.connection import Connection
from hub.store import Idempotency
from protocol.entities import Device
from protocol.names import Action, KeyAction, Role


@dataclass(slots=True)
class Caller:
    """A principal and, if it asked over a socket, its connection.

    Attributes:
        peer, base_url: of a request without a connection: where it came from, and scheme, host and context path that
            it used.
        epoch: of a request without a connection: that of the rights, when reading about its principal began.
        by_header: whether a request without a connection asked for extended mode.
        gone: returns when whoever asked is not there any more to be answered; None: nobody can tell. To be called once.
    """

    principal: Principal
    connection: Connection | None = None
    peer: Peer = Peer()
    base_url: str = ""
    epoch: int = 0
    gone: Callable[[], Coroutine[Any, Any, None]] | None = None
    by_header: bool = False

    @property
    def extended(self) -> bool:
        """Whether the answer may have what DeviceHive's has not."""
        return self.by_header if self.connection is None else self.connection.extended

    def sees(self, action: KeyAction, device: Device | None) -> bool:
        """Whether the device exists for this caller, as far as this action goes."""
        return device is not None and self.principal.access.sees(action, device)

    def own_guid(self, device_guid: str | None) -> str | None:
        """The device that is meant: a device that names none means itself."""
        if device_guid is None and self.principal.role is Role.DEVICE:
            return self.principal.require_device().guid
        return device_guid

    def idempotency(self, action: Action, key: str | None) -> Idempotency | None:
        return None if key is None else Idempotency(self.principal.identity, action.value, key)
