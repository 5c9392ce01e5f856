"""Requests: what each action takes, converted from the members of a message once and checked for type.

``takes`` reads the members of a request and describes them in the AsyncAPI document. Three requests are read by hand,
because they are most of what comes in and ``takes`` would cost them a microsecond each; a test holds them against it.
What a member *means*, whether it must be there for this caller, is the action's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from protocol.messages import NULL, CommandPatch, Json
from protocol.names import INT32_MAX, Action, Overflow
from protocol.values import (
    ANYTHING,
    BOOLEAN,
    ENCODED,
    IDEMPOTENCY_KEY,
    INT32,
    INTEGER,
    NO_MEMBERS,
    OVERFLOW,
    POSITION,
    TEXT,
    TEXTS,
    TIMESTAMP,
    UUID_TEXT,
    Takes,
    Type,
    a_list,
    an_object,
    of_members,
)
from protocol.values import UNSET as UNSET
from protocol.values import Members as Members
from protocol.values import Unset as Unset
from protocol.values import checked_idempotency_key as checked_idempotency_key
from protocol.values import or_none as or_none
from protocol.values import to_boolean as to_boolean
from protocol.values import to_integer as to_integer
from protocol.values import to_json as to_json
from protocol.values import to_object as to_object
from protocol.values import to_text as to_text
from protocol.values import to_timestamp_ms as to_timestamp_ms

# --- the requests -----------------------------------------------------------------------------------------------------


class Request(Protocol):
    """What every request can do.

    Attributes:
        takes: its members, beside ``action`` and ``requestId``.
    """

    takes: ClassVar[Takes]

    @classmethod
    def read(cls, members: Members) -> Self:
        """Convert the members of a message.

        Raises:
            BadRequest: a member has the wrong type; ``detail`` names it.
        """
        ...


@dataclass(slots=True)
class ServerInfo:
    """``server/info``: no parameters."""

    takes: ClassVar[Takes] = NO_MEMBERS

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls()


@dataclass(slots=True)
class Authenticate:
    """``authenticate``: one of three forms; which one counts depends on the endpoint."""

    takes: ClassVar[Takes] = Takes(
        {"login": TEXT, "password": TEXT, "accessKey": TEXT, "deviceId": TEXT, "deviceKey": TEXT},
        example={"accessKey": "your access key"},
    )

    login: str | None = None
    password: str | None = None
    access_key: str | None = None
    device_id: str | None = None
    device_key: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(*cls.takes(members))

    def __repr__(self) -> str:
        return f"Authenticate(login={self.login!r}, device_id={self.device_id!r}, …)"


@dataclass(slots=True)
class GetDevice:
    """``device/get``: no parameters; the calling device."""

    takes: ClassVar[Takes] = NO_MEMBERS

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls()


@dataclass(slots=True)
class InsertNotification:
    """``notification/insert``.

    Attributes:
        name: None when the notification or its name is missing.
        parameters: None when the member was absent; ``NULL`` when it was null.
        value: ``parameters`` before encoding, for the notifications that the hub looks into.
    """

    takes: ClassVar[Takes] = Takes(
        {
            "deviceGuid": TEXT,
            "notification": of_members(
                Takes({"notification": TEXT, "parameters": ENCODED}, required=("notification",))
            ),
            "idempotencyKey": IDEMPOTENCY_KEY,
        },
        required=("notification",),
        example={
            "deviceGuid": "lamp",
            "notification": {"notification": "temperature", "parameters": {"celsius": 21.5}},
        },
    )

    device_guid: str | None
    name: str | None
    parameters: Json | None = None
    value: Any = None
    idempotency_key: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guid = to_text(members.get("deviceGuid"), "deviceGuid")
        notification = to_object(members.get("notification"), "notification") or {}
        value = notification.get("parameters", UNSET)
        given = value is not UNSET
        return cls(
            device_guid,
            to_text(notification.get("notification"), "notification.notification"),
            to_json(value) if given else None,
            value if given else None,
            to_idempotency_key(members) if "idempotencyKey" in members else None,
        )


@dataclass(slots=True)
class InsertCommand:
    """``command/insert``. ``given`` tells whether there was a ``command`` object at all.

    Attributes:
        may_wait: ``queue``: whether it is stored for a device that is not connected.
    """

    takes: ClassVar[Takes] = Takes(
        {
            "deviceGuid": TEXT,
            "command": of_members(
                Takes(
                    {
                        "command": TEXT,
                        "parameters": ENCODED,
                        "lifetime": INT32,
                        "status": TEXT,
                        "result": ENCODED,
                    },
                    required=("command",),
                )
            ),
            "queue": BOOLEAN,
            "idempotencyKey": IDEMPOTENCY_KEY,
        },
        required=("deviceGuid", "command"),
        example={"deviceGuid": "lamp", "command": {"command": "set", "parameters": {"on": True}, "lifetime": 60}},
    )

    device_guid: str | None
    given: bool
    name: str | None = None
    parameters: Json = NULL
    lifetime_s: int | None = None
    status: str | None = None
    result: Json = NULL
    idempotency_key: str | None = None
    may_wait: bool = True

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guid = to_text(members.get("deviceGuid"), "deviceGuid")
        command = to_object(members.get("command"), "command")
        get = (command or {}).get
        return cls(
            device_guid,
            command is not None,
            to_text(get("command"), "command.command"),
            to_json(get("parameters")),
            to_integer(get("lifetime"), "lifetime", most=INT32_MAX),
            to_text(get("status"), "status"),
            to_json(get("result")),
            to_idempotency_key(members),
            may_wait=to_may_wait(members.get("queue"), "queue"),
        )


_PATCH = {
    "command": ("name", TEXT, "command.command"),
    "parameters": ("parameters", ENCODED, "parameters"),
    "lifetime": ("lifetime_s", INT32, "lifetime"),
    "status": ("status", TEXT, "status"),
    "result": ("result", ENCODED, "result"),
}
"""Each member of a command that an update may change: its attribute, its type, and what an error calls it."""


@dataclass(slots=True)
class UpdateCommand:
    """``command/update``. ``patch`` is None when there was no ``command`` object."""

    takes: ClassVar[Takes] = Takes(
        {
            "deviceGuid": TEXT,
            "commandId": INTEGER,
            "command": of_members(Takes({name: type_ for name, (_, type_, _) in _PATCH.items()})),
        },
        required=("commandId", "command"),
        example={
            "deviceGuid": "lamp",
            "commandId": 1,
            "command": {"status": "done", "result": {"on": True}},
        },
    )

    device_guid: str | None
    command_id: int | None
    patch: CommandPatch | None

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guid = to_text(members.get("deviceGuid"), "deviceGuid")
        command_id = to_integer(members.get("commandId"), "commandId")
        command = to_object(members.get("command"), "command")
        return cls(device_guid, command_id, None if command is None else read_patch(command))


def to_may_wait(value: Any, name: str) -> bool:
    """``queue`` of a command: only false means that it must not wait."""
    return to_boolean(value, name) is not False


@dataclass(slots=True)
class NameCommand:
    """``command/get``, ``command/watch``, ``command/receive`` and ``command/cancel``."""

    takes: ClassVar[Takes] = Takes(
        {"deviceGuid": TEXT, "commandId": INTEGER},
        required=("commandId",),
        example={"deviceGuid": "lamp", "commandId": 1},
    )

    device_guid: str | None
    command_id: int | None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(*cls.takes(members))


@dataclass(slots=True)
class ExplainAccess:
    """``access/explain``.

    Attributes:
        action: a key action, or the name of an action or operation.
        device_guid, network_id: what it would be done to, where that matters.
        key_id, user_id: whose rights; neither: the caller's own.
        address, origin: where a connection of the key would come from; only with ``key_id``.
    """

    takes: ClassVar[Takes] = Takes(
        {
            "actionName": TEXT,
            "deviceGuid": TEXT,
            "networkId": INTEGER,
            "accessKeyId": INTEGER,
            "userId": INTEGER,
            "address": TEXT,
            "origin": TEXT,
        },
        required=("actionName",),
        example={"actionName": "CreateDeviceCommand", "deviceGuid": "lamp"},
    )

    action: str | None
    device_guid: str | None = None
    network_id: int | None = None
    key_id: int | None = None
    user_id: int | None = None
    address: str | None = None
    origin: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(*cls.takes(members))


def read_patch(command: Members) -> CommandPatch:
    """What a command object changes: present members overwrite, null clears, absent ones stay."""
    patch: dict[str, object] = {}
    for member, (name, type_, told) in _PATCH.items():
        if member in command:
            patch[name] = type_.convert(command[member], told)
    if patch.get("name", "") is None:  # A command cannot lose its name: null leaves it as it is.
        del patch["name"]
    return CommandPatch(patch)


@dataclass(slots=True)
class Subscribe:
    """``command/subscribe`` and ``notification/subscribe``.

    Attributes:
        device_guids: in request order, without duplicates; None: every visible device.
        names: None: no filter; empty: there was a filter with nothing in it, which the action refuses.
        timestamp_ms, since: where to replay from; at most one of them.
        overflow: what happens when the reader is too slow.
        asked_guids: ``device_guids`` as they came, for the old way of unsubscribing.
        contradiction: a member that must not stand beside another one that is there.
    """

    takes: ClassVar[Takes] = Takes(
        {
            "deviceGuids": TEXTS,
            "deviceGuid": TEXT,
            "names": TEXTS,
            "timestamp": TIMESTAMP,
            "since": POSITION,
            "overflow": OVERFLOW,
        },
        example={"deviceGuids": ["lamp"]},
    )

    device_guids: tuple[str, ...] | None = None
    names: frozenset[str] | None = None
    timestamp_ms: int | None = None
    since: int | None = None
    overflow: Overflow = Overflow.DISCONNECT
    contradiction: str | None = None
    asked_guids: frozenset[str] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guids, device_guid, names, timestamp_ms, since, overflow = cls.takes(members)
        contradiction = None
        if device_guid is not None and device_guids is not None:
            contradiction = "deviceGuid"
        elif since is not None and timestamp_ms is not None:
            contradiction = "timestamp"
        guids = (device_guid,) if device_guid is not None else device_guids or ()
        named = tuple(dict.fromkeys(guid for guid in guids if guid is not None)) or None
        return cls(
            named,
            None if names is None else frozenset(name for name in names if name is not None),
            timestamp_ms,
            since,
            overflow,
            contradiction,
            frozenset(named) if named is not None else None,
        )


@dataclass(slots=True)
class Unsubscribe:
    """``command/unsubscribe`` and ``notification/unsubscribe``: by id, or in the old format by exactly these guids."""

    takes: ClassVar[Takes] = Takes(
        {"subscriptionId": UUID_TEXT, "deviceGuids": TEXTS},
        example={"subscriptionId": "0d2c9f4e-6c0e-4f3c-9b65-0f3c0b8f4a51"},
    )

    subscription_id: str | None = None
    device_guids: frozenset[str] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        subscription_id, guids = cls.takes(members)
        return cls(subscription_id, frozenset(guid for guid in guids or () if guid is not None) or None)


def _within(place: str, members: Mapping[str, Type]) -> Takes:
    """Members that an error calls by the object that they stand in, too."""
    return Takes(members, called={name: f"{place}.{name}" for name in members})


@dataclass(slots=True)
class SaveNetwork:
    """``device.network`` of a registration: matched by name."""

    takes: ClassVar[Takes] = _within("network", {"name": TEXT, "key": TEXT, "description": TEXT})

    name: str | None = None
    key: str | None = None
    description: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(*cls.takes(members))

    def __repr__(self) -> str:
        return f"SaveNetwork(name={self.name!r}, …)"


@dataclass(slots=True)
class SaveEquipment:
    """One piece of equipment of a device class in a registration."""

    takes: ClassVar[Takes] = _within("equipment", {"name": TEXT, "code": TEXT, "type": TEXT, "data": ANYTHING})

    name: str | None
    code: str | None
    type: str | None
    data: Any = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(*cls.takes(members))


EQUIPMENT_LIST = a_list(SaveEquipment.read, SaveEquipment.takes)
"""Equipment inside something else; null elements are dropped."""


@dataclass(slots=True)
class SaveClass:
    """``device.deviceClass`` of a registration: matched by name and version. UNSET members stay as they are."""

    takes: ClassVar[Takes] = Takes(
        {
            "name": TEXT,
            "version": TEXT,
            "isPermanent": BOOLEAN,
            "offlineTimeout": INT32,
            "data": ANYTHING,
            "equipment": EQUIPMENT_LIST,
        },
        called={"name": "deviceClass.name", "version": "deviceClass.version"},
    )

    name: str | None = None
    version: str | None = None
    is_permanent: bool | None | Unset = UNSET
    offline_timeout_s: int | None | Unset = UNSET
    data: Any = UNSET
    equipment: tuple[SaveEquipment, ...] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        name, version, is_permanent, offline_timeout_s, data, equipment = cls.takes.given(members)
        pieces = or_none(equipment)
        return cls(or_none(name), or_none(version), is_permanent, offline_timeout_s, data, pieces)


_DEVICE = Takes(
    {
        "key": TEXT,
        "name": TEXT,
        "status": TEXT,
        "data": ANYTHING,
        "network": an_object(SaveNetwork.read, SaveNetwork.takes.members),
        "deviceClass": an_object(SaveClass.read, SaveClass.takes.members),
        "blocked": BOOLEAN,
        "isBlocked": BOOLEAN,
    }
)


@dataclass(slots=True)
class SaveDevice:
    """``device/save``, and REST's registration. UNSET: leave as it is. None: set to null, where that is allowed.

    Attributes:
        device_key: UNSET: there is no place for one beside the device, so nobody has to give one there.
        given: whether there was a ``device`` object at all.
        equipment: the legacy place beside ``device``; used only when the class brings none of its own.
    """

    takes: ClassVar[Takes] = Takes(
        {"deviceId": TEXT, "deviceKey": TEXT, "device": of_members(_DEVICE), "equipment": EQUIPMENT_LIST},
        required=("deviceId", "device"),
        example={
            "deviceId": "lamp",
            "deviceKey": "a key of its own",
            "device": {
                "name": "Lamp",
                "key": "a key of its own",
                "deviceClass": {"name": "lamp", "version": "1"},
            },
        },
    )

    device_guid: str | None
    device_key: str | None | Unset
    given: bool
    key: str | None | Unset = UNSET
    name: str | None | Unset = UNSET
    status: str | None | Unset = UNSET
    data: Any = UNSET
    network: SaveNetwork | None | Unset = UNSET
    device_class: SaveClass | None | Unset = UNSET
    is_blocked: bool | None | Unset = UNSET
    equipment: tuple[SaveEquipment, ...] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guid, device_key, device, equipment = cls.takes(members)
        if device is None:
            return cls(device_guid, device_key, given=False)
        *values, blocked, is_blocked = _DEVICE.given(device)
        is_blocked = blocked if is_blocked is UNSET else is_blocked
        return cls(device_guid, device_key, True, *(*values, is_blocked, equipment))

    def __repr__(self) -> str:
        return f"SaveDevice(device_guid={self.device_guid!r}, …)"


def to_idempotency_key(members: Members) -> str | None:
    """``idempotencyKey`` of a message; null is absent."""
    return checked_idempotency_key(members.get("idempotencyKey"), "idempotencyKey")


REQUESTS: dict[Action, type[Request]] = {
    Action.SERVER_INFO: ServerInfo,
    Action.AUTHENTICATE: Authenticate,
    Action.DEVICE_GET: GetDevice,
    Action.DEVICE_SAVE: SaveDevice,
    Action.COMMAND_INSERT: InsertCommand,
    Action.COMMAND_UPDATE: UpdateCommand,
    Action.COMMAND_SUBSCRIBE: Subscribe,
    Action.COMMAND_UNSUBSCRIBE: Unsubscribe,
    Action.NOTIFICATION_INSERT: InsertNotification,
    Action.NOTIFICATION_SUBSCRIBE: Subscribe,
    Action.NOTIFICATION_UNSUBSCRIBE: Unsubscribe,
    Action.COMMAND_GET: NameCommand,
    Action.COMMAND_WATCH: NameCommand,
    Action.COMMAND_RECEIVE: NameCommand,
    Action.COMMAND_CANCEL: NameCommand,
    Action.ACCESS_EXPLAIN: ExplainAccess,
}
"""What each action takes."""
