"""Values: how one member of a request is converted, and how it looks from outside. One object does both.

Conversion follows one table of rules (strings take numbers and booleans, integers take digits, and so on) and fails
with ``Invalid request parameters`` naming the member.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import orjson

from protocol.errors import bad_parameter
from protocol.messages import NULL, Json
from protocol.names import IDEMPOTENCY_KEY_MAX, INT32_MAX, INT64_MAX, Overflow
from protocol.times import parse_ms

Members = Mapping[str, Any]
Schema = Mapping[str, Any]

INTEGER_TEXT = re.compile(r"[+-]?\d{1,19}", re.ASCII)
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
    if isinstance(value, str) and INTEGER_TEXT.fullmatch(value):
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


def to_json(value: Any, name: str = "") -> Json:
    """The encoded text of a free JSON value; the codec has already refused what JSON cannot carry exactly."""
    return NULL if value is None else orjson.dumps(value)


# --- types ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Type:
    """How a value is converted, and what it looks like from outside.

    Attributes:
        convert: takes the value and the name to blame; raises a HubError.
        schema: JSON Schema of what is accepted and well-behaved clients send. Under ``x-also`` it names the types that
            are converted besides, because old clients send them.
        is_number: in a path or a query it must be a number; anything else there is 404, before any other check.
    """

    convert: Callable[[Any, str], Any]
    schema: Schema
    is_number: bool = False


def nullable(schema: Schema) -> Schema:
    """The schema of the same value or null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def to_int32(value: Any, name: str) -> int | None:
    """An integer of 32 bits; null is absent."""
    return to_integer(value, name, most=INT32_MAX)


def to_position(value: Any, name: str) -> int | None:
    """The id of a message, or zero; null is absent."""
    position = to_integer(value, name)
    if position is not None and position < 0:
        raise bad_parameter(name)
    return position


def to_overflow(value: Any, name: str = "overflow") -> Overflow:
    """The overflow policy of a subscription; null is the default."""
    if value is None:
        return Overflow.DISCONNECT
    try:
        return Overflow(value)
    except ValueError as exc:
        raise bad_parameter(name) from exc


def checked_idempotency_key(value: Any, name: str) -> str | None:
    """1 to 64 characters; null is absent."""
    key = to_text(value, name)
    if key is not None and not 1 <= len(key) <= IDEMPOTENCY_KEY_MAX:
        raise bad_parameter(name)
    return key


def _as_it_is(value: Any, name: str) -> Any:
    return value


_FROM_TEXT = {"x-also": ["string"]}
TEXT = Type(to_text, {"type": ["string", "null"], "x-also": ["number", "boolean"]})
INTEGER = Type(to_integer, {"type": ["integer", "null"], "format": "int64", **_FROM_TEXT}, is_number=True)
INT32 = Type(to_int32, {"type": ["integer", "null"], "format": "int32", **_FROM_TEXT})
BOOLEAN = Type(to_boolean, {"type": ["boolean", "null"], **_FROM_TEXT})
TIMESTAMP = Type(to_timestamp_ms, {"type": ["string", "integer", "null"], "examples": ["2015-07-24T09:57:04.120"]})
ANYTHING = Type(_as_it_is, {})
ENCODED = Type(to_json, {})
"""Any value, kept as its encoded text."""
TEXTS = Type(
    to_texts, {"type": ["array", "null"], "items": {"type": ["string", "null"], "x-also": ["number", "boolean"]}}
)
UUID_TEXT = Type(to_uuid, {"type": ["string", "null"], "format": "uuid"})
POSITION = Type(to_position, {"type": ["integer", "null"], "format": "int64", "minimum": 0, **_FROM_TEXT})
OVERFLOW = Type(to_overflow, {"enum": [*(one.value for one in Overflow), None], "default": Overflow.DISCONNECT.value})
IDEMPOTENCY_KEY = Type(
    checked_idempotency_key,
    {
        "type": ["string", "null"],
        "minLength": 1,
        "maxLength": IDEMPOTENCY_KEY_MAX,
        "x-also": ["number", "boolean"],
    },
)


class Takes:
    """The members that an object takes: reads them, and describes them.

    Args:
        members: by their names on the wire.
        called: what an error calls those members that it does not call by their names.
        required: told to clients; that they are there is checked by the action, in its own words.
        example: one such object, as a client may send it to begin with.
    """

    def __init__(
        self,
        members: Mapping[str, Type],
        *,
        called: Mapping[str, str] = {},
        required: tuple[str, ...] = (),
        example: Mapping[str, Any] = {},
    ) -> None:
        self.members = dict(members)
        self.required = required
        self.example = example
        self._readers = [(name, type_.convert, called.get(name, name)) for name, type_ in members.items()]

    def __call__(self, members: Members) -> list[Any]:
        """Convert all of them, in their order. What is absent is converted as null is.

        Raises:
            BadRequest: a member has the wrong type; ``detail`` names it.
        """
        get = members.get
        return [convert(get(name), name_told) for name, convert, name_told in self._readers]

    def given(self, members: Members) -> list[Any]:
        """The same, where what is absent stays ``UNSET``."""
        return [
            convert(members[name], name_told) if name in members else UNSET
            for name, convert, name_told in self._readers
        ]

    @property
    def schema(self) -> Schema:
        """JSON Schema of such an object. Members that it does not name are passed over."""
        properties = {name: type_.schema for name, type_ in self.members.items()}
        return {"type": "object", "properties": properties} | ({"required": [*self.required]} if self.required else {})


NO_MEMBERS = Takes({})
"""What takes nothing."""


def an_object(read: Callable[[Members], Any], members: Mapping[str, Type]) -> Type:
    """An object inside another one, or null.

    Args:
        read: makes what it stands for of its members.
        members: what they look like from outside.
    """

    def convert(value: Any, name: str) -> Any:
        found = to_object(value, name)
        return None if found is None else read(found)

    return Type(convert, nullable(Takes(members).schema))


def a_list(read: Callable[[Members], Any], takes: Takes) -> Type:
    """An array of objects, null elements dropped, or null."""

    def convert(value: Any, name: str) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise bad_parameter(name)
        found = (to_object(element, name) for element in value)
        return tuple(read(one) for one in found if one is not None)

    return Type(convert, {"type": ["array", "null"], "items": nullable(takes.schema)})


def of_members(takes: Takes) -> Type:
    """An object whose members are read later, by ``takes``; or null."""
    return Type(to_object, nullable(takes.schema))
