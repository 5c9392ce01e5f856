"""The words of the wire: actions, roles, rights, codes. Source: DeviceHive 2.0.6, with the hub's own additions."""

from enum import IntEnum, StrEnum


class Action(StrEnum):
    """Every action that a WebSocket request may name."""

    SERVER_INFO = "server/info"
    AUTHENTICATE = "authenticate"
    DEVICE_GET = "device/get"
    DEVICE_SAVE = "device/save"
    COMMAND_INSERT = "command/insert"
    COMMAND_UPDATE = "command/update"
    COMMAND_SUBSCRIBE = "command/subscribe"
    COMMAND_UNSUBSCRIBE = "command/unsubscribe"
    NOTIFICATION_INSERT = "notification/insert"
    NOTIFICATION_SUBSCRIBE = "notification/subscribe"
    NOTIFICATION_UNSUBSCRIBE = "notification/unsubscribe"
    COMMAND_GET = "command/get"
    COMMAND_WATCH = "command/watch"
    COMMAND_RECEIVE = "command/receive"
    COMMAND_CANCEL = "command/cancel"
    ACCESS_EXPLAIN = "access/explain"


class Operation(StrEnum):
    """Every operation of the REST API that no action of a WebSocket is; its name in the OpenAPI document."""

    GET_OPENAPI = "getOpenApi"
    GET_INFO = "getInfo"
    GET_AUTH_CONFIG = "getAuthConfig"
    GET_CLUSTER_CONFIG = "getClusterConfig"
    LOGIN = "login"
    LOGOUT = "logout"
    GET_CONFIGURATION = "getConfiguration"
    PUT_CONFIGURATION = "putConfiguration"
    SET_CONFIGURATION = "setConfiguration"
    DELETE_CONFIGURATION = "deleteConfiguration"
    LIST_USERS = "listUsers"
    CREATE_USER = "createUser"
    GET_USER = "getUser"
    UPDATE_USER = "updateUser"
    DELETE_USER = "deleteUser"
    GET_CURRENT_USER = "getCurrentUser"
    UPDATE_CURRENT_USER = "updateCurrentUser"
    GET_USER_NETWORK = "getUserNetwork"
    ADD_USER_NETWORK = "addUserNetwork"
    REMOVE_USER_NETWORK = "removeUserNetwork"
    LIST_KEYS = "listAccessKeys"
    CREATE_KEY = "createAccessKey"
    GET_KEY = "getAccessKey"
    UPDATE_KEY = "updateAccessKey"
    DELETE_KEY = "deleteAccessKey"
    LIST_NETWORKS = "listNetworks"
    GET_NETWORK = "getNetwork"
    CREATE_NETWORK = "createNetwork"
    UPDATE_NETWORK = "updateNetwork"
    DELETE_NETWORK = "deleteNetwork"
    LIST_DEVICES = "listDevices"
    GET_DEVICE = "getDevice"
    DELETE_DEVICE = "deleteDevice"
    LIST_EQUIPMENT_STATES = "listEquipmentStates"
    GET_EQUIPMENT_STATE = "getEquipmentState"
    LIST_CLASSES = "listDeviceClasses"
    GET_CLASS = "getDeviceClass"
    CREATE_CLASS = "createDeviceClass"
    UPDATE_CLASS = "updateDeviceClass"
    DELETE_CLASS = "deleteDeviceClass"
    GET_EQUIPMENT = "getEquipment"
    CREATE_EQUIPMENT = "createEquipment"
    UPDATE_EQUIPMENT = "updateEquipment"
    DELETE_EQUIPMENT = "deleteEquipment"
    LIST_COMMANDS = "listCommands"
    GET_COMMAND = "getCommand"
    POLL_COMMANDS = "pollCommands"
    POLL_COMMANDS_OF_MANY = "pollCommandsOfMany"
    WAIT_FOR_COMMAND = "waitForCommand"
    LIST_NOTIFICATIONS = "listNotifications"
    GET_NOTIFICATION = "getNotification"
    POLL_NOTIFICATIONS = "pollNotifications"
    POLL_NOTIFICATIONS_OF_MANY = "pollNotificationsOfMany"


CLOSING = "connection/closing"
"""The action of the last frame on a connection in extended mode."""


CLOSED = "subscription/closed"
"""Told in extended mode when a change of rights has ended a subscription."""


class Endpoint(StrEnum):
    """Which of the two paths a connection came in by; it decides which credentials ``authenticate`` takes."""

    CLIENT = "client"
    DEVICE = "device"


class Subprotocol(StrEnum):
    """Extended mode, asked for in the handshake."""

    JSON = "hub.1.json"
    MSGPACK = "hub.1.msgpack"


class Kind(IntEnum):
    """What a subscription is for, and which log a message stands in."""

    NOTIFICATION = 1
    COMMAND = 2


class Order(StrEnum):
    """By what a list of messages is sorted."""

    TIME = "timestamp"
    NAME = "name"
    STATUS = "status"


class CommandState(IntEnum):
    """How far the hub knows a command to have come; the log keeps the number. :mod:`hub.core.states` has the rules."""

    QUEUED = 0
    """Stored; no socket of the device has taken it."""
    SENT = 1
    """Written to a socket of the device."""
    RECEIVED = 2
    """The device has said so."""
    DONE = 3
    """An update has brought a status or a result."""
    EXPIRED = 4
    """Its lifetime was over before it was received."""
    CANCELLED = 5
    """Taken back before it was received."""

    @property
    def word(self) -> str:
        """Its name on the wire."""
        return _STATE_WORDS[self]


_STATE_WORDS = tuple(state.name.lower() for state in CommandState)


class Role(StrEnum):
    """What a principal is; ``ADMIN`` and ``CLIENT`` are users who logged in themselves."""

    ANONYMOUS = "anonymous"
    ADMIN = "admin"
    CLIENT = "client"
    KEY = "key"
    DEVICE = "device"


class UserRole(IntEnum):
    """A user's stored role, by its number on the wire."""

    ADMIN = 0
    CLIENT = 1


class UserStatus(IntEnum):
    """A user's stored status, by its number on the wire. Only ``ACTIVE`` users authenticate."""

    ACTIVE = 0
    LOCKED_OUT = 1
    DISABLED = 2
    DELETED = 3


class KeyType(IntEnum):
    """How an access key came about. ``SESSION`` keys come from a login and their expiry slides."""

    DEFAULT = 0
    SESSION = 1
    OAUTH = 2


class Provider(StrEnum):
    """Who vouches for a login, by the name that configuration rows begin with."""

    GOOGLE = "google"
    FACEBOOK = "facebook"
    GITHUB = "github"
    PASSWORD = "password"  # noqa: S105 - a word, not a secret
    """Nobody else: the hub itself, by the user's password."""


class KeyAction(StrEnum):
    """What an access key may be allowed to do."""

    GET_NETWORK = "GetNetwork"
    GET_DEVICE = "GetDevice"
    GET_DEVICE_STATE = "GetDeviceState"
    GET_DEVICE_NOTIFICATION = "GetDeviceNotification"
    GET_DEVICE_COMMAND = "GetDeviceCommand"
    REGISTER_DEVICE = "RegisterDevice"
    CREATE_DEVICE_NOTIFICATION = "CreateDeviceNotification"
    CREATE_DEVICE_COMMAND = "CreateDeviceCommand"
    UPDATE_DEVICE_COMMAND = "UpdateDeviceCommand"
    GET_CURRENT_USER = "GetCurrentUser"
    UPDATE_CURRENT_USER = "UpdateCurrentUser"
    MANAGE_ACCESS_KEY = "ManageAccessKey"
    MANAGE_OAUTH_GRANT = "ManageOAuthGrant"
    MANAGE_USER = "ManageUser"
    MANAGE_DEVICE_CLASS = "ManageDeviceClass"
    MANAGE_NETWORK = "ManageNetwork"
    MANAGE_OAUTH_CLIENT = "ManageOAuthClient"


ADMIN_ACTIONS = frozenset(
    {
        KeyAction.MANAGE_USER,
        KeyAction.MANAGE_DEVICE_CLASS,
        KeyAction.MANAGE_NETWORK,
        KeyAction.MANAGE_OAUTH_CLIENT,
    }
)
"""Key actions that count only for keys whose owner is an administrator."""

CLIENT_ACTIONS = frozenset(KeyAction) - ADMIN_ACTIONS

SUBSCRIBE_ACTION = {
    Kind.NOTIFICATION: KeyAction.GET_DEVICE_NOTIFICATION,
    Kind.COMMAND: KeyAction.GET_DEVICE_COMMAND,
}
"""The key action that decides which messages of a kind a subscription may carry."""


class Overflow(StrEnum):
    """What happens to a subscription whose reader is too slow."""

    DISCONNECT = "disconnect"
    DROP_OLDEST = "drop-oldest"
    LATEST = "latest"


class CloseCode(IntEnum):
    """Why the hub ends a connection. Old clients treat any of them as "connect again"."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    WRONG_FRAME = 1003
    """A binary message on a text connection, or the reverse."""
    INVALID_TEXT = 1007
    POLICY = 1008
    """A rate over its limit for too long, or a flood of pings. Slow down before connecting again."""
    TOO_BIG = 1009
    NO_SIGN_OF_LIFE = 1011
    """Nothing came after a ping, or the hub failed. Connect again."""
    RESTART = 1012
    """The hub shuts down. Connect again, with jitter."""
    TRY_LATER = 1013
    SLOW_READER = 4008
    """The peer reads too slowly. Connect again and replay."""
    UNAUTHENTICATED = 4401
    """Not authenticated in time, or no longer valid: key, user or device is gone, locked, blocked or expired."""
    REPLACED = 4409
    """A newer connection of the same device took this one's place."""


class Special:
    """Names of notifications that the hub gives a meaning."""

    EQUIPMENT = "equipment"
    DEVICE_STATUS = "device-status"
    DEVICE_ADD = "$device-add"
    DEVICE_UPDATE = "$device-update"
    EVENT = "$event"
    """Reserved: only the hub inserts it."""


OFFLINE = "Offline"
"""The only status that the hub itself ever writes."""

GUID_MAX = 48
DEVICE_KEY_MAX = 64
NAME_MAX = 128
VERSION_MAX = 32
NETWORK_KEY_MAX = 64
DESCRIPTION_MAX = 128
LOGIN_MAX = 64
LABEL_MAX = 64
IDENTITY_MAX = 64
CONFIGURATION_NAME_MAX = 32
CONFIGURATION_VALUE_MAX = 128
IDEMPOTENCY_KEY_MAX = 64

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
