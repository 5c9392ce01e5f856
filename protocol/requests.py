"""Requests: what each action takes, converted from the members of a message once and checked for type.

Conversion follows one table of rules (strings take numbers and booleans, integers take digits, and so on) and fails
with ``Invalid request parameters`` naming the member. What a member *means*, whether it must be there for this caller,
is the action's business.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self
from uuid import UUID

import orjson

from protocol.errors import bad_parameter
from protocol.messages import NULL, CommandPatch, Json
from protocol.names import IDEMPOTENCY_KEY_MAX, INT32_MAX, INT64_MAX, Action, Overflow
from protocol.times import parse_ms

Members = Mapping[str, Any]

INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
"""The text of a number."""


class Unset:
    """The type of ``UNSET``: the member was not there at all, which is not the same as null."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> Literal[False]:
        return False


UNSET = Unset()


def or_none(value: Any) -> Any:
    """Of something new, what was not said of it is null."""
    return None if value is UNSET else value


# --- conversion of one member -----------------------------------------------------------------------------------------


def to_text(value: Any, name: str) -> str | None:
    """A string, or the literal text of a number or boolean; null is absent."""
    if type(value) is str:
        if "\0" in value:
            raise bad_parameter(name)
        return value
    if value is None:
        return None
    if isinstance(value, (dict, list)):
        raise bad_parameter(name)
    return orjson.dumps(value).decode()


def to_integer(value: Any, name: str, *, most: int = INT64_MAX) -> int | None:
    """An integral number, or a string with one; null is absent."""
    if value is None:
        return None
    if isinstance(value, str) and INTEGER.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -most - 1 <= value <= most:
        raise bad_parameter(name)
    return value


def to_boolean(value: Any, name: str) -> bool | None:
    """A boolean, or the text of one (any other text means false); null is absent."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.lower() == "true"
    raise bad_parameter(name)


def to_object(value: Any, name: str) -> Members | None:
    """An object; null is absent."""
    if type(value) is dict or value is None:
        return value
    raise bad_parameter(name)


def to_texts(value: Any, name: str) -> tuple[str | None, ...] | None:
    """An array whose elements convert to text; null is absent."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise bad_parameter(name)
    return tuple(to_text(element, name) for element in value)


def to_timestamp_ms(value: Any, name: str) -> int | None:
    """A timestamp in any accepted form, in milliseconds since 1970; null and empty text are absent."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise bad_parameter(name)
    try:
        return parse_ms(value)
    except ValueError as exc:
        raise bad_parameter(name) from exc


def to_uuid(value: Any, name: str) -> str | None:
    """A UUID in canonical form, lower case; null is absent."""
    if value is None:
        return None
    try:
        canonical = str(UUID(value)) if isinstance(value, str) else ""
    except ValueError:
        canonical = ""
    if not canonical or canonical != value.lower():
        raise bad_parameter(name)
    return canonical


def to_json(value: Any) -> Json:
    """The encoded text of a free JSON value; the codec has already refused what JSON cannot carry exactly."""
    return NULL if value is None else orjson.dumps(value)


# --- the requests -----------------------------------------------------------------------------------------------------


class Request(Protocol):
    """What every request can do."""

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

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls()


@dataclass(slots=True)
class Authenticate:
    """``authenticate``: one of three forms; which one counts depends on the endpoint."""

    login: str | None = None
    password: str | None = None
    access_key: str | None = None
    device_id: str | None = None
    device_key: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        get = members.get
        return cls(
            to_text(get("login"), "login"),
            to_text(get("password"), "password"),
            to_text(get("accessKey"), "accessKey"),
            to_text(get("deviceId"), "deviceId"),
            to_text(get("deviceKey"), "deviceKey"),
        )

    def __repr__(self) -> str:
        return f"Authenticate(login={self.login!r}, device_id={self.device_id!r}, …)"


@dataclass(slots=True)
class GetDevice:
    """``device/get``: no parameters; the calling device."""

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


@dataclass(slots=True)
class UpdateCommand:
    """``command/update``. ``patch`` is None when there was no ``command`` object."""

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

    device_guid: str | None
    command_id: int | None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            to_text(members.get("deviceGuid"), "deviceGuid"),
            to_integer(members.get("commandId"), "commandId"),
        )


@dataclass(slots=True)
class ExplainAccess:
    """``access/explain``.

    Attributes:
        action: a key action, or the name of an action or operation.
        device_guid, network_id: what it would be done to, where that matters.
        key_id, user_id: whose rights; neither: the caller's own.
        address, origin: where a connection of the key would come from; only with ``key_id``.
    """

    action: str | None
    device_guid: str | None = None
    network_id: int | None = None
    key_id: int | None = None
    user_id: int | None = None
    address: str | None = None
    origin: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        get = members.get
        return cls(
            to_text(get("actionName"), "actionName"),
            to_text(get("deviceGuid"), "deviceGuid"),
            to_integer(get("networkId"), "networkId"),
            to_integer(get("accessKeyId"), "accessKeyId"),
            to_integer(get("userId"), "userId"),
            to_text(get("address"), "address"),
            to_text(get("origin"), "origin"),
        )


def read_patch(command: Members) -> CommandPatch:
    """What a command object changes: present members overwrite, null clears, absent ones stay."""
    patch: dict[str, object] = {}
    for member, (name, convert) in _PATCH.items():
        if member in command:
            patch[name] = convert(command[member])
    if patch.get("name", "") is None:  # A command cannot lose its name: null leaves it as it is.
        del patch["name"]
    return CommandPatch(patch)


_PATCH: dict[str, tuple[str, Callable[[Any], object]]] = {
    "command": ("name", lambda value: to_text(value, "command.command")),
    "parameters": ("parameters", to_json),
    "lifetime": ("lifetime_s", lambda value: to_integer(value, "lifetime", most=INT32_MAX)),
    "status": ("status", lambda value: to_text(value, "status")),
    "result": ("result", to_json),
}


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

    device_guids: tuple[str, ...] | None = None
    names: frozenset[str] | None = None
    timestamp_ms: int | None = None
    since: int | None = None
    overflow: Overflow = Overflow.DISCONNECT
    contradiction: str | None = None
    asked_guids: frozenset[str] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        device_guids = to_texts(members.get("deviceGuids"), "deviceGuids")
        device_guid = to_text(members.get("deviceGuid"), "deviceGuid")
        names = to_texts(members.get("names"), "names")
        timestamp_ms = to_timestamp_ms(members.get("timestamp"), "timestamp")
        since = to_integer(members.get("since"), "since")
        overflow = to_overflow(members.get("overflow"))
        if since is not None and since < 0:
            raise bad_parameter("since")
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


def to_overflow(value: Any) -> Overflow:
    """The overflow policy of a subscription; null is the default."""
    if value is None:
        return Overflow.DISCONNECT
    try:
        return Overflow(value)
    except ValueError as exc:
        raise bad_parameter("overflow") from exc


@dataclass(slots=True)
class Unsubscribe:
    """``command/unsubscribe`` and ``notification/unsubscribe``: by id, or in the old format by exactly these guids."""

    subscription_id: str | None = None
    device_guids: frozenset[str] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        subscription_id = to_uuid(members.get("subscriptionId"), "subscriptionId")
        guids = to_texts(members.get("deviceGuids"), "deviceGuids")
        return cls(subscription_id, frozenset(guid for guid in guids or () if guid is not None) or None)


@dataclass(slots=True)
class SaveNetwork:
    """``device.network`` of a registration: matched by name."""

    name: str | None = None
    key: str | None = None
    description: str | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            to_text(members.get("name"), "network.name"),
            to_text(members.get("key"), "network.key"),
            to_text(members.get("description"), "network.description"),
        )

    def __repr__(self) -> str:
        return f"SaveNetwork(name={self.name!r}, …)"


@dataclass(slots=True)
class SaveEquipment:
    """One piece of equipment of a device class in a registration."""

    name: str | None
    code: str | None
    type: str | None
    data: Any = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            to_text(members.get("name"), "equipment.name"),
            to_text(members.get("code"), "equipment.code"),
            to_text(members.get("type"), "equipment.type"),
            members.get("data"),
        )


@dataclass(slots=True)
class SaveClass:
    """``device.deviceClass`` of a registration: matched by name and version. UNSET members stay as they are."""

    name: str | None = None
    version: str | None = None
    is_permanent: bool | None | Unset = UNSET
    offline_timeout_s: int | None | Unset = UNSET
    data: Any = UNSET
    equipment: tuple[SaveEquipment, ...] | None = None

    @classmethod
    def read(cls, members: Members) -> Self:
        return cls(
            to_text(members.get("name"), "deviceClass.name"),
            to_text(members.get("version"), "deviceClass.version"),
            _given(members, "isPermanent", to_boolean),
            _given(members, "offlineTimeout", lambda value, name: to_integer(value, name, most=INT32_MAX)),
            members.get("data", UNSET),
            read_equipment(members.get("equipment")),
        )


def read_equipment(value: Any) -> tuple[SaveEquipment, ...] | None:
    """An array of equipment, null elements dropped; null is absent."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise bad_parameter("equipment")
    return tuple(
        SaveEquipment.read(item) for item in (to_object(element, "equipment") for element in value) if item is not None
    )


def _given(members: Members, member: str, convert: Callable[[Any, str], Any]) -> Any:
    return convert(members[member], member) if member in members else UNSET


@dataclass(slots=True)
class SaveDevice:
    """``device/save``, and REST's registration. UNSET: leave as it is. None: set to null, where that is allowed.

    Attributes:
        device_key: UNSET: there is no place for one beside the device, so nobody has to give one there.
        given: whether there was a ``device`` object at all.
        equipment: the legacy place beside ``device``; used only when the class brings none of its own.
    """

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
        device_guid = to_text(members.get("deviceId"), "deviceId")
        device_key = to_text(members.get("deviceKey"), "deviceKey")
        device = to_object(members.get("device"), "device")
        equipment = read_equipment(members.get("equipment"))
        if device is None:
            return cls(device_guid, device_key, given=False)
        blocked = "isBlocked" if "isBlocked" in device else "blocked"
        return cls(
            device_guid,
            device_key,
            given=True,
            key=_given(device, "key", to_text),
            name=_given(device, "name", to_text),
            status=_given(device, "status", to_text),
            data=device.get("data", UNSET),
            network=_nested(device, "network", SaveNetwork.read),
            device_class=_nested(device, "deviceClass", SaveClass.read),
            is_blocked=_given(device, blocked, to_boolean),
            equipment=equipment,
        )

    def __repr__(self) -> str:
        return f"SaveDevice(device_guid={self.device_guid!r}, …)"


def _nested(members: Members, member: str, read: Callable[[Members], Any]) -> Any:
    if member not in members:
        return UNSET
    value = to_object(members[member], member)
    return None if value is None else read(value)


def to_idempotency_key(members: Members) -> str | None:
    """``idempotencyKey`` of a message; null is absent."""
    return checked_idempotency_key(members.get("idempotencyKey"), "idempotencyKey")


def checked_idempotency_key(value: Any, name: str) -> str | None:
    """1 to 64 characters; null is absent."""
    key = to_text(value, name)
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX:
        raise bad_parameter(name)
    return key


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
