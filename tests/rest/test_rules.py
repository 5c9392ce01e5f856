"""Who may call what: the index of the REST API, written down a second time."""

from dataclasses import dataclass

import pytest

from hub.core.access import ANONYMOUS, RULES, Peer, Principal, device_principal, key_principal, permit, user_principal
from hub.rest.api import ROUTES
from hub.rest.route import Route
from protocol.errors import Unauthorized
from protocol.names import ADMIN_ACTIONS, Action, KeyAction, Operation
from tests.builders import access_key, administrator, device, permission, user

INDEX = """
GET     /info                                getInfo                  ALL
GET     /info/config/auth                    getAuthConfig            ALL
GET     /info/config/cluster                 getClusterConfig         ALL
GET     /openapi.json                        getOpenApi               ALL
POST    /auth/accesskey                      login                    ALL
DELETE  /auth/accesskey                      logout                   ManageAccessKey
GET     /configuration/{}                    getConfiguration         ADMIN
PUT     /configuration/{}                    putConfiguration         ADMIN
GET     /configuration/{}/set                setConfiguration         ADMIN
DELETE  /configuration/{}                    deleteConfiguration      ADMIN
GET     /user                                listUsers                ADMIN ManageUser
POST    /user                                createUser               ADMIN ManageUser
PUT     /user/{}                             updateUser               ADMIN ManageUser
DELETE  /user/{}                             deleteUser               ADMIN ManageUser
GET     /user/{}                             getUser                  ADMIN GetCurrentUser
GET     /user/current                        getCurrentUser           ADMIN CLIENT GetCurrentUser
PUT     /user/current                        updateCurrentUser        ADMIN CLIENT UpdateCurrentUser
GET     /user/{}/network/{}                  getUserNetwork           ADMIN GetNetwork
PUT     /user/{}/network/{}                  addUserNetwork           ADMIN ManageNetwork
DELETE  /user/{}/network/{}                  removeUserNetwork        ADMIN ManageNetwork
GET     /user/{}/accesskey                   listAccessKeys           ADMIN CLIENT ManageAccessKey
POST    /user/{}/accesskey                   createAccessKey          ADMIN CLIENT ManageAccessKey
GET     /user/{}/accesskey/{}                getAccessKey             ADMIN CLIENT ManageAccessKey
PUT     /user/{}/accesskey/{}                updateAccessKey          ADMIN CLIENT ManageAccessKey
DELETE  /user/{}/accesskey/{}                deleteAccessKey          ADMIN CLIENT ManageAccessKey
GET     /network                             listNetworks             ADMIN CLIENT GetNetwork
GET     /network/{}                          getNetwork               ADMIN CLIENT GetNetwork
POST    /network                             createNetwork            ADMIN ManageNetwork
PUT     /network/{}                          updateNetwork            ADMIN ManageNetwork
DELETE  /network/{}                          deleteNetwork            ADMIN ManageNetwork
GET     /device                              listDevices              ADMIN CLIENT GetDevice
GET     /device/{}                           getDevice                ADMIN CLIENT DEVICE GetDevice
PUT     /device/{}                           device/save              ALL RegisterDevice
DELETE  /device/{}                           deleteDevice             ADMIN CLIENT DEVICE RegisterDevice
GET     /device/{}/equipment                 listEquipmentStates      ADMIN CLIENT GetDeviceState
GET     /device/{}/equipment/{}              getEquipmentState        ADMIN CLIENT GetDeviceState
GET     /device/class                        listDeviceClasses        ADMIN ManageDeviceClass
POST    /device/class                        createDeviceClass        ADMIN ManageDeviceClass
PUT     /device/class/{}                     updateDeviceClass        ADMIN ManageDeviceClass
DELETE  /device/class/{}                     deleteDeviceClass        ADMIN ManageDeviceClass
GET     /device/class/{}                     getDeviceClass           ADMIN CLIENT ManageDeviceClass
POST    /device/class/{}/equipment           createEquipment          ADMIN ManageDeviceClass
GET     /device/class/{}/equipment/{}        getEquipment             ADMIN ManageDeviceClass
PUT     /device/class/{}/equipment/{}        updateEquipment          ADMIN ManageDeviceClass
DELETE  /device/class/{}/equipment/{}        deleteEquipment          ADMIN ManageDeviceClass
GET     /device/{}/command                   listCommands             ADMIN CLIENT DEVICE GetDeviceCommand
GET     /device/{}/command/{}                getCommand               ADMIN CLIENT DEVICE GetDeviceCommand
GET     /device/{}/command/poll              pollCommands             ADMIN CLIENT DEVICE GetDeviceCommand
GET     /device/command/poll                 pollCommandsOfMany       ADMIN CLIENT GetDeviceCommand
GET     /device/{}/command/{}/poll           waitForCommand           ADMIN CLIENT GetDeviceCommand
POST    /device/{}/command                   command/insert           ADMIN CLIENT CreateDeviceCommand
PUT     /device/{}/command/{}                command/update           ADMIN CLIENT DEVICE UpdateDeviceCommand
GET     /device/{}/notification              listNotifications        ADMIN CLIENT GetDeviceNotification
GET     /device/{}/notification/{}           getNotification          ADMIN CLIENT GetDeviceNotification
GET     /device/{}/notification/poll         pollNotifications        ADMIN CLIENT GetDeviceNotification
GET     /device/notification/poll            pollNotificationsOfMany  ADMIN CLIENT GetDeviceNotification
POST    /device/{}/notification              notification/insert      ADMIN CLIENT DEVICE CreateDeviceNotification
GET     /access/explain                      access/explain           ALL
"""
"""Method, path, operation; then the roles, and what a key must be allowed; without that, no key may."""

KEY_ACTIONS = {action.value: action for action in KeyAction}


@dataclass(frozen=True)
class Row:
    """One line of the index."""

    method: str
    path: str
    operation: str
    who: frozenset[str]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def key_action(self) -> KeyAction | None:
        return next((KEY_ACTIONS[word] for word in self.who if word in KEY_ACTIONS), None)

    def admits(self, role: str) -> bool:
        """Whether this role may, whatever a key needs beside it."""
        return role in self.who or "ALL" in self.who

    def may(self, principal: Principal) -> bool:
        """Whether this principal may, by the words of the index."""
        key, owner = principal.key, principal.user
        if key is None or owner is None:
            return self.admits(principal.role.value.upper())
        if self.key_action is None:
            return "ALL" in self.who
        [entry] = key.permissions
        named = entry.actions is None or self.key_action.value in entry.actions
        return named and (owner.is_admin or self.key_action not in ADMIN_ACTIONS)


ROWS = [Row(*line.split(maxsplit=3)[:3], frozenset(line.split()[3:])) for line in INDEX.strip().splitlines()]


def key(owner: str, *actions: KeyAction) -> Principal:
    """A key with just these actions; without any: with no condition."""
    entry = permission(actions=[action.value for action in actions]) if actions else permission()
    return key_principal(access_key(entry), {"admin": administrator(), "client": user()}[owner], Peer())


PRINCIPALS: dict[str, Principal] = {
    "anonymous": ANONYMOUS,
    "administrator": user_principal(administrator()),
    "client": user_principal(user()),
    "device": device_principal(device()),
    "administrator's unlimited key": key("admin"),
    "client's unlimited key": key("client"),
    **{f"{owner}'s key for {one.value}": key(owner, one) for owner in ("admin", "client") for one in KeyAction},
    **{
        f"{owner}'s key for all but {one.value}": key(owner, *(other for other in KeyAction if other is not one))
        for owner in ("admin", "client")
        for one in KeyAction
    },
}


def operation_of(row: Row) -> Action | Operation:
    return next(one for one in RULES if one.value == row.operation)


def passes(operation: Action | Operation, principal: Principal) -> bool:
    try:
        permit(operation, principal)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_operation_lets_in_whom_the_index_names(row):
    """Each role, and keys of both owners with each action, with all others, with all."""
    allowed = {name for name, principal in PRINCIPALS.items() if passes(operation_of(row), principal)}

    assert allowed == {name for name, principal in PRINCIPALS.items() if row.may(principal)}


@pytest.mark.parametrize("row", [row for row in ROWS if row.path != "/openapi.json"], ids=str)
def test_an_operation_is_where_the_index_says(row):
    """Method and path lead to it, and nowhere else. (The document is the application's own.)"""
    [route] = [one for one in ROUTES if (one.method, shape_of(one)) == (row.method, row.path)]

    assert route.operation.value == row.operation


def shape_of(route: Route) -> str:
    """The path of a route, whatever its names are called."""
    return "/".join("{}" if segment.startswith("{") else segment for segment in route.path.split("/"))


def test_there_are_no_other_operations():
    """What is not in the index, nobody has said who may call."""
    assert {row.operation for row in ROWS} >= {operation.value for operation in Operation}
    assert {route.operation.value for route in ROUTES} <= {row.operation for row in ROWS}
