"""Device registration: one procedure for sockets and REST, for every kind of caller, inside one transaction.

If any step refuses, everything before it is undone, networks and classes made on the way included.
"""

import hmac
from typing import Any

from hub.actions.equipment import differ, replace_equipment
from hub.core.access import Principal
from hub.gateway.policy import Policy
from hub.gateway.policy import Registration as Anonymous
from hub.store import Tx
from protocol.entities import Device, DeviceClass, Network
from protocol.errors import (
    BAD_CREDENTIALS,
    DEVICE_CLASS_REQUIRED,
    DEVICE_EMPTY,
    DEVICE_KEY_REQUIRED,
    DEVICE_NAME_REQUIRED,
    DEVICE_NOT_YOURS,
    GUID_REQUIRED,
    NETWORK_KEY,
    NO_NETWORK_ACCESS,
    NO_NETWORK_CREATION,
    NOT_PERMITTED,
    HubError,
    violation,
)
from protocol.names import KeyAction, Role
from protocol.requests import UNSET, SaveClass, SaveDevice, SaveNetwork, Unset, or_none
from protocol.rules import DEVICE, DEVICE_CLASS, NETWORK, check


def check_request(ask: SaveDevice, principal: Principal) -> str:
    """What can be refused without looking at anything stored. Returns the guid."""
    if ask.device_guid is None:
        raise GUID_REQUIRED.error(detail={"parameter": "deviceId"})
    if ask.device_key is None and principal.is_anonymous:
        raise DEVICE_KEY_REQUIRED.error(detail={"parameter": "deviceKey"})
    if not ask.given:
        raise DEVICE_EMPTY.error(detail={"parameter": "device"})
    if ask.name is None:
        raise DEVICE_NAME_REQUIRED.error(detail={"parameter": "device.name"})
    if ask.key is None:
        raise DEVICE_KEY_REQUIRED.error(detail={"parameter": "device.key"})
    if ask.device_class is None:
        raise DEVICE_CLASS_REQUIRED.error(detail={"parameter": "device.deviceClass"})
    check(DEVICE, guid=ask.device_guid)
    return ask.device_guid


class Registration:
    """One registration. :meth:`run` it inside a transaction.

    Args:
        auto_create: whether anybody may make a network by naming it.
        for_others: whether a device may save other devices: a gateway those behind it.
    """

    def __init__(
        self, ask: SaveDevice, principal: Principal, policy: Policy, *, auto_create: bool, for_others: bool
    ) -> None:
        self._ask = ask
        self._principal = principal
        self._policy = policy
        self._for_others = for_others
        self._auto_create = auto_create
        self._guid = ask.device_guid or ""
        # A gateway saves the devices behind it: they are not its own, so the rules for strangers hold, but a failure
        # reads as if a device had named another.
        self._foreign = principal.device is not None and principal.device.guid != self._guid
        self._role = Role.ANONYMOUS if self._foreign else principal.role

    def run(self, tx: Tx) -> tuple[Device, bool]:
        """Register.

        Returns:
            The device as it is now, and whether it is new.
        """
        existing = tx.device(self._guid)
        self._check_early(tx, existing)
        network = self._network(tx, existing)
        device_class = self._class(tx, existing)
        if existing is not None:
            self._check_existing(tx, existing)
            self._update(tx, existing, network, device_class)
        else:
            self._insert(tx, network, device_class)
        device = tx.device(self._guid)
        assert device is not None, "it was written in this transaction"
        return device, existing is None

    # --- who may

    def _check_early(self, tx: Tx, existing: Device | None) -> None:
        if self._foreign and not self._for_others:
            raise self._not_yours()
        if self._role is Role.ANONYMOUS:
            self._check_stranger(tx, existing)
        elif self._role is Role.DEVICE:
            self._check_other_network(tx, existing)
        elif self._role is Role.KEY and existing is not None and not self._reaches(existing):
            raise self._not_yours()

    def _check_stranger(self, tx: Tx, existing: Device | None) -> None:
        if existing is not None:
            self._check_other_network(tx, existing)
        elif self._policy.anonymous_registration is Anonymous.OFF:
            raise NOT_PERMITTED.error()
        elif self._policy.anonymous_registration is Anonymous.NETWORK_KEY:
            self._check_network_key(tx)

    def _check_other_network(self, tx: Tx, existing: Device | None) -> None:
        """Moving into another network takes its key, unless registration is open."""
        asked = self._ask.network
        if self._policy.anonymous_registration is Anonymous.OPEN or not isinstance(asked, SaveNetwork):
            return
        present = existing.network.name if existing is not None and existing.network is not None else None
        if asked.name != present:
            self._check_network_key(tx)

    def _check_network_key(self, tx: Tx) -> None:
        """The request must name an existing network that has a key, and carry it. Nothing tells what was wrong."""
        asked = self._ask.network
        network = tx.network_by_name(asked.name or "") if isinstance(asked, SaveNetwork) else None
        if network is None or network.key is None or not _same(network.key, asked.key):  # type: ignore[union-attr]
            raise NETWORK_KEY.error()

    def _reaches(self, device: Device) -> bool:
        return self._principal.access.sees(KeyAction.REGISTER_DEVICE, device)

    def _check_existing(self, tx: Tx, existing: Device) -> None:
        if self._role is Role.ANONYMOUS:
            self._check_device_key(tx, existing)
        elif self._role is Role.DEVICE:
            if isinstance(self._ask.key, str) and not tx.device_key_matches(existing.id, self._ask.key):
                raise BAD_CREDENTIALS.error()
        elif not self._reaches(existing):
            raise self._not_yours() if self._role is Role.KEY else NOT_PERMITTED.error()

    def _check_device_key(self, tx: Tx, existing: Device) -> None:
        key = self._ask.key
        matches = isinstance(key, str) and tx.device_key_matches(existing.id, key)
        if not matches or (existing.is_blocked and not self._policy.devices_self_unblock):
            raise self._not_yours() if self._foreign else BAD_CREDENTIALS.error()

    def _not_yours(self) -> HubError:
        return DEVICE_NOT_YOURS.error(guid=self._guid)

    # --- the network

    def _network(self, tx: Tx, existing: Device | None) -> int | None | Unset:
        asked = self._ask.network
        if isinstance(asked, SaveNetwork):
            found = tx.network_by_name(asked.name) if asked.name is not None else None
            return self._join(found, asked) if found is not None else self._create(tx, asked)
        if existing is None:
            return self._default_network()
        return asked if isinstance(asked, Unset) else None

    def _join(self, network: Network, asked: SaveNetwork) -> int:
        if network.key is not None and not _same(network.key, asked.key):
            raise NETWORK_KEY.error()
        if self._role in (Role.CLIENT, Role.KEY) and not self._principal.access.reaches_network(
            KeyAction.REGISTER_DEVICE, network.id
        ):
            raise NO_NETWORK_ACCESS.error()
        return network.id

    def _create(self, tx: Tx, asked: SaveNetwork) -> int:
        check(NETWORK, name=asked.name, key=asked.key, description=asked.description)
        manages = self._role is Role.ADMIN or (
            self._role is Role.KEY and self._principal.access.allows(KeyAction.MANAGE_NETWORK)
        )
        if not (manages or self._auto_create):
            raise NO_NETWORK_CREATION.error()
        return tx.insert_network(name=asked.name or "", key=asked.key, description=asked.description).id

    def _default_network(self) -> int | None:
        """A client's new device that names no network goes into the first of the client's own."""
        if not self._for_client:
            return None
        networks = self._principal.access.networks.get(KeyAction.REGISTER_DEVICE)
        return min(networks, default=None) if networks is not None else None

    @property
    def _for_client(self) -> bool:
        user = self._principal.user
        return user is not None and not user.is_admin

    # --- the class

    def _class(self, tx: Tx, existing: Device | None) -> int | Unset:
        asked = self._ask.device_class
        if not isinstance(asked, SaveClass):
            return UNSET
        check(DEVICE_CLASS, name=asked.name, version=asked.version)
        found = tx.device_class(asked.name or "", asked.version or "")
        if found is None:
            found = tx.insert_class(
                name=asked.name or "",
                version=asked.version or "",
                is_permanent=bool(asked.is_permanent),
                offline_timeout_s=asked.offline_timeout_s or None,
                data=or_none(asked.data),
            )
            self._replace_equipment(tx, found, asked)
        elif not found.is_permanent:
            self._update_class(tx, found, asked)
        return found.id

    def _update_class(self, tx: Tx, found: DeviceClass, asked: SaveClass) -> None:
        changes: dict[str, Any] = {
            "is_permanent": asked.is_permanent if asked.is_permanent is not None else UNSET,
            "offline_timeout_s": asked.offline_timeout_s,
            "data": asked.data,
        }
        changed = {
            name: value for name, value in changes.items() if value is not UNSET and differ(value, getattr(found, name))
        }
        if changed:
            tx.update_class(found.id, **changed)
        self._replace_equipment(tx, found, asked)

    def _replace_equipment(self, tx: Tx, found: DeviceClass, asked: SaveClass) -> None:
        equipment = asked.equipment if asked.equipment is not None else self._ask.equipment
        if equipment is not None:
            replace_equipment(tx, found, equipment, most=self._policy.equipment)

    # --- the device

    def _update(self, tx: Tx, existing: Device, network: int | None | Unset, device_class: int | Unset) -> None:
        ask = self._ask
        in_person = self._role in (Role.ADMIN, Role.CLIENT, Role.KEY)
        changes: dict[str, Any] = {"status": ask.status, "data": ask.data, "network_id": network}
        if self._role is not Role.ANONYMOUS:
            changes["name"] = ask.name
        if in_person:
            changes["key"] = ask.key
        if in_person or self._policy.devices_self_unblock:
            changes["is_blocked"] = UNSET if ask.is_blocked is UNSET else bool(ask.is_blocked)
        if not (self._role in (Role.KEY, Role.DEVICE) and existing.device_class.is_permanent):
            changes["class_id"] = device_class
        check(DEVICE, **changes)
        present = _values(existing)
        changed = {
            name: value
            for name, value in changes.items()
            if value is not UNSET and (name not in present or differ(value, present[name]))
        }
        if changed:
            tx.update_device(existing.id, **changed)

    def _insert(self, tx: Tx, network: int | None | Unset, device_class: int | Unset) -> None:
        ask = self._ask
        key = ask.key if isinstance(ask.key, str) else or_none(ask.device_key)
        check(DEVICE, key=key, name=or_none(ask.name), status=ask.status)
        if isinstance(device_class, Unset):
            raise violation("deviceClass", None, "deviceClass field cannot be null.")
        device = tx.insert_device(
            guid=self._guid,
            key=key or "",
            name=ask.name or "",
            class_id=device_class,
            network_id=network or None,
            status=ask.status or None,
            data=or_none(ask.data),
            is_blocked=bool(ask.is_blocked),
        )
        if network is None and self._for_client:
            # Without a network only a link lets its creator see the device.
            tx.add_link(("user", self._principal.require_user().id), ("device", device.id))


def _values(device: Device) -> dict[str, Any]:
    """What a registration may change, by the names of the store; all but the key, which nobody can read."""
    return {
        "name": device.name,
        "status": device.status,
        "data": device.data,
        "network_id": device.network_id,
        "class_id": device.device_class.id,
        "is_blocked": device.is_blocked,
    }


def _same(secret: str, given: str | None) -> bool:
    return given is not None and hmac.compare_digest(secret.encode(), given.encode())
