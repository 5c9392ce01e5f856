"""Entities: what the hub knows about users, networks, devices and keys. Views show them on the wire.

Entities are values: nobody changes one after it was made. Secrets are never part of them; the store holds keyed
hashes of keys and checks passwords itself.
"""

from dataclasses import dataclass, field
from typing import Any

from protocol.names import AccessType, GrantType, KeyType, UserRole, UserStatus


@dataclass(frozen=True, slots=True)
class User:
    """A person or program with a login.

    Attributes:
        networks: ids of the networks that the user is a member of.
        linked_devices: guids of devices linked to the user directly.
        linked_groups: ids of groups linked to the user.
        password_changes: counts changes of the password; a connection that logged in before the last one ends.
        google_login, facebook_login, github_login: who the user is for others that vouch for logins; None: nobody.
    """

    id: int
    login: str
    role: UserRole = UserRole.CLIENT
    status: UserStatus = UserStatus.ACTIVE
    last_login_ms: int | None = None
    data: Any = None
    networks: frozenset[int] = frozenset()
    linked_devices: frozenset[str] = frozenset()
    linked_groups: frozenset[int] = frozenset()
    password_changes: int = 0
    google_login: str | None = None
    facebook_login: str | None = None
    github_login: str | None = None

    @property
    def is_admin(self) -> bool:
        return self.role is UserRole.ADMIN

    @property
    def is_active(self) -> bool:
        return self.status is UserStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Network:
    """Tenancy and enrolment: a device is in at most one, and its members see the devices in it.

    Attributes:
        key: a shared secret that a registration into the network must repeat; None: it takes no secret.
    """

    id: int
    name: str
    key: str | None = field(default=None, repr=False)
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Equipment:
    """A part that devices of a class have."""

    id: int
    name: str
    code: str
    type: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class DeviceClass:
    """What kind of device it is.

    Attributes:
        offline_timeout_s: seconds of silence after which a device counts as offline; None: never.
        is_permanent: whether registrations leave the class alone.
    """

    id: int
    name: str
    version: str
    is_permanent: bool = False
    offline_timeout_s: int | None = None
    data: Any = None
    equipment: tuple[Equipment, ...] = ()


@dataclass(frozen=True, slots=True)
class Device:
    """Something that is connected.

    Attributes:
        id: the row; never on the wire.
        guid: what the wire calls ``id``: 1 to 48 characters, chosen by the device.
        groups: ids of the device's group and that group's ancestors.
        has_users: whether a user is linked to the device or to one of its groups.
    """

    id: int
    guid: str
    name: str
    device_class: DeviceClass
    status: str | None = None
    data: Any = None
    network: Network | None = None
    is_blocked: bool = False
    groups: tuple[int, ...] = ()
    has_users: bool = False

    @property
    def network_id(self) -> int | None:
        return self.network.id if self.network is not None else None


@dataclass(frozen=True, slots=True)
class KeyPermission:
    """What narrows an access key. None: no restriction. An empty tuple: nothing is allowed."""

    domains: tuple[str, ...] | None = None
    subnets: tuple[str, ...] | None = None
    actions: tuple[str, ...] | None = None
    network_ids: tuple[int, ...] | None = None
    device_guids: tuple[str, ...] | None = None

    def view(self) -> dict[str, Any]:
        return {
            "domains": _listed(self.domains),
            "subnets": _listed(self.subnets),
            "actions": _listed(self.actions),
            "networkIds": _listed(self.network_ids),
            "deviceGuids": _listed(self.device_guids),
        }


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A credential that acts for its owner, narrowed by its permissions.

    Attributes:
        start: the first characters of the key, to recognise it by.
        expires_ms: milliseconds since 1970; None: never.
        permissions: any one of them suffices; none at all allows nothing.
    """

    id: int
    user_id: int
    label: str
    start: str = ""
    type: KeyType = KeyType.DEFAULT
    expires_ms: int | None = None
    permissions: tuple[KeyPermission, ...] = ()

    def expired(self, now_ms: int) -> bool:
        return self.expires_ms is not None and self.expires_ms <= now_ms

    @property
    def masked(self) -> str:
        """What a list shows instead of the key: its start and asterisks, 44 characters as the key has."""
        return self.start.ljust(44, "*")


@dataclass(frozen=True, slots=True)
class EquipmentState:
    """The last reported state of one piece of a device's equipment."""

    code: str
    timestamp_ms: int
    parameters: Any


# --- OAuth 2 ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An application that users may let act for them. Its secret is the store's.

    Attributes:
        oauth_id: what it calls itself.
        domain, subnet: from where its keys may be used, in a page and at all; without a subnet from anywhere.
        redirect_uri: where browsers are sent with a code or a key.
    """

    id: int
    name: str
    domain: str
    redirect_uri: str
    oauth_id: str
    subnet: str | None = None


@dataclass(frozen=True, slots=True)
class OAuthGrant:
    """What a user lets an OAuth client do.

    Attributes:
        timestamp_ms: when it was made or last changed, in milliseconds since 1970.
        key: what the client gets by it; its permission is made of the scope.
        scope: names of key actions, with single blanks between them.
        network_ids: None: all networks of the user.
        auth_code: of type ``Code``, until it is exchanged.
        code_challenge: what a secret of whoever asked for the code hashes to (RFC 7636); None: it told none.
    """

    id: int
    timestamp_ms: int
    user_id: int
    client: OAuthClient
    key: AccessKey
    type: GrantType
    access_type: AccessType
    redirect_uri: str
    scope: str
    network_ids: tuple[int, ...] | None = None
    auth_code: str | None = field(default=None, repr=False)
    code_challenge: str | None = None
