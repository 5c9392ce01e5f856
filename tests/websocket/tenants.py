"""A small world of two tenants, everybody who may ask in it, and who ought to see what: written down a second time.

Nothing here uses the hub's own idea of access; the rules are those of the specification, over plain data.
"""

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

NETWORKS = {"own": 1, "own-2": 1, "foreign": 2, "loose": None}
"""The devices, and the network that each is in. ``home`` (1) is alice's; ``away`` (2) is bob's."""

MEMBERS = {"alice": 1, "bob": 2}
"""Which network a client is a member of."""

WORLD: dict[str, Any] = {
    "networks": [{"name": "home"}, {"name": "away"}],
    "users": [
        {"login": "admin", "password": "admin-pw", "role": "ADMIN", "status": "ACTIVE", "networks": []},
        {"login": "alice", "password": "alice-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["home"]},
        {"login": "bob", "password": "bob-pw", "role": "CLIENT", "status": "ACTIVE", "networks": ["away"]},
    ],
    "deviceClass": {"name": "Sensor", "version": "1", "isPermanent": False, "offlineTimeout": None, "data": None},
    "devices": [
        {
            "guid": guid,
            "key": f"{guid}-key",
            "name": guid,
            "status": "untouched",
            "data": None,
            "network": {1: "home", 2: "away", None: None}[network],
            "blocked": False,
        }
        for guid, network in NETWORKS.items()
    ],
    "accessKeys": [{"name": "publisher", "owner": "admin", "permissions": [{}]}],
}

CALLERS = {
    "device/get": {"device"},
    "device/save": {"admin", "client", "key", "device", "anonymous"},
    "command/insert": {"admin", "client", "key"},
    "command/update": {"admin", "client", "key", "device"},
    "command/subscribe": {"admin", "client", "key", "device"},
    "command/unsubscribe": {"admin", "client", "key", "device"},
    "notification/insert": {"admin", "client", "key", "device"},
    "notification/subscribe": {"admin", "client", "key"},
    "notification/unsubscribe": {"admin", "client", "key"},
}
KEY_ACTIONS = {
    "device/save": "RegisterDevice",
    "command/insert": "CreateDeviceCommand",
    "command/update": "UpdateDeviceCommand",
    "command/subscribe": "GetDeviceCommand",
    "command/unsubscribe": "GetDeviceCommand",
    "notification/insert": "CreateDeviceNotification",
    "notification/subscribe": "GetDeviceNotification",
    "notification/unsubscribe": "GetDeviceNotification",
}
FOR_ADMINISTRATORS = ["ManageUser", "ManageDeviceClass", "ManageNetwork", "ManageOAuthClient"]
"""Key actions that no key of a client has, whatever it says."""


@dataclass(frozen=True)
class Who:
    """Somebody who asks.

    Attributes:
        kind: ``admin``, ``client``, ``key``, ``device`` or ``anonymous``.
        login: of the user, or of the key's owner.
        guid: of the device.
        permissions: of the key, as they are on the wire; what is not named is null.
        origin: what the connection sends as Origin.
        expired: a key whose time is over: nobody can come in with it.
    """

    name: str
    kind: str
    login: str = ""
    guid: str = ""
    permissions: list[dict[str, Any]] = field(default_factory=list)
    origin: str | None = None
    expired: bool = False

    def __str__(self) -> str:
        return self.name

    def may_call(self, action: str) -> bool:
        """Whether role and key let the action through at all."""
        if self.expired:
            return "anonymous" in CALLERS[action]
        return self.kind in CALLERS[action] and (self.kind != "key" or self.passes(KEY_ACTIONS[action]))

    def passes(self, key_action: str) -> bool:
        """Whether some permission of this key lets a key action through."""
        return bool(self._applicable(key_action))

    def sees(self, action: str, guid: str) -> bool:
        """Whether the action reaches this device."""
        return self.reaches(guid, KEY_ACTIONS[action])

    def reaches(self, guid: str, *key_actions: str) -> bool:
        """Whether this device is within reach; for a key, of one permission that is for all of these key actions."""
        if guid not in NETWORKS or self.expired:
            return False
        network = NETWORKS[guid]
        if self.kind == "device":
            return guid == self.guid
        if self.kind == "anonymous":
            return False
        reached = self.login == "admin" or (network is not None and network == MEMBERS[self.login])
        if self.kind != "key":
            return reached
        return reached and any(
            guid in (entry.get("deviceGuids") or [guid]) and network in (entry.get("networkIds") or [network])
            for entry in self._applicable(*key_actions)
        )

    def networks(self, key_action: str) -> set[int]:
        """The networks within reach; for a key, of its permissions for this key action."""
        if self.expired or self.kind not in ("admin", "client", "key"):
            return set()
        own = {1, 2} if self.login == "admin" else {MEMBERS[self.login]}
        if self.kind != "key":
            return own
        return {one for entry in self._applicable(key_action) for one in entry.get("networkIds") or own} & own

    def _applicable(self, *key_actions: str) -> list[dict[str, Any]]:
        return [entry for entry in self.permissions if all(self._applies(entry, one) for one in key_actions)]

    def _applies(self, entry: dict[str, Any], key_action: str) -> bool:
        actions, subnets, domains = entry.get("actions"), entry.get("subnets"), entry.get("domains")
        host = (self.origin or "").partition("://")[2].partition(":")[0]
        return (
            (actions is None or key_action.lower() in [action.lower() for action in actions])
            and (self.login == "admin" or key_action not in FOR_ADMINISTRATORS)
            and (subnets is None or any(ip_address("127.0.0.1") in ip_network(subnet) for subnet in subnets))
            and (
                domains is None
                or self.origin is None
                or any(host == domain or host.endswith(f".{domain}") for domain in domains)
            )
            and entry.get("networkIds") != []
            and entry.get("deviceGuids") != []
        )


def key(name: str, login: str, *permissions: dict[str, Any], **more: Any) -> Who:
    return Who(f"{login}s-key-{name}", "key", login, permissions=list(permissions), **more)


READING = ["GetDeviceCommand", "GetDeviceNotification"]
WRITING = ["CreateDeviceCommand", "UpdateDeviceCommand", "CreateDeviceNotification", "RegisterDevice"]
AWAY = {"networkIds": [2]}

EVERYBODY = [
    Who("administrator", "admin", "admin"),
    Who("client", "client", "alice"),
    Who("device", "device", guid="own"),
    Who("device-without-network", "device", guid="loose"),
    Who("anonymous", "anonymous"),
    # How wide a key is
    key("all-null", "admin", {}),
    key("all-null", "alice", {}),
    key("no-permissions", "admin"),
    key("expired", "admin", {}, expired=True),
    # What it may do
    key("reading", "alice", {"actions": READING}),
    key("writing", "alice", {"actions": WRITING}),
    key("lower-case", "alice", {"actions": [action.lower() for action in READING]}),
    key("commands-only", "admin", {"actions": ["GetDeviceCommand", "CreateDeviceCommand"]}),
    key("unrelated-action", "admin", {"actions": ["GetDevice", "GetNetwork"]}),
    key("no-actions", "admin", {"actions": []}),
    key("admin-actions", "alice", {"actions": FOR_ADMINISTRATORS}),
    key("admin-actions", "admin", {"actions": FOR_ADMINISTRATORS}),
    # Which devices it reaches
    key("own-network", "alice", {"networkIds": [1]}),
    key("foreign-network", "alice", {"networkIds": [2]}),
    key("foreign-network", "admin", {"networkIds": [2]}),
    key("unknown-network", "admin", {"networkIds": [99]}),
    key("no-networks", "admin", {"networkIds": []}),
    key("own-device", "alice", {"deviceGuids": ["own"]}),
    key("foreign-device", "alice", {"deviceGuids": ["foreign"]}),
    key("foreign-device", "admin", {"deviceGuids": ["foreign"]}),
    key("loose-device", "admin", {"deviceGuids": ["loose"]}),
    key("no-devices", "admin", {"deviceGuids": []}),
    key("both", "admin", {"networkIds": [1], "deviceGuids": ["own-2", "foreign"]}),
    key("both-apart", "admin", {"networkIds": [2], "deviceGuids": ["own"]}),
    key("loose-device-in-a-network", "admin", {"networkIds": [1, 2], "deviceGuids": ["loose"]}),
    # Several permissions: any one suffices, and each only for its own actions
    key("either", "admin", {"networkIds": [2]}, {"deviceGuids": ["own"]}),
    key("crossed", "admin", {"actions": READING[:1], "deviceGuids": ["own"]}, {"actions": READING[1:], **AWAY}),
    key("read-there-write-here", "admin", {"actions": READING, **AWAY}, {"actions": WRITING, "networkIds": [1]}),
    key("narrow-beside-empty", "alice", {"actions": []}, {"deviceGuids": ["own-2"]}, {"networkIds": []}),
    # Where it comes from
    key("subnet-here", "alice", {"subnets": ["10.0.0.0/8", "127.0.0.0/8"]}),
    key("subnet-elsewhere", "admin", {"subnets": ["10.0.0.0/8"]}),
    key("no-subnets", "admin", {"subnets": []}),
    key("domain-here", "alice", {"domains": ["example.com"]}, origin="https://app.example.com:8443"),
    key("domain-elsewhere", "admin", {"domains": ["example.com"]}, origin="https://notexample.com"),
    key("domain-without-origin", "alice", {"domains": ["example.com"]}),
    key("no-domains", "admin", {"domains": []}, origin="https://example.com"),
    key("no-domains-without-origin", "alice", {"domains": []}),
]


def world_of(*who: Who) -> dict[str, Any]:
    """The world, with the keys of these in it."""
    return {**WORLD, "accessKeys": [*WORLD["accessKeys"], *(_entry(one) for one in who if one.kind == "key")]}


def _entry(who: Who) -> dict[str, Any]:
    entry = {"name": who.name, "owner": who.login, "permissions": who.permissions}
    return {**entry, "expirationDate": "2015-01-01T00:00:00.000"} if who.expired else entry
