"""Access: what a principal reaches, compiled once from user, networks, links and key so that asking costs nothing.

A **clause** is a conjunction (in one of these networks, and one of these devices, and in one of these groups); access
to an action is a union of clauses. Clauses are symbolic: an administrator's is empty and means everything, a client's
names networks, a key's names what the key lists. No list of devices is ever expanded, so compiling costs the same with
ten devices and with a hundred thousand, and a device that moves or is made later needs no recompiling.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from protocol.entities import AccessKey, Device, KeyPermission, User
from protocol.errors import NOT_AUTHENTICATED, NOT_PERMITTED
from protocol.names import ADMIN_ACTIONS, Action, KeyAction, Operation, Role
from protocol.values import INTEGER_TEXT, to_json

Address = IPv4Address | IPv6Address
Block = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a connection came from: key permissions are evaluated against it.

    Attributes:
        address: the client's address, after trusted proxies; IPv4-mapped addresses are already IPv4. None: unknown.
        origin: the value of the first Origin header; None: none was sent, so a program or a device.
    """

    address: Address | None = None
    origin: str | None = None


def parse_address(text: str) -> Address | None:
    """Read an address; an IPv4 address inside an IPv6 one is taken as IPv4. None: not an address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@dataclass(frozen=True, slots=True)
class Clause:
    """A conjunction over a device. None: no condition of this sort; all None: every device."""

    networks: frozenset[int] | None = None
    guids: frozenset[str] | None = None
    groups: frozenset[int] | None = None

    def admits(self, guid: str, network_id: int | None, groups: tuple[int, ...]) -> bool:
        """Whether a device at this place satisfies every condition."""
        return (
            (self.guids is None or guid in self.guids)
            and (self.networks is None or network_id in self.networks)
            and (self.groups is None or not self.groups.isdisjoint(groups))
        )

    def narrowed(self, *, networks: Iterable[int] | None = None, guids: Iterable[str] | None = None) -> "Clause | None":
        """This clause and these conditions too; None when nothing can satisfy both."""
        clause = Clause(_both(self.networks, networks), _both(self.guids, guids), self.groups)
        empty = frozenset[Any]()
        return None if empty in (clause.networks, clause.guids, clause.groups) else clause


def _both(one: frozenset[Any] | None, other: Iterable[Any] | None) -> frozenset[Any] | None:
    if other is None:
        return one
    return frozenset(other) if one is None else one.intersection(other)


EVERYTHING = Clause()

Clauses = tuple[Clause, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """The compiled answer: for each action, which devices and which networks.

    Attributes:
        clauses: by action; an action that is missing is not allowed at all, one with no clauses is allowed and reaches
            nothing.
        networks: by action, the networks that a registration may name; None: all.
    """

    clauses: Mapping[KeyAction, Clauses] = field(default_factory=dict)
    networks: Mapping[KeyAction, frozenset[int] | None] = field(default_factory=dict)

    def allows(self, action: KeyAction) -> bool:
        return action in self.clauses

    def scopes(self, action: KeyAction) -> Clauses:
        """The clauses for an action; none when it is not allowed."""
        return self.clauses.get(action, ())

    def sees(self, action: KeyAction, device: Device) -> bool:
        """Whether the action may be done to this device."""
        # A loop, not any(): asked for every message, and a generator costs more than the answer.
        for clause in self.clauses.get(action, ()):
            if clause.admits(device.guid, device.network_id, device.groups):
                return True
        return False

    def reaches_network(self, action: KeyAction, network_id: int) -> bool:
        """Whether the action may name this network."""
        networks = self.networks.get(action, frozenset())
        return networks is None or network_id in networks


NO_ACCESS = Access()


@dataclass(slots=True, eq=False, weakref_slot=True)
class Principal:
    """Who is asking: a user, a user through a key, a device, or nobody.

    Attributes:
        user: the user, or the owner of the key.
        device: the device as it was when it authenticated; ask the gateway for what it is now.
        by_password: a user who logged in: the connection ends when the password changes.
    """

    role: Role
    access: Access = NO_ACCESS
    user: User | None = None
    key: AccessKey | None = None
    device: Device | None = None
    by_password: bool = False

    @property
    def identity(self) -> str:
        """Stable text that tells principals apart: ``user:1``, ``key:7``, ``device:42``, ``anonymous``."""
        if self.key is not None:
            return f"key:{self.key.id}"
        if self.user is not None:
            return f"user:{self.user.id}"
        return f"device:{self.device.id}" if self.device is not None else "anonymous"

    @property
    def is_anonymous(self) -> bool:
        return self.role is Role.ANONYMOUS

    def require_device(self) -> Device:
        """The device that this principal is; only for callers that know its role."""
        assert self.device is not None, "only a device principal gets here"
        return self.device

    def require_user(self) -> User:
        """The user behind this principal; only for callers that know its role."""
        assert self.user is not None, "only a user or key principal gets here"
        return self.user


ANONYMOUS = Principal(Role.ANONYMOUS)


# --- compiling --------------------------------------------------------------------------------------------------------


def user_principal(user: User, *, by_password: bool = False) -> Principal:
    """The principal of a user who acts in person: everything that the user reaches, for every action of the role."""
    clauses = reach(user)
    networks = None if user.is_admin else user.networks
    access = Access(dict.fromkeys(KeyAction, clauses), dict.fromkeys(KeyAction, networks))
    return Principal(Role.ADMIN if user.is_admin else Role.CLIENT, access, user, by_password=by_password)


def key_principal(key: AccessKey, owner: User, peer: Peer) -> Principal:
    """The principal of an access key: what its owner reaches, narrowed by the permissions that apply to this peer."""
    clauses: dict[KeyAction, Clauses] = {}
    networks: dict[KeyAction, frozenset[int] | None] = {}
    meant = [as_meant(entry) for entry in key.permissions]
    for action in KeyAction:
        permissions = [entry for entry in meant if applies(entry, action, owner, peer)]
        if permissions:
            clauses[action] = narrow(reach(owner), permissions)
            networks[action] = networks_of(owner, permissions)
    return Principal(Role.KEY, Access(clauses, networks), owner, key)


def device_principal(device: Device) -> Principal:
    """The principal of a device: itself only."""
    itself = (Clause(guids=frozenset((device.guid,))),)
    return Principal(Role.DEVICE, Access(dict.fromkeys(KeyAction, itself)), device=device)


def scopes_of_both(principal: Principal, one: KeyAction, other: KeyAction, peer: Peer) -> Clauses:
    """Which devices a principal reaches for two actions at once. Of a key, one permission has to allow both: what
    several of them allow apart does not add up."""
    key, owner = principal.key, principal.user
    if key is None or owner is None:
        return principal.access.scopes(other) if principal.access.allows(one) else ()
    meant = map(as_meant, key.permissions)
    both = [entry for entry in meant if all(applies(entry, action, owner, peer) for action in (one, other))]
    return narrow(reach(owner), both)


def reach(user: User) -> Clauses:
    """Which devices a user sees in person."""
    if user.is_admin:
        return (EVERYTHING,)
    clauses = (
        Clause(networks=user.networks),
        Clause(guids=user.linked_devices),
        Clause(groups=user.linked_groups),
    )
    return tuple(
        clause
        for clause, some in zip(clauses, (user.networks, user.linked_devices, user.linked_groups), strict=True)
        if some
    )


def narrow(clauses: Clauses, permissions: Iterable[KeyPermission]) -> Clauses:
    """What is left of a reach when these permissions, as they are meant, narrow it: what any of them leaves."""
    narrowed = (
        clause.narrowed(networks=permission.network_ids, guids=permission.device_guids)
        for permission in permissions
        for clause in clauses
    )
    return tuple(dict.fromkeys(clause for clause in narrowed if clause is not None))


def networks_of(owner: User, permissions: Iterable[KeyPermission]) -> frozenset[int] | None:
    """The networks that these permissions, as they are meant, leave to a user; None: all."""
    own = None if owner.is_admin else owner.networks
    named: set[int] = set()
    for permission in permissions:
        if permission.network_ids is None:
            return own
        named.update(permission.network_ids)
    return frozenset(named) if own is None else own & named


# --- one permission of a key ------------------------------------------------------------------------------------------


def as_meant(permission: KeyPermission) -> KeyPermission:
    """A permission whose lists hold what they are about: they are kept as they were sent, and in a list of texts that
    may be a number, in a list of numbers a text, and anywhere null, which names nothing."""
    return KeyPermission(
        domains=_texts(permission.domains),
        subnets=_texts(permission.subnets),
        actions=_texts(permission.actions),
        network_ids=_numbers(permission.network_ids),
        device_guids=_texts(permission.device_guids),
    )


def _texts(values: tuple[Any, ...] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    return tuple(value if isinstance(value, str) else to_json(value).decode() for value in values if value is not None)


def _numbers(values: tuple[Any, ...] | None) -> tuple[int, ...] | None:
    if values is None:
        return None
    texts = (str(value) for value in values if isinstance(value, int | str) and not isinstance(value, bool))
    return tuple(int(text) for text in texts if INTEGER_TEXT.fullmatch(text))


class Condition(StrEnum):
    """What may stand in the way, in the order in which it is looked at. :mod:`hub.core.explain` tells of it."""

    ROLE = "role"
    """This role does not do that."""
    OWNER = "owner"
    """Only keys of administrators do that."""
    ACTIONS = "actions"
    SUBNETS = "subnets"
    DOMAINS = "domains"
    NETWORKS = "networkIds"
    DEVICES = "deviceGuids"
    VISIBLE = "visible"
    """The user does not reach it."""


def failing(permission: KeyPermission, action: KeyAction, owner: User, peer: Peer) -> Condition | None:
    """The first condition of a permission, as it is meant, that does not let this action through from this peer; None:
    all of them do. Null is no condition, and an empty list lets nothing through."""
    if action in ADMIN_ACTIONS and not owner.is_admin:
        return Condition.OWNER
    if not _names_action(permission, action):
        return Condition.ACTIONS
    if not _names_address(permission, peer):
        return Condition.SUBNETS
    if not _names_origin(permission, peer):
        return Condition.DOMAINS
    if permission.network_ids == ():
        return Condition.NETWORKS
    return Condition.DEVICES if permission.device_guids == () else None


def applies(permission: KeyPermission, action: KeyAction, owner: User, peer: Peer) -> bool:
    """Whether a permission, as it is meant, lets this action through from this peer."""
    return failing(permission, action, owner, peer) is None


def _names_action(permission: KeyPermission, action: KeyAction) -> bool:
    return permission.actions is None or action.lower() in (name.lower() for name in permission.actions)


def _names_address(permission: KeyPermission, peer: Peer) -> bool:
    if permission.subnets is None:
        return True
    return peer.address is not None and any(_contains(subnet, peer.address) for subnet in permission.subnets)


def _contains(subnet: str, address: Address) -> bool:
    block = to_block(subnet)
    return block is not None and address in block


def to_block(subnet: str) -> Block | None:
    """The addresses that a subnet names; IPv4 inside IPv6 is taken as IPv4. None: it names none."""
    try:
        network = ip_network(subnet.strip(), strict=False)
    except ValueError:
        return None
    if network.version == 6 and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped):
        return ip_network(f"{mapped}/{network.prefixlen - 96}", strict=False)
    return network


def _names_origin(permission: KeyPermission, peer: Peer) -> bool:
    if permission.domains is None or peer.origin is None:
        return True
    host = origin_host(peer.origin)
    return bool(host) and any(covers_host(domain, host) for domain in permission.domains)


def origin_host(origin: str) -> str:
    """The host of an Origin of any scheme, lower case, without port; empty when there is none."""
    try:
        return (urlsplit(origin.strip()).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def covers_host(domain: str, host: str) -> bool:
    """Whether a domain of a permission covers a host, which is in lower case."""
    named = domain_host(domain)
    return bool(named) and (host == named or host.endswith("." + named))


def domain_host(domain: str) -> str:
    """The host that a domain of a permission names; empty when it names none."""
    domain = domain.strip().lower()
    named = origin_host(domain) if "://" in domain else origin_host(f"//{domain.lstrip('.')}")
    return named.lstrip(".")


# --- who may call what ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call an action. None: everybody, also anonymous."""

    roles: frozenset[Role] | None
    key_action: KeyAction | None = None


_USERS = frozenset({Role.ADMIN, Role.CLIENT, Role.KEY})
_ALL = _USERS | {Role.DEVICE}
_KEYS = frozenset({Role.KEY})
_ADMINS = frozenset({Role.ADMIN})
_MANAGERS = _ADMINS | _KEYS

RULES: dict[Action | Operation, Rule] = {
    Action.SERVER_INFO: Rule(None),
    Action.AUTHENTICATE: Rule(None),
    Action.DEVICE_GET: Rule(frozenset({Role.DEVICE})),
    Action.DEVICE_SAVE: Rule(None, KeyAction.REGISTER_DEVICE),
    Action.COMMAND_INSERT: Rule(_USERS, KeyAction.CREATE_DEVICE_COMMAND),
    Action.COMMAND_UPDATE: Rule(_ALL, KeyAction.UPDATE_DEVICE_COMMAND),
    Action.COMMAND_SUBSCRIBE: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Action.COMMAND_UNSUBSCRIBE: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Action.NOTIFICATION_INSERT: Rule(_ALL, KeyAction.CREATE_DEVICE_NOTIFICATION),
    Action.NOTIFICATION_SUBSCRIBE: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
    Action.NOTIFICATION_UNSUBSCRIBE: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
    Action.COMMAND_GET: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Action.COMMAND_WATCH: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Action.COMMAND_RECEIVE: Rule(frozenset({Role.DEVICE, Role.KEY}), KeyAction.UPDATE_DEVICE_COMMAND),
    Action.COMMAND_CANCEL: Rule(_USERS, KeyAction.CREATE_DEVICE_COMMAND),
    Action.ACCESS_EXPLAIN: Rule(None),
    Operation.GET_OPENAPI: Rule(None),
    Operation.GET_INFO: Rule(None),
    Operation.GET_AUTH_CONFIG: Rule(None),
    Operation.GET_CLUSTER_CONFIG: Rule(None),
    Operation.LOGIN: Rule(None),
    Operation.LOGOUT: Rule(_KEYS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.GET_CONFIGURATION: Rule(_ADMINS),
    Operation.PUT_CONFIGURATION: Rule(_ADMINS),
    Operation.SET_CONFIGURATION: Rule(_ADMINS),
    Operation.DELETE_CONFIGURATION: Rule(_ADMINS),
    Operation.LIST_USERS: Rule(_MANAGERS, KeyAction.MANAGE_USER),
    Operation.CREATE_USER: Rule(_MANAGERS, KeyAction.MANAGE_USER),
    Operation.GET_USER: Rule(_MANAGERS, KeyAction.GET_CURRENT_USER),
    Operation.UPDATE_USER: Rule(_MANAGERS, KeyAction.MANAGE_USER),
    Operation.DELETE_USER: Rule(_MANAGERS, KeyAction.MANAGE_USER),
    Operation.GET_CURRENT_USER: Rule(_USERS, KeyAction.GET_CURRENT_USER),
    Operation.UPDATE_CURRENT_USER: Rule(_USERS, KeyAction.UPDATE_CURRENT_USER),
    Operation.GET_USER_NETWORK: Rule(_MANAGERS, KeyAction.GET_NETWORK),
    Operation.ADD_USER_NETWORK: Rule(_MANAGERS, KeyAction.MANAGE_NETWORK),
    Operation.REMOVE_USER_NETWORK: Rule(_MANAGERS, KeyAction.MANAGE_NETWORK),
    Operation.LIST_KEYS: Rule(_USERS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.CREATE_KEY: Rule(_USERS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.GET_KEY: Rule(_USERS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.UPDATE_KEY: Rule(_USERS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.DELETE_KEY: Rule(_USERS, KeyAction.MANAGE_ACCESS_KEY),
    Operation.LIST_NETWORKS: Rule(_USERS, KeyAction.GET_NETWORK),
    Operation.GET_NETWORK: Rule(_USERS, KeyAction.GET_NETWORK),
    Operation.CREATE_NETWORK: Rule(_MANAGERS, KeyAction.MANAGE_NETWORK),
    Operation.UPDATE_NETWORK: Rule(_MANAGERS, KeyAction.MANAGE_NETWORK),
    Operation.DELETE_NETWORK: Rule(_MANAGERS, KeyAction.MANAGE_NETWORK),
    Operation.LIST_DEVICES: Rule(_USERS, KeyAction.GET_DEVICE),
    Operation.GET_DEVICE: Rule(_ALL, KeyAction.GET_DEVICE),
    Operation.DELETE_DEVICE: Rule(_ALL, KeyAction.REGISTER_DEVICE),
    Operation.LIST_EQUIPMENT_STATES: Rule(_USERS, KeyAction.GET_DEVICE_STATE),
    Operation.GET_EQUIPMENT_STATE: Rule(_USERS, KeyAction.GET_DEVICE_STATE),
    Operation.LIST_CLASSES: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.GET_CLASS: Rule(_USERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.CREATE_CLASS: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.UPDATE_CLASS: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.DELETE_CLASS: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.GET_EQUIPMENT: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.CREATE_EQUIPMENT: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.UPDATE_EQUIPMENT: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.DELETE_EQUIPMENT: Rule(_MANAGERS, KeyAction.MANAGE_DEVICE_CLASS),
    Operation.LIST_COMMANDS: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Operation.GET_COMMAND: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Operation.POLL_COMMANDS: Rule(_ALL, KeyAction.GET_DEVICE_COMMAND),
    Operation.POLL_COMMANDS_OF_MANY: Rule(_USERS, KeyAction.GET_DEVICE_COMMAND),
    Operation.WAIT_FOR_COMMAND: Rule(_USERS, KeyAction.GET_DEVICE_COMMAND),
    Operation.LIST_NOTIFICATIONS: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
    Operation.GET_NOTIFICATION: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
    Operation.POLL_NOTIFICATIONS: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
    Operation.POLL_NOTIFICATIONS_OF_MANY: Rule(_USERS, KeyAction.GET_DEVICE_NOTIFICATION),
}
"""The legal callers of every action, and of every operation that only REST has."""


def permit(action: Action | Operation, principal: Principal) -> None:
    """Let a principal pass, or raise Unauthorized."""
    rule = RULES[action]
    obstacle = stopping(rule, principal)
    if obstacle is Condition.ROLE:
        raise (NOT_AUTHENTICATED if principal.is_anonymous else NOT_PERMITTED).error()
    if obstacle is not None:
        assert rule.key_action is not None, "otherwise no permission is asked for"
        raise NOT_PERMITTED.error(detail={"permission": rule.key_action.value})


def stopping(rule: Rule, principal: Principal) -> Condition | None:
    """What keeps a principal from an action altogether: its role, or that its key has no permission for it."""
    if rule.roles is not None and principal.role not in rule.roles:
        return Condition.ROLE
    if principal.role is Role.KEY and rule.key_action is not None and not principal.access.allows(rule.key_action):
        return Condition.ACTIONS
    return None
