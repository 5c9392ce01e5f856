"""Requests: the conversion of every member of every action, one row of the table at a time."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import BadRequest
from protocol.messages import NULL, CommandPatch
from protocol.names import INT32_MAX, INT64_MAX, Action, Overflow
from protocol.requests import (
    REQUESTS,
    UNSET,
    Authenticate,
    GetDevice,
    InsertCommand,
    InsertNotification,
    Request,
    SaveClass,
    SaveDevice,
    SaveEquipment,
    SaveNetwork,
    ServerInfo,
    Unset,
    Unsubscribe,
    UpdateCommand,
    to_json,
)

UUID = "0d2c9f4e-6c0e-4f3c-9b65-0f3c0b8f4a51"


# --- the table of conversions -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Type:
    """A declared type of the wire: what converts to what, and what is refused."""

    name: str
    accepted: list[tuple[Any, Any]]
    refused: list[Any] = field(default_factory=list)


TEXT = Type(
    "string",
    [("on", "on"), ("", ""), ("é😀", "é😀"), (5, "5"), (-1.5, "-1.5"), (True, "true"), (False, "false"), (None, None)],
    [{}, [], ["on"], {"a": 1}, "\0", "o\0n"],
)
NOT_INTEGERS = [1.5, "1.5", "", " 7", "7 ", "seven", "0x7", "1e3", "٣", True, False, {}, [], [7]]
INT64 = Type(
    "int64",
    [(7, 7), (-7, -7), ("7", 7), ("-7", -7), ("007", 7), (INT64_MAX, INT64_MAX), (-(2**63), -(2**63)), (None, None)],
    [*NOT_INTEGERS, INT64_MAX + 1, str(INT64_MAX + 1), -(2**63) - 1, "9" * 5_000],
)
INT32 = Type(
    "int32",
    [(7, 7), ("-7", -7), (0, 0), (INT32_MAX, INT32_MAX), (str(-(2**31)), -(2**31)), (None, None)],
    [*NOT_INTEGERS, INT32_MAX + 1, -(2**31) - 1, str(INT32_MAX + 1), INT64_MAX],
)
BOOLEAN = Type(
    "boolean",
    [(True, True), (False, False), ("true", True), ("TRUE", True), ("false", False), ("yes", False), (None, None)],
    [{}, [], 0, 1, 1.0],
)
OBJECT = Type("object", [], ["text", 1, 1.5, True, False, [], [{}]])
TEXTS = Type("array of string", [], ["text", 1, True, {}, [[]], [{}], ["a", ["b"]], ["\0"]])
TIMESTAMP = Type(
    "timestamp",
    [
        ("1970-01-01T00:00:01.000", 1_000),
        ("1970-01-01", 0),
        (1_000, 1_000),
        ("1000", 1_000),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 1_000),
        (None, None),
        ("", None),
    ],
    ["yesterday", "1970-13-01", 1.5, True, {}, [], 2**63, "9" * 5_000],
)
IDENTIFIER = Type(
    "UUID",
    [(UUID, UUID), (UUID.upper(), UUID), (None, None)],
    ["", "x", UUID[:-1], UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", 5, True, {}, [UUID]],
)
ANY = Type(
    "any JSON",
    [(value, to_json(value)) for value in [{"a": [1, None]}, [], "text", "\0", 1, 1.0, True, False, INT64_MAX]],
)
EQUIPMENT = Type("array of equipment", [], ["text", 1, True, {}, ["LED"], [[]], [1], [{"code": []}]])


@dataclass(frozen=True)
class Member:
    """One parameter of an action.

    Attributes:
        path: where it stands in the message.
        place: the attribute of the request that it becomes; dots lead into nested ones.
    """

    action: Action
    path: str
    place: str
    type: Type

    def __str__(self) -> str:
        return f"{self.action.value}-{self.path}"

    def message(self, value: Any) -> dict[str, Any]:
        """A message that has this member and nothing else."""
        for name in reversed(self.path.split(".")):
            value = {name: value}
        return value

    def read(self, value: Any) -> Any:
        """The request made of such a message."""
        return REQUESTS[self.action].read(self.message(value))

    def converted(self, value: Any) -> Any:
        """What the value became."""
        found = self.read(value)
        for name in self.place.split("."):
            found = found[name] if isinstance(found, dict) else getattr(found, name)
        return found


def members(*actions: Action, **rows: tuple[str, Type]) -> list[Member]:
    return [Member(action, path, *row) for action in actions for path, row in rows.items()]


COMMAND_MEMBERS = {
    "command": TEXT,
    "parameters": ANY,
    "lifetime": INT32,
    "status": TEXT,
    "result": ANY,
}
ATTRIBUTES = {
    "command": "name",
    "parameters": "parameters",
    "lifetime": "lifetime_s",
    "status": "status",
    "result": "result",
}

MEMBERS = [
    *members(
        Action.AUTHENTICATE,
        login=("login", TEXT),
        password=("password", TEXT),
        accessKey=("access_key", TEXT),
        deviceId=("device_id", TEXT),
        deviceKey=("device_key", TEXT),
    ),
    *members(
        Action.NOTIFICATION_INSERT,
        deviceGuid=("device_guid", TEXT),
        notification=("", OBJECT),
        **{"notification.notification": ("name", TEXT), "notification.parameters": ("parameters", ANY)},
    ),
    *members(
        Action.COMMAND_INSERT,
        deviceGuid=("device_guid", TEXT),
        command=("", OBJECT),
        **{f"command.{name}": (ATTRIBUTES[name], kind) for name, kind in COMMAND_MEMBERS.items()},
    ),
    *members(
        Action.COMMAND_INSERT,
        queue=(
            "may_wait",
            Type("queue", [(True, True), (False, False), ("false", False), (None, True)], BOOLEAN.refused),
        ),
    ),
    *members(
        Action.COMMAND_GET,
        Action.COMMAND_WATCH,
        Action.COMMAND_RECEIVE,
        Action.COMMAND_CANCEL,
        deviceGuid=("device_guid", TEXT),
        commandId=("command_id", INT64),
    ),
    *members(
        Action.ACCESS_EXPLAIN,
        actionName=("action", TEXT),
        deviceGuid=("device_guid", TEXT),
        networkId=("network_id", INT64),
        accessKeyId=("key_id", INT64),
        userId=("user_id", INT64),
        address=("address", TEXT),
        origin=("origin", TEXT),
    ),
    *members(
        Action.COMMAND_UPDATE,
        deviceGuid=("device_guid", TEXT),
        commandId=("command_id", INT64),
        command=("", OBJECT),
        **{
            f"command.{name}": (f"patch.members.{ATTRIBUTES[name]}", kind)
            for name, kind in COMMAND_MEMBERS.items()
            if name != "command"  # a name that is null is left out: below
        },
    ),
    *members(
        Action.COMMAND_SUBSCRIBE,
        Action.NOTIFICATION_SUBSCRIBE,
        deviceGuids=("", TEXTS),
        names=("", TEXTS),
        timestamp=("timestamp_ms", TIMESTAMP),
        since=(
            "since",
            Type("position", [(0, 0), ("7", 7), (INT64_MAX, INT64_MAX), (None, None)], [-1, *INT64.refused]),
        ),
        overflow=(
            "overflow",
            Type(
                "overflow",
                [*((policy.value, policy) for policy in Overflow), (None, Overflow.DISCONNECT)],
                ["", "LATEST", "newest", 1, True, {}, []],
            ),
        ),
    ),
    *members(
        Action.COMMAND_UNSUBSCRIBE,
        Action.NOTIFICATION_UNSUBSCRIBE,
        subscriptionId=("subscription_id", IDENTIFIER),
        deviceGuids=("", TEXTS),
    ),
    *members(
        Action.DEVICE_SAVE,
        deviceId=("device_guid", TEXT),
        deviceKey=("device_key", TEXT),
        device=("", OBJECT),
        equipment=("", EQUIPMENT),
        **{
            "device.key": ("key", TEXT),
            "device.name": ("name", TEXT),
            "device.status": ("status", TEXT),
            "device.blocked": ("is_blocked", BOOLEAN),
            "device.isBlocked": ("is_blocked", BOOLEAN),
            "device.network": ("", OBJECT),
            "device.network.name": ("network.name", TEXT),
            "device.network.key": ("network.key", TEXT),
            "device.network.description": ("network.description", TEXT),
            "device.deviceClass": ("", OBJECT),
            "device.deviceClass.name": ("device_class.name", TEXT),
            "device.deviceClass.version": ("device_class.version", TEXT),
            "device.deviceClass.isPermanent": ("device_class.is_permanent", BOOLEAN),
            "device.deviceClass.offlineTimeout": ("device_class.offline_timeout_s", INT32),
            "device.deviceClass.equipment": ("", EQUIPMENT),
        },
    ),
]

ACCEPTED = [(member, value, result) for member in MEMBERS for value, result in member.type.accepted]
REFUSED = [(member, value) for member in MEMBERS for value in member.type.refused]


def short(value: Any) -> str:
    return str(value) if isinstance(value, Member) else repr(value)[:30]


@pytest.mark.parametrize(("member", "value", "result"), ACCEPTED, ids=short)
def test_a_member_converts_as_its_type_says(member, value, result):
    """Strings take numbers and booleans, integers take digits, null is absent, free values stay as they are."""
    converted = member.converted(value)

    assert (type(result), result) == (type(converted), converted)


@pytest.mark.parametrize(("member", "value"), REFUSED, ids=short)
def test_a_member_of_the_wrong_type_is_refused_by_name(member, value):
    """One error for all of them, which names the member."""
    with pytest.raises(BadRequest, match="Invalid request parameters") as refused:
        member.read(value)

    assert refused.value.reason == "bad-parameter"
    assert refused.value.detail
    assert member.path.rpartition(".")[2] in str(refused.value.detail["parameter"]) or member.type is EQUIPMENT


@pytest.mark.parametrize(
    "action",
    [
        Action.COMMAND_SUBSCRIBE,
        Action.NOTIFICATION_SUBSCRIBE,
        Action.COMMAND_INSERT,
        Action.COMMAND_UPDATE,
        Action.NOTIFICATION_INSERT,
    ],
    ids=str,
)
@pytest.mark.parametrize("value", TEXT.refused, ids=repr)
def test_the_guid_of_every_action_is_a_string(action, value):
    """``deviceGuid`` converts the same way wherever it is a parameter."""
    with pytest.raises(BadRequest):
        REQUESTS[action].read({"deviceGuid": value})


@pytest.mark.parametrize("action", Action)
def test_every_action_can_be_read_from_an_empty_message(action):
    """A member that has to be there is missed by the action, in its own words, not by the conversion."""
    assert REQUESTS[action].read({}) is not None


@pytest.mark.parametrize("action", Action)
def test_unknown_members_are_ignored(action):
    """On the top level and in the objects below it."""
    noise = {"flags": 1, "foo": {"bar": []}}

    plain = REQUESTS[action].read({"command": {}, "notification": {}, "device": {}})

    assert plain == REQUESTS[action].read({**noise, "command": noise, "notification": noise, "device": noise})


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
NAMES = sorted({name for member in MEMBERS for name in member.path.split(".")} | {"idempotencyKey"})
shaped = st.recursive(
    anything, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=6) | st.lists(inner, max_size=3)
)


@given(action=st.sampled_from(Action), message=st.dictionaries(st.sampled_from(NAMES), shaped, max_size=6))
def test_any_message_is_a_request_or_a_bad_request(action, message):
    """Whatever the members hold, reading them raises nothing but BadRequest."""
    try:
        request = REQUESTS[action].read(message)
    except BadRequest:
        return

    assert isinstance(request, REQUESTS[action])


# --- the requests, one by one -----------------------------------------------------------------------------------------


def read(action: Action, **message: Any) -> Request:
    return REQUESTS[action].read(message)


@pytest.mark.parametrize(
    ("action", "request_class"), [(Action.SERVER_INFO, ServerInfo), (Action.DEVICE_GET, GetDevice)]
)
def test_some_actions_take_nothing(action, request_class):
    """Members that other actions know mean nothing here."""
    assert request_class() == read(action, login=[], deviceGuid={})


def test_an_authentication_does_not_print_its_secrets():
    """It may end up in a traceback, and a traceback in a log."""
    ask = read(Action.AUTHENTICATE, login="alice", password="p-w", accessKey="a-k", deviceId="lamp", deviceKey="d-k")

    assert Authenticate("alice", "p-w", "a-k", "lamp", "d-k") == ask
    assert "alice" in repr(ask)
    assert not any(secret in repr(ask) for secret in ("p-w", "a-k", "d-k"))


def test_a_notification_without_parameters_differs_from_one_with_null():
    """``equipment`` fails in two ways, so the request keeps the two apart."""
    absent = read(Action.NOTIFICATION_INSERT, notification={"notification": "equipment"})
    null = read(Action.NOTIFICATION_INSERT, notification={"notification": "equipment", "parameters": None})

    assert (absent.parameters, absent.value) == (None, None)
    assert (null.parameters, null.value) == (NULL, None)


def test_a_notification_keeps_its_parameters_encoded_and_plain():
    """The log takes the text, the special notifications look into the value."""
    ask = read(Action.NOTIFICATION_INSERT, notification={"notification": "n", "parameters": {"status": "On"}})

    assert InsertNotification(None, "n", b'{"status":"On"}', {"status": "On"}) == ask


@pytest.mark.parametrize("members", [{}, {"notification": None}, {"notification": {}}])
def test_a_missing_notification_is_one_without_name(members):
    """The action tells all three cases in the same words."""
    assert InsertNotification(None, None) == read(Action.NOTIFICATION_INSERT, **members)


@pytest.mark.parametrize(("members", "given"), [({}, False), ({"command": None}, False), ({"command": {}}, True)])
def test_a_command_says_whether_it_was_there(members, given):
    """Null is absent."""
    assert InsertCommand(None, given) == read(Action.COMMAND_INSERT, **members)


@pytest.mark.parametrize("action", [Action.COMMAND_INSERT, Action.NOTIFICATION_INSERT])
@pytest.mark.parametrize(
    ("value", "key"),
    [("k", "k"), ("k" * 64, "k" * 64), (7, "7"), (None, None)],
    ids=["one character", "64 characters", "a number", "null"],
)
def test_an_insert_may_carry_an_idempotency_key(action, value, key):
    """It stands beside the action and has 1 to 64 characters."""
    assert key == read(action, idempotencyKey=value).idempotency_key


@pytest.mark.parametrize("action", [Action.COMMAND_INSERT, Action.NOTIFICATION_INSERT])
@pytest.mark.parametrize(
    "value", ["", "k" * 65, [], {}, "\0"], ids=["empty", "65 characters", "array", "object", "NUL"]
)
def test_an_idempotency_key_of_another_length_or_type_is_refused(action, value):
    """Cut to size it might equal another."""
    with pytest.raises(BadRequest) as refused:
        read(action, idempotencyKey=value)

    assert refused.value.detail == {"parameter": "idempotencyKey"}


def test_an_update_holds_only_what_it_was_given():
    """Absent members stay as they are, so they must not appear in the patch."""
    ask = read(Action.COMMAND_UPDATE, deviceGuid="lamp", commandId=7, command={"status": "Done"})

    assert UpdateCommand("lamp", 7, CommandPatch({"status": "Done"})) == ask


def test_null_in_an_update_clears():
    """A member that is there and null is not the same as one that is not there."""
    ask = read(Action.COMMAND_UPDATE, command=dict.fromkeys(["parameters", "lifetime", "status", "result"]))

    assert ask.patch.members == {"parameters": NULL, "lifetime_s": None, "status": None, "result": NULL}


@pytest.mark.parametrize(("value", "patch"), [("off", {"name": "off"}), (5, {"name": "5"}), (None, {})])
def test_an_update_may_rename_a_command_but_not_take_its_name(value, patch):
    """A command has a name from the beginning to the end."""
    assert patch == read(Action.COMMAND_UPDATE, command={"command": value}).patch.members


@pytest.mark.parametrize("value", TEXT.refused, ids=repr)
def test_a_new_name_of_a_command_is_a_string(value):
    """As at the insertion."""
    with pytest.raises(BadRequest):
        read(Action.COMMAND_UPDATE, command={"command": value})


@pytest.mark.parametrize("members", [{}, {"command": None}])
def test_an_update_without_a_command_has_no_patch(members):
    """Which is an error of its own, and not the same as an empty patch."""
    assert read(Action.COMMAND_UPDATE, **members).patch is None


@pytest.mark.parametrize(
    ("members", "guids"),
    [
        ({}, None),
        ({"deviceGuid": None, "deviceGuids": None}, None),
        ({"deviceGuids": []}, None),
        ({"deviceGuids": [None]}, None),
        ({"deviceGuid": "a"}, ("a",)),
        ({"deviceGuid": "a", "deviceGuids": None}, ("a",)),
        ({"deviceGuid": 5}, ("5",)),
        ({"deviceGuids": ["b", "a"]}, ("b", "a")),
        ({"deviceGuids": ["b", None, "a", "b"]}, ("b", "a")),
        ({"deviceGuids": [5, True, "5"]}, ("5", "true")),
        ({"deviceGuid": ""}, ("",)),
    ],
)
def test_a_subscription_names_devices_in_order_and_once(members, guids):
    """Nulls are dropped, duplicates collapse, and a list with nothing in it is no list."""
    ask = read(Action.COMMAND_SUBSCRIBE, **members)

    assert ask.device_guids == guids
    assert ask.contradiction is None


@pytest.mark.parametrize("guids", [["a"], ["b"], []])
def test_one_device_and_a_list_of_devices_exclude_each_other(guids):
    """Even when they say the same; the action refuses what the request only remembers."""
    assert read(Action.NOTIFICATION_SUBSCRIBE, deviceGuid="a", deviceGuids=guids).contradiction == "deviceGuid"


@pytest.mark.parametrize(
    ("names", "filter_"),
    [
        (None, None),
        ([], frozenset()),
        ([None], frozenset()),
        (["a", None, "a", 5], frozenset({"a", "5"})),
    ],
)
def test_a_filter_without_a_name_is_not_the_same_as_no_filter(names, filter_):
    """Null lets everything through; a list with nothing in it is for the action to refuse."""
    assert filter_ == read(Action.COMMAND_SUBSCRIBE, names=names).names


def test_a_subscription_replays_from_one_place_only():
    """A time and an id exclude each other; the action refuses what the request only remembers."""
    assert read(Action.COMMAND_SUBSCRIBE, since=1, timestamp=5).contradiction == "timestamp"


def test_null_beside_a_cursor_is_no_second_cursor():
    """Clients that always send both members may."""
    assert read(Action.COMMAND_SUBSCRIBE, since=7, timestamp=None).since == 7
    assert read(Action.COMMAND_SUBSCRIBE, since=None, timestamp=7).timestamp_ms == 7


@pytest.mark.parametrize(
    ("members", "guids"),
    [
        ({}, None),
        ({"deviceGuids": None}, None),
        ({"deviceGuids": []}, None),
        ({"deviceGuids": ["b", None, "a"]}, {"a", "b"}),
    ],
)
def test_an_unsubscription_in_the_old_format_names_a_set_of_devices(members, guids):
    """Order does not matter, and none means those made without devices."""
    assert Unsubscribe(None, guids and frozenset(guids)) == read(Action.COMMAND_UNSUBSCRIBE, **members)


def test_device_save_keeps_absent_and_null_apart():
    """Absent leaves a member as it is; null sets it to null or is refused by the action."""
    absent = read(Action.DEVICE_SAVE, deviceId="lamp", device={})
    null = read(
        Action.DEVICE_SAVE,
        deviceId="lamp",
        device=dict.fromkeys(["key", "name", "status", "data", "network", "deviceClass", "blocked"]),
    )

    assert SaveDevice("lamp", None, given=True) == absent
    assert [
        absent.key,
        absent.name,
        absent.status,
        absent.data,
        absent.network,
        absent.device_class,
        absent.is_blocked,
    ] == [UNSET] * 7
    assert [null.key, null.name, null.status, null.data, null.network, null.device_class, null.is_blocked] == [None] * 7


@pytest.mark.parametrize("members", [{}, {"device": None}])
def test_device_save_says_whether_there_was_a_device(members):
    """Null is absent."""
    assert SaveDevice("lamp", "k", given=False) == read(Action.DEVICE_SAVE, deviceId="lamp", deviceKey="k", **members)


def test_device_save_reads_a_whole_device():
    """Every member in its place; ids of networks and classes are not members."""
    ask = read(
        Action.DEVICE_SAVE,
        deviceId="lamp",
        deviceKey="k",
        device={
            "id": "ignored",
            "key": "k",
            "name": "Lamp",
            "status": "Online",
            "data": {"a": 1},
            "network": {"id": 9, "name": "home", "key": "nk", "description": "first"},
            "deviceClass": {
                "id": 9,
                "name": "Light",
                "version": 2,
                "isPermanent": "true",
                "offlineTimeout": "60",
                "data": [1],
                "equipment": [{"name": "Diode", "code": "LED", "type": "light", "data": {"watts": 5}}, None],
            },
            "isBlocked": True,
        },
        equipment=[{"code": "OLD"}],
    )

    assert (
        SaveDevice(
            "lamp",
            "k",
            given=True,
            key="k",
            name="Lamp",
            status="Online",
            data={"a": 1},
            network=SaveNetwork("home", "nk", "first"),
            device_class=SaveClass(
                "Light", "2", True, 60, [1], (SaveEquipment("Diode", "LED", "light", {"watts": 5}),)
            ),
            is_blocked=True,
            equipment=(SaveEquipment(None, "OLD", None),),
        )
        == ask
    )


def test_a_class_keeps_absent_and_null_apart():
    """A registration changes only the members of the class that it names."""
    assert SaveClass("Light", "1") == SaveClass.read({"name": "Light", "version": "1"})
    assert SaveClass("Light", "1", None, None, None, None) == SaveClass.read(
        {"name": "Light", "version": "1", **dict.fromkeys(["isPermanent", "offlineTimeout", "data", "equipment"])}
    )


@pytest.mark.parametrize(
    ("members", "blocked"),
    [
        ({"blocked": True, "isBlocked": False}, False),
        ({"blocked": True, "isBlocked": None}, None),
        ({"blocked": True}, True),
    ],
)
def test_the_newer_name_of_blocked_wins(members, blocked):
    """Both names are accepted; with both given, ``isBlocked`` counts."""
    assert blocked is read(Action.DEVICE_SAVE, device=members).is_blocked


def test_a_registration_does_not_print_its_secrets():
    """Neither the device's key nor the network's."""
    ask = read(
        Action.DEVICE_SAVE,
        deviceId="lamp",
        deviceKey="d-k",
        device={"key": "d-k", "network": {"name": "home", "key": "n-k"}},
    )

    assert repr(ask) == "SaveDevice(device_guid='lamp', …)"
    assert repr(ask.network) == "SaveNetwork(name='home', …)"


def test_unset_is_false_and_says_what_it_is():
    """It stands in for a value, so it must not be taken for one."""
    assert not UNSET
    assert repr(UNSET) == "UNSET"
    assert isinstance(UNSET, Unset)
