"""Admission: how many connections each address, user and device may have, and how often a key may be presented."""

import asyncio
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hub.bus import Presence
from hub.core.access import Address, Principal
from hub.core.connection import Connection
from hub.core.crowds import Crowds
from hub.core.rates import Pace
from hub.gateway.presence import Elsewhere
from protocol.errors import TOO_MANY, TOO_MANY_CONNECTIONS, HubError
from protocol.names import CloseCode

if TYPE_CHECKING:
    from hub.gateway import Gateway


def retry_after_s() -> int:
    """When somebody who was turned away may come back: seconds at random, so that not all of them come at once."""
    return random.randint(1, 30)  # noqa: S311 - spreads retries, guards nothing


class Admission:
    """Who gets in. Connections arrive by their address, enter when they are somebody, and leave.

    Where a limit of the policy is 0, there is none.
    """

    def __init__(self, gateway: "Gateway") -> None:
        policy = gateway.policy
        self._gateway = gateway
        self._policy = policy
        self._keys = Pace(policy.accepts_per_key_per_s, policy.accept_burst_per_key)
        self.crowds: Crowds[Connection] = Crowds(
            per_address=policy.connections_per_address,
            per_user=policy.connections_per_user,
            per_device=policy.connections_per_device,
        )
        self._moved_users: set[int] = set()
        self._moved_devices: set[int] = set()
        self.moved_takers: set[int] = set()
        """Devices of which other workers do not know yet whether a connection here takes their commands."""

    def __len__(self) -> int:
        return len(self.crowds)

    # --- by address

    def arrive(self, address: Address | None) -> None:
        """A handshake comes from this address.

        Raises:
            Unavailable: there are too many connections from it. Otherwise :meth:`depart` when it has gone.
        """
        if not self.crowds.arrive(address):
            raise _full(self._policy.connections_per_address, "per address", "connections-per-address")

    def depart(self, address: Address | None) -> None:
        self.crowds.depart(address)

    # --- by key

    def pace(self, *credential: str) -> None:
        """A key is presented, or a device's id with its key. The secret itself is not kept.

        Counts what is presented, right or wrong: whoever guesses does not slow down the owner.

        Raises:
            LimitReached: too often.
        """
        wait_s = self._keys.take(hash(credential), asyncio.get_running_loop().time())
        if wait_s:
            value, name = self._policy.accepts_per_key_per_s, "accepts-per-key-per-s"
            raise TOO_MANY.error(
                value=f"{value:g}",
                what="authentications per second with one key",
                detail={"limit": name, "value": value},
                retry_after_s=round(wait_s + 0.05, 1),
            )

    # --- by user and device

    def check(self, principal: Principal) -> None:
        """See whether there is room for one more connection of this principal.

        Raises:
            Unavailable: its user has too many.
        """
        if principal.user is None:
            return
        elsewhere = self._gateway.others.elsewhere.of_user(principal.user.id)
        if not self.crowds.has_room(principal.user.id, elsewhere):
            raise _full(self._policy.connections_per_user, "per user", "connections-per-user")

    def enter(self, connection: Connection, principal: Principal) -> None:
        """A connection is somebody from now on; of a device's, the oldest make room."""
        device_id = principal.device.id if principal.device is not None else None
        user_id = principal.user.id if principal.user is not None else None
        elsewhere = self._gateway.others.elsewhere.of_device(device_id) if device_id is not None else ()
        now_us = self._gateway.now_us()
        self._moved(user_id, device_id)
        self._replace(
            self.crowds.enter(connection, user_id=user_id, device_id=device_id, now_us=now_us, elsewhere=elsewhere)
        )

    def _replace(self, ones: Iterable[Connection]) -> None:
        value = self._policy.connections_per_device
        for one in ones:
            self._gateway.close(
                one,
                CloseCode.REPLACED,
                f"replaced by a newer connection: at most {value} per device",
                detail={"limit": "connections-per-device", "value": value},
            )

    def leave(self, connection: Connection) -> None:
        """A connection has gone. Idempotent."""
        self._moved(*self.crowds.leave(connection))

    # --- on other workers

    def _moved(self, user_id: int | None, device_id: int | None) -> None:
        if self._gateway.bus.alone:
            return
        if user_id is not None:
            self._moved_users.add(user_id)
        if device_id is not None:
            self._moved_devices.add(device_id)

    def takes(self, device_id: int | None) -> None:
        """A connection takes a device's commands from now on, or does not any more."""
        if device_id is not None and not self._gateway.bus.alone:
            self.moved_takers.add(device_id)
            self._gateway.arm()

    def presence(self, *, whole: bool) -> Presence:
        """Whose connections are here, for the others: all of it, or what has changed since this was asked last."""
        users, self._moved_users = self._moved_users, set()
        devices, self._moved_devices = self._moved_devices, set()
        takers, self.moved_takers = self.moved_takers, set()
        crowds, here = self.crowds, self._gateway.fan_out.takers
        return Presence(
            {user_id: crowds.of_user(user_id) for user_id in (crowds.users if whole else users)},
            {device_id: crowds.of_device(device_id) for device_id in (crowds.devices if whole else devices)},
            whole=whole,
            takers={one: len(here.of(one)) for one in (here.devices if whole else takers)},
        )

    def heard(self, elsewhere: Elsewhere, lane: int, presence: Presence) -> None:
        """Another worker tells whose connections it has: a device's newest win, wherever they are."""
        elsewhere.hear(lane, presence)
        for device_id in presence.devices:
            self._replace(self.crowds.crowded_out(device_id, elsewhere.of_device(device_id)))


def _full(value: int, what: str, name: str) -> HubError:
    return TOO_MANY_CONNECTIONS.error(
        value=value, what=what, detail={"limit": name, "value": value}, retry_after_s=retry_after_s()
    )
