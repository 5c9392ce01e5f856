"""The lines of an export: one JSON object each, a header first. What each kind of line holds, and whether it does.

Pure: the line as bytes comes in, members that can be relied on go out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from protocol.codecs import MAX_DEPTH, MAX_NODES, JsonCodec
from protocol.errors import HubError
from protocol.names import (
    DESCRIPTION_MAX,
    GUID_MAX,
    IDENTITY_MAX,
    INT32_MAX,
    LABEL_MAX,
    LOGIN_MAX,
    NAME_MAX,
    NETWORK_KEY_MAX,
    VERSION_MAX,
    CommandState,
    KeyAction,
)
from protocol.times import parse_ms

FORMAT = 1
LINE_BYTES = 16 * 1024 * 1024
"""No line is longer."""

_CODEC = JsonCodec(depth=MAX_DEPTH + 8, nodes=64 * MAX_NODES)

Members = dict[str, Any]
Check = Callable[[Any], str]
"""What is wrong with a value, in words that follow "must be"; empty: nothing."""


class BadLine(Exception):
    """A line is not what it should be, or cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a line.

    Attributes:
        required: whether the line is bad without it; what else is absent stays as it is.
    """

    check: Check
    required: bool = False


def _text(most: int, *, least: int = 1) -> Check:
    def check(value: Any) -> str:
        fits = isinstance(value, str) and least <= len(value) <= most and "\0" not in value
        return "" if fits else f"a text of {least} to {most} characters"

    return check


def _or_null(check: Check) -> Check:
    return lambda value: "" if value is None else (told := check(value)) and f"{told}, or null"


def _whole(least: int, most: int) -> Check:
    def check(value: Any) -> str:
        return "" if type(value) is int and least <= value <= most else f"a number from {least} to {most}"

    return check


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "true or false"


def _anything(value: Any) -> str:
    return ""


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"one of {', '.join(words)}"


def _time(value: Any) -> str:
    try:
        parse_ms(value if isinstance(value, str) else "")
    except ValueError:
        return "a time like 2030-12-31T00:00:00.000"
    return ""


def _listed(check: Check) -> Check:
    def each(value: Any) -> str:
        if not isinstance(value, list):
            return "a list"
        return next((f"a list, each item {told}" for item in value if (told := check(item))), "")

    return each


def _object(shape: "Shape") -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, dict):
            return "an object"
        told = problem(shape, value)
        return f"an object, in which {told}" if told else ""

    return check


Shape = Mapping[str, Member]

NAME = _text(NAME_MAX)
_HASH = _or_null(_text(256))
_PIECE = {
    "name": Member(NAME, required=True),
    "code": Member(NAME, required=True),
    "type": Member(NAME, required=True),
    "data": Member(_anything),
}
_STATE = {
    "code": Member(NAME, required=True),
    "timestamp": Member(_time, required=True),
    "parameters": Member(_anything),
}
_PERMISSION = {
    "domains": Member(_or_null(_listed(_text(NAME_MAX)))),
    "subnets": Member(_or_null(_listed(_text(NAME_MAX)))),
    "actions": Member(_or_null(_listed(_one_of(*map(str, KeyAction))))),
    "networks": Member(_or_null(_listed(NAME))),
    "deviceGuids": Member(_or_null(_listed(_text(GUID_MAX)))),
}
_KEY_HASH = {"key": Member(_text(48), True), "key_start": Member(_text(6), True), "key_sealed": Member(_HASH)}
_MESSAGE = {
    "device": Member(_text(GUID_MAX), required=True),
    "id": Member(_whole(1, 2**53 - 1), required=True),
    "timestamp": Member(_time, required=True),
    "name": Member(_text(LINE_BYTES), required=True),
    "parameters": Member(_anything),
}

SHAPES: dict[str, Shape] = {
    "network": {
        "name": Member(NAME, required=True),
        "description": Member(_or_null(_text(DESCRIPTION_MAX, least=0))),
        "key": Member(_or_null(_text(NETWORK_KEY_MAX, least=0))),
    },
    "class": {
        "name": Member(NAME, required=True),
        "version": Member(_text(VERSION_MAX), required=True),
        "isPermanent": Member(_flag),
        "offlineTimeout": Member(_or_null(_whole(1, INT32_MAX))),
        "data": Member(_anything),
        "equipment": Member(_listed(_object(_PIECE))),
    },
    "user": {
        "login": Member(_text(LOGIN_MAX), required=True),
        "role": Member(_one_of("admin", "client")),
        "status": Member(_one_of("active", "locked-out", "disabled", "deleted")),
        "data": Member(_anything),
        "googleLogin": Member(_or_null(_text(IDENTITY_MAX))),
        "facebookLogin": Member(_or_null(_text(IDENTITY_MAX))),
        "githubLogin": Member(_or_null(_text(IDENTITY_MAX))),
        "networks": Member(_listed(NAME)),
        "passwordHash": Member(_HASH),
        "passwordSalt": Member(_HASH),
    },
    "key": {
        "owner": Member(_text(LOGIN_MAX), required=True),
        "label": Member(_text(LABEL_MAX), required=True),
        "type": Member(_one_of("key", "oauth")),
        "expires": Member(_or_null(_time)),
        "permissions": Member(_listed(_object(_PERMISSION)), required=True),
        "hash": Member(_object(_KEY_HASH)),
    },
    "device": {
        "guid": Member(_text(GUID_MAX), required=True),
        "name": Member(NAME),
        "status": Member(_or_null(_text(NAME_MAX, least=0))),
        "data": Member(_anything),
        "isBlocked": Member(_flag),
        "network": Member(_or_null(NAME)),
        "class": Member(
            _object({"name": Member(NAME, required=True), "version": Member(_text(VERSION_MAX), required=True)}),
            required=True,
        ),
        "states": Member(_listed(_object(_STATE))),
        "keyHash": Member(_text(64)),
    },
    "notification": _MESSAGE,
    "command": {
        **_MESSAGE,
        "user": Member(_or_null(_text(LOGIN_MAX))),
        "lifetime": Member(_or_null(_whole(-INT32_MAX, INT32_MAX))),
        "status": Member(_or_null(_text(LINE_BYTES, least=0))),
        "result": Member(_anything),
        "state": Member(_one_of(*(state.word for state in CommandState))),
        "updated": Member(_flag),
    },
}
"""What a line may hold, by its kind; ``kind`` itself besides."""

HEADER: Shape = {
    "hub": Member(_text(NAME_MAX), required=True),
    "format": Member(_whole(1, INT32_MAX), required=True),
    "secrets": Member(_flag),
    "messages": Member(_flag),
    "pepper": Member(_HASH),
}


def read_header(line: bytes) -> Members:
    """The first line.

    Raises:
        BadLine: it is none, or of a format that this version does not know.
    """
    members = _decoded(line)
    if told := problem(HEADER, members):
        raise BadLine(f"this is no export of a hub: {told}")
    if members["format"] != FORMAT:
        raise BadLine(f"format {members['format']} of hub {members['hub']}; this version reads format {FORMAT}")
    return members


def read_line(line: bytes) -> tuple[str, Members]:
    """Kind and members of any other line.

    Raises:
        BadLine: it says something that is wrong by itself.
    """
    members = _decoded(line)
    kind = members.pop("kind", None)
    if not isinstance(kind, str) or kind not in SHAPES:
        raise BadLine(f"kind must be one of {', '.join(SHAPES)}")
    if told := problem(SHAPES[kind], members):
        raise BadLine(told)
    return kind, members


def problem(shape: Shape, members: Members) -> str:
    """What is wrong with the members of an object; empty: nothing."""
    for name in members:
        if name not in shape:
            return f"{name!r} is no member of it"
    for name, member in shape.items():
        if name not in members:
            if member.required:
                return f"{name} is missing"
        elif told := member.check(members[name]):
            return f"{name} must be {told}"
    return ""


def _decoded(line: bytes) -> Members:
    if len(line) > LINE_BYTES:
        raise BadLine(f"longer than {LINE_BYTES} bytes")
    try:
        return _CODEC.decode(line)
    except HubError as exc:
        raise BadLine("not one JSON object") from exc
