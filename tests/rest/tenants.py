"""Two tenants and everybody who may ask, for REST: what each operation must show or change, over plain data.

The rules are those of the specification, written down a second time; :mod:`tests.websocket.tenants` has the people.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.rest.test_rules import ROWS as INDEX
from tests.websocket.tenants import MEMBERS, NETWORKS, Who, world_of

USERS = {"admin": 1, "alice": 2, "bob": 3}
NAMES = {1: "home", 2: "away"}
GUIDS = [*NETWORKS, "nobody"]
LONG_AGO = "2015-01-01T00:00:00.000"

MARKS = {
    "admin": (),
    "alice": ("away", "foreign", "bob", "loose"),
    "bob": ("home", '"own', "alice", "loose"),
}
"""What no client's answer holds, unless the client said it first, in a key of its own for one."""


def site_world(*who: Who) -> dict[str, Any]:
    """The sockets' world, in which every secret of a tenant says whose it is."""
    world = world_of(*who)
    return {
        **world,
        "networks": [{"name": name, "key": f"{name}-key", "description": f"{name}-text"} for name in NAMES.values()],
        "deviceClass": {**world["deviceClass"], "equipment": [{"name": "e", "code": "e", "type": "t"}]},
        "devices": [{**device, "data": {"of": device["guid"]}} for device in world["devices"]],
    }


@dataclass(frozen=True)
class Messages:
    """The ids of the messages of the past, by the guid of their device."""

    commands: dict[str, int]
    notifications: dict[str, int]


def may_call(who: Who, operation: str) -> bool:
    """Whether role and key let it through, by the index."""
    [row] = [row for row in INDEX if row.operation == operation]
    if who.expired:
        return False
    if who.kind == "key":
        return who.passes(row.key_action.value) if row.key_action is not None else "ALL" in row.who
    return row.admits(who.kind.upper())


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Read:
    """One question; status and rows are those for somebody who may ask it."""

    operation: str
    path: str
    status: int = 200
    rows: tuple[str, ...] = ()


ROWS_OF: dict[str, Callable[[Any], list[str]]] = {
    "listDevices": lambda body: [one["id"] for one in body],
    "getDevice": lambda body: [body["id"]],
    "listNetworks": lambda body: [one["name"] for one in body],
    "getNetwork": lambda body: [body["name"], *sorted(one["id"] for one in body["devices"])],
    "listEquipmentStates": lambda body: [one["parameters"]["of"] for one in body],
    "getEquipmentState": lambda body: [body["parameters"]["of"]],
    "listCommands": lambda body: [one["deviceGuid"] for one in body],
    "getCommand": lambda body: [body["deviceGuid"]],
    "pollCommands": lambda body: [one["deviceGuid"] for one in body],
    "pollCommandsOfMany": lambda body: sorted(one["deviceGuid"] for one in body),
    "waitForCommand": lambda body: [body["deviceGuid"]],
    "listNotifications": lambda body: [one["deviceGuid"] for one in body],
    "getNotification": lambda body: [body["deviceGuid"]],
    "pollNotifications": lambda body: [one["deviceGuid"] for one in body],
    "pollNotificationsOfMany": lambda body: sorted(one["deviceGuid"] for one in body),
    "listUsers": lambda body: [one["login"] for one in body],
    "getUser": lambda body: [body["login"]],
    "getCurrentUser": lambda body: [body["login"]],
    "getUserNetwork": lambda body: [body["network"]["name"]],
    "listAccessKeys": lambda body: [one["label"] for one in body],
    "getAccessKey": lambda body: [body["label"]],
    "listDeviceClasses": lambda body: [one["name"] for one in body],
    "getDeviceClass": lambda body: [body["name"]],
    "getEquipment": lambda body: [body["code"]],
    "getConfiguration": lambda body: [],
    "getOpenApi": lambda body: [],
    "getInfo": lambda body: [],
    "getAuthConfig": lambda body: [],
    "getClusterConfig": lambda body: [],
    "access/explain": lambda body: ["allowed"] * body["allowed"],
}
"""What an answer shows, as names."""


def reads(who: Who, messages: Messages) -> Iterator[Read]:
    """Everything that there is to ask, of both tenants and of nobody."""
    yield from _public()
    yield from _explanations(who)
    yield from _devices(who)
    yield from _networks(who)
    yield from _users(who)
    yield from _keys(who)
    yield from _classes()
    for guid in GUIDS:
        yield from _states(who, guid)
        yield from _messages(who, guid, messages.commands, "command", "GetDeviceCommand")
        yield from _messages(who, guid, messages.notifications, "notification", "GetDeviceNotification")
    yield from _polls_of_many(who, messages.commands, "command", "GetDeviceCommand")
    yield from _polls_of_many(who, messages.notifications, "notification", "GetDeviceNotification")


def _public() -> Iterator[Read]:
    yield Read("getInfo", "/info")
    yield Read("getAuthConfig", "/info/config/auth")
    yield Read("getClusterConfig", "/info/config/cluster")
    yield Read("getConfiguration", "/configuration/x")


def _explanations(who: Who) -> Iterator[Read]:
    """Everybody hears about the own rights, and nothing about what is not seen."""
    for guid in GUIDS:
        allowed = who.reaches(guid, "GetDevice")
        path = f"/access/explain?actionName=GetDevice&deviceGuid={guid}"
        yield Read("access/explain", path, rows=("allowed",) * allowed)


def _devices(who: Who) -> Iterator[Read]:
    seen = [guid for guid in NETWORKS if who.reaches(guid, "GetDevice")]
    filters: dict[str, list[str]] = {
        "": seen,
        "?networkId=1": [guid for guid in seen if NETWORKS[guid] == 1],
        "?networkId=2": [guid for guid in seen if NETWORKS[guid] == 2],
        "?networkId=99": [],
        "?networkName=away": [guid for guid in seen if NETWORKS[guid] == 2],
        "?name=foreign": [guid for guid in seen if guid == "foreign"],
        "?namePattern=%25o%25": seen,
        "?namePattern=%25": seen,
        "?deviceClassId=1": seen,
        "?deviceClassName=Sensor&deviceClassVersion=1": seen,
        "?status=untouched": seen,
        "?take=1": seen[:1],
        "?skip=1": seen[1:],
        "?take=0": [],
        "?sortField=Name&sortOrder=DESC": sorted(seen, reverse=True),
        "?sortField=Network&networkId=1&take=100": [guid for guid in seen if NETWORKS[guid] == 1],
    }
    for query, rows in filters.items():
        yield Read("listDevices", f"/device{query}", rows=tuple(rows))
    for guid in GUIDS:
        yield Read("getDevice", f"/device/{guid}", *((200, (guid,)) if who.reaches(guid, "GetDevice") else (404,)))


def _networks(who: Who) -> Iterator[Read]:
    seen = sorted(who.networks("GetNetwork"))
    for query, among in {"": {1, 2}, "?name=away": {2}, "?namePattern=%25": {1, 2}, "?skip=0&take=9": {1, 2}}.items():
        yield Read("listNetworks", f"/network{query}", rows=tuple(NAMES[one] for one in seen if one in among))
    for network_id in (1, 2, 99):
        both = ("GetNetwork", "GetDevice")
        inside = [guid for guid in NETWORKS if NETWORKS[guid] == network_id and who.reaches(guid, *both)]
        found = (200, (NAMES[network_id], *sorted(inside))) if network_id in seen else (404,)
        yield Read("getNetwork", f"/network/{network_id}", *found)


def _states(who: Who, guid: str) -> Iterator[Read]:
    seen = who.reaches(guid, "GetDeviceState")
    has_one = seen and NETWORKS[guid] is not None
    yield Read("listEquipmentStates", f"/device/{guid}/equipment", 200 if seen else 404, (guid,) if has_one else ())
    yield Read("getEquipmentState", f"/device/{guid}/equipment/e", *((200, (guid,)) if has_one else (404,)))


def _messages(who: Who, guid: str, ids: dict[str, int], kind: str, right: str) -> Iterator[Read]:
    seen = who.reaches(guid, right)
    rows = (guid,) if seen and guid in ids else ()
    path, name = f"/device/{guid}/{kind}", kind.capitalize()
    for query in ("", f"?start={LONG_AGO}", "?take=1000"):
        yield Read(f"list{name}s", f"{path}{query}", 200 if seen else 404, rows)
    yield Read(f"poll{name}s", f"{path}/poll?waitTimeout=0&timestamp={LONG_AGO}", rows=rows)
    yield Read(f"poll{name}s", f"{path}/poll?waitTimeout=0")
    for other, id_ in ids.items():
        found = seen and other == guid
        yield Read(f"get{name}", f"{path}/{id_}", *((200, (guid,)) if found else (404,)))
        if kind == "command":
            yield Read("waitForCommand", f"{path}/{id_}/poll?waitTimeout=0", 204 if found else 404)


def _polls_of_many(who: Who, ids: dict[str, int], kind: str, right: str) -> Iterator[Read]:
    name = f"poll{kind.capitalize()}sOfMany"
    for named in (None, "", ",", "own", "foreign", "loose", "own,foreign", "foreign,own-2,loose,nobody", "nobody"):
        guids = [guid for guid in (named or "").split(",") if guid] or list(NETWORKS)
        rows = tuple(sorted(guid for guid in guids if guid in ids and who.reaches(guid, right)))
        query = "" if named is None else f"&deviceGuids={named}"
        yield Read(name, f"/device/{kind}/poll?waitTimeout=0&timestamp={LONG_AGO}{query}", rows=rows)


def _users(who: Who) -> Iterator[Read]:
    yield Read("listUsers", "/user", rows=tuple(USERS))
    yield Read("listUsers", "/user?login=bob", rows=("bob",))
    yield Read("getCurrentUser", "/user/current", rows=(who.login,))
    reached = who.networks("GetNetwork")
    for login, user_id in {**USERS, "": 99}.items():
        path, is_own = f"/user/{user_id}", login == who.login
        if who.login != "admin" and not is_own:
            yield Read("getUser", path, 403)
            yield from (Read("getUserNetwork", f"{path}/network/{one}", 403) for one in (1, 2, 99))
            continue
        yield Read("getUser", path, *((200, (login,)) if login else (404,)))
        for network_id in (1, 2, 99):
            found = MEMBERS.get(login) == network_id and network_id in reached
            rows = (200, (NAMES[network_id],)) if found else (404,)
            yield Read("getUserNetwork", f"{path}/network/{network_id}", *rows)


def _keys(who: Who) -> Iterator[Read]:
    labels = {"admin": ["publisher"], "alice": [], "bob": []}
    if who.kind == "key":
        labels[who.login].append(who.name)
    for addressed, login in {"current": who.login, "1": "admin", "2": "alice", "3": "bob", "99": ""}.items():
        path = f"/user/{addressed}/accesskey"
        if not login or who.login not in (login, "admin"):
            yield Read("listAccessKeys", path, 401)
            yield from (Read("getAccessKey", f"{path}/{one}", 401) for one in (1, 2, 99))
            continue
        yield Read("listAccessKeys", path, rows=tuple(labels[login]))
        for key_id, label in {1: "publisher", 2: who.name, 99: ""}.items():
            yield Read("getAccessKey", f"{path}/{key_id}", *((200, (label,)) if label in labels[login] else (404,)))


def _classes() -> Iterator[Read]:
    yield Read("listDeviceClasses", "/device/class", rows=("Sensor",))
    yield Read("getDeviceClass", "/device/class/1", rows=("Sensor",))
    yield Read("getEquipment", "/device/class/1/equipment/1", rows=("e",))


# --- changing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attempt:
    """One change that is tried; status and effect are those for somebody who may try it."""

    operation: str
    method: str
    path: str
    body: Any
    status: int
    changes: bool


def attempts(who: Who, messages: Messages) -> Iterator[Attempt]:
    """Every operation that changes something, on both tenants; what others need comes last."""
    yield from _inserts(who, messages)
    yield from _saves(who)
    yield from _new_keys(who)
    yield from _managing(who)
    yield from _deletes(who)


def _inserts(who: Who, messages: Messages) -> Iterator[Attempt]:
    for guid in GUIDS:
        path = f"/device/{guid}"
        seen = who.reaches(guid, "CreateDeviceCommand")
        yield Attempt("command/insert", "POST", f"{path}/command", {"command": "tried"}, 201 if seen else 404, seen)
        seen = who.reaches(guid, "CreateDeviceNotification")
        done = seen and NETWORKS[guid] is not None
        status = 201 if done else 403 if seen else 404
        body = {"notification": "tried", "parameters": None}
        yield Attempt("notification/insert", "POST", f"{path}/notification", body, status, done)
        for other, id_ in messages.commands.items():
            found = who.reaches(guid, "UpdateDeviceCommand") and other == guid
            body = {"status": "tried"}
            yield Attempt("command/update", "PUT", f"{path}/command/{id_}", body, 204 if found else 404, found)


def _saves(who: Who) -> Iterator[Attempt]:
    for guid in NETWORKS:
        done = who.reaches(guid, "RegisterDevice")
        yield Attempt("device/save", "PUT", f"/device/{guid}", {"status": "tried"}, 204 if done else 401, done)


def _new_keys(who: Who) -> Iterator[Attempt]:
    nothing: dict[str, list[Any]] = {
        name: [] for name in ("actions", "networkIds", "deviceGuids", "subnets", "domains")
    }
    for addressed, login in {"current": who.login, "1": "admin", "2": "alice", "3": "bob", "99": ""}.items():
        done = login != "" and who.login in (login, "admin")
        path = f"/user/{addressed}/accesskey"
        body = {"label": f"tried-{addressed}", "permissions": [nothing]}
        yield Attempt("createAccessKey", "POST", path, body, 201 if done else 401, done)
        if not done:
            yield Attempt("updateAccessKey", "PUT", f"{path}/1", {"label": "tried"}, 401, False)
            yield Attempt("deleteAccessKey", "DELETE", f"{path}/1", None, 401, False)
        elif login != "admin":
            yield Attempt("updateAccessKey", "PUT", f"{path}/1", {"label": "tried"}, 404, False)
            yield Attempt("deleteAccessKey", "DELETE", f"{path}/1", None, 204, False)
        else:
            covers = who.kind != "key" or {} in who.permissions
            body = {"label": f"renamed-{addressed}"}
            yield Attempt("updateAccessKey", "PUT", f"{path}/1", body, 204 if covers else 403, covers)


def _managing(who: Who) -> Iterator[Attempt]:
    reached = who.networks("ManageNetwork")
    yield Attempt("updateCurrentUser", "PUT", "/user/current", {"data": "tried"}, 204, True)
    yield Attempt("createUser", "POST", "/user", {"login": "tried", "role": 1, "status": 0}, 201, True)
    yield Attempt("updateUser", "PUT", "/user/3", {"data": "tried"}, 204, True)
    yield Attempt("createNetwork", "POST", "/network", {"name": "tried"}, 201, True)
    for network_id in (1, 2, 99):
        done, text = network_id in reached, {"description": "tried"}
        yield Attempt("updateNetwork", "PUT", f"/network/{network_id}", text, 204 if done else 404, done)
    for user_id, network_id in ((3, 1), (2, 2)):
        done = network_id in reached
        path = f"/user/{user_id}/network/{network_id}"
        yield Attempt("addUserNetwork", "PUT", path, None, 204 if done else 404, done)
    yield Attempt("removeUserNetwork", "DELETE", "/user/2/network/1", None, 204, 1 in reached)
    yield Attempt("removeUserNetwork", "DELETE", "/user/3/network/2", None, 204, 2 in reached)
    new = {"name": "tried", "version": "1"}
    yield Attempt("createDeviceClass", "POST", "/device/class", new, 201, True)
    yield Attempt("updateDeviceClass", "PUT", "/device/class/1", {"data": "tried"}, 204, True)
    piece = {"name": "tried", "code": "tried", "type": "t"}
    yield Attempt("createEquipment", "POST", "/device/class/1/equipment", piece, 201, True)
    yield Attempt("updateEquipment", "PUT", "/device/class/1/equipment/1", {"type": "tried"}, 204, True)
    yield Attempt("deleteEquipment", "DELETE", "/device/class/1/equipment/1", None, 204, True)
    yield Attempt("putConfiguration", "PUT", "/configuration/tried", "x", 200, True)
    yield Attempt("deleteConfiguration", "DELETE", "/configuration/tried", None, 204, True)


def _deletes(who: Who) -> Iterator[Attempt]:
    for guid in GUIDS:
        done = who.reaches(guid, "RegisterDevice")
        yield Attempt("deleteDevice", "DELETE", f"/device/{guid}", None, 204 if done else 404, done)
    reached = who.networks("ManageNetwork")
    for network_id in (1, 2):
        yield Attempt("deleteNetwork", "DELETE", f"/network/{network_id}", None, 204, network_id in reached)
    yield Attempt("deleteDeviceClass", "DELETE", "/device/class/1", None, 204, True)
    yield Attempt("deleteUser", "DELETE", "/user/3", None, 204, True)
    yield Attempt("logout", "DELETE", "/auth/accesskey", None, 204, True)


UNTRIED = {"setConfiguration", "login"}
"""One is not there by default; the other is how somebody becomes somebody."""
