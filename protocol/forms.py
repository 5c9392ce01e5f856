"""Forms: what a REST request holds in its path, query and body. One table reads it and describes it in OpenAPI.

A form is a dataclass whose fields say where they come from::

    @dataclass(slots=True, kw_only=True)
    class UpdateNetwork(Form):
        network_id: int = path(INTEGER, "id")
        name: str | None | Unset = body(TEXT)

What is absent stays ``UNSET``; null is ``None``. Reading goes in the order of checks of the REST API: numbers in path
and query, then the body, and (after the caller's role was looked at) the rest of the query.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Self

from protocol.errors import BAD_SORT_ORDER, BAD_TIMESTAMP, NOT_FOUND, bad_parameter
from protocol.values import ANYTHING as ANYTHING
from protocol.values import BOOLEAN as BOOLEAN
from protocol.values import INT32 as INT32
from protocol.values import INTEGER as INTEGER
from protocol.values import TEXT as TEXT
from protocol.values import TIMESTAMP as TIMESTAMP
from protocol.values import UNSET, Members, Unset, to_integer, to_text, to_timestamp_ms
from protocol.values import Schema as Schema
from protocol.values import Type as Type
from protocol.values import an_object as an_object
from protocol.values import nullable as nullable


class Place(StrEnum):
    """Where a field of a form comes from."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    BODY = "body"


def _to_query_number(value: Any, name: str) -> int | None:
    return None if value == "" else to_integer(value, name)


def _to_count(value: Any, name: str) -> int | None:
    count = _to_query_number(value, name)
    if count is not None and count < 0:
        raise bad_parameter(name)
    return count


def _to_asked_time(value: Any, name: str) -> int | None:
    try:
        return to_timestamp_ms(value, name)
    except Exception as exc:
        raise BAD_TIMESTAMP.error(detail={"parameter": name}) from exc


def _to_descending(value: Any, name: str) -> bool:
    if value.upper() not in ("", "ASC", "DESC"):
        raise BAD_SORT_ORDER.error(order=value, detail={"parameter": name})
    return bool(value.upper() == "DESC")


_ANY_CASE: Schema = {"type": "string", "x-any-case": True}
"""One of an enumeration, in capital or small letters."""

NUMBER_ASKED = Type(_to_query_number, {"type": "integer", "format": "int64"}, is_number=True)
COUNT = Type(_to_count, {"type": "integer", "minimum": 0}, is_number=True)
TEXT_ASKED = Type(to_text, {"type": "string"})
TIME_ASKED = Type(_to_asked_time, {"type": "string", "examples": ["2015-07-24T09:57:04.120"]})
SORT_ORDER = Type(_to_descending, {**_ANY_CASE, "enum": ["ASC", "DESC"]})
SORT_ORDER_ASCENDING = Type(_to_descending, {**SORT_ORDER.schema, "default": "ASC"})
"""The same, where ascending is what it is without one."""


def one_of(*names: str) -> Type:
    """A sort field: one of these names, ignoring case; it converts to the name in lower case."""

    def convert(value: Any, name: str) -> str:
        if value.lower() not in known:
            raise bad_parameter(name)
        return str(value.lower())

    known = {one.lower() for one in names}
    return Type(convert, {**_ANY_CASE, "enum": list(names)})


def path(type_: Type, name: str = "") -> Any:
    """A field from the path; it is always there."""
    return field(default=UNSET, metadata={"place": Place.PATH, "type": type_, "name": name})


def query(type_: Type, name: str = "", *, default: Any = None) -> Any:
    """A field from the query; absent, it has its default."""
    return field(default=default, metadata={"place": Place.QUERY, "type": type_, "name": name})


def header(type_: Type, name: str, *, default: Any = None) -> Any:
    """A field from a header; absent, it has its default."""
    return field(default=default, metadata={"place": Place.HEADER, "type": type_, "name": name})


def body(type_: Type, name: str = "", *, default: Any = UNSET, required: bool = False) -> Any:
    """A field from the body; absent, it has its default.

    Args:
        required: told to clients; that it is there is checked by the action, in its own words.
    """
    metadata = {"place": Place.BODY, "type": type_, "name": name, "required": required}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Entry:
    """One field of a form: its name here and on the wire, and how it is read."""

    attribute: str
    name: str
    place: Place
    type: Type
    default: Any
    required: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Form:
    """The base of all forms.

    Attributes:
        given: whether the request brought a body; what its absence means is the action's business.
    """

    needs_body: ClassVar[bool] = False
    """Whether a request without a body is refused as malformed, when its caller's role is known to be right."""

    given: bool = False

    @classmethod
    def check_numbers(cls, path_values: Mapping[str, str], query_values: Mapping[str, str]) -> None:
        """Refuse with 404 what must be a number and is none.

        Raises:
            NotFound: as if there were no such path.
        """
        places = {Place.PATH: path_values, Place.QUERY: query_values}
        for entry in entries(cls):
            values = places.get(entry.place, {})
            if entry.type.is_number and entry.name in values:
                _require_number(values[entry.name], entry.name)

    @classmethod
    def read_body(cls, members: Members | None) -> dict[str, Any]:
        """Convert the members of the body, by attribute; None: there was none.

        Raises:
            BadRequest: a member has the wrong type; ``detail`` names it.
        """
        if members is None:
            return {}
        found = {
            entry.attribute: entry.type.convert(members[entry.name], entry.name)
            for entry in entries(cls)
            if entry.place is Place.BODY and entry.name in members
        }
        return {"given": True, **found}

    @classmethod
    def fill(
        cls,
        body_values: Mapping[str, Any],
        path_values: Mapping[str, str],
        query_values: Mapping[str, str],
        *,
        headers: Mapping[str, str] = {},
    ) -> Self:
        """Convert the rest, and make the form.

        Args:
            headers: by name in lower case.

        Raises:
            BadRequest: a value of the query or of a header is wrong; ``detail`` names it.
        """
        found = dict(body_values)
        places = {Place.PATH: path_values, Place.QUERY: query_values, Place.HEADER: headers}
        for entry in entries(cls):
            values, name = places.get(entry.place, {}), entry.name
            name = name.lower() if entry.place is Place.HEADER else name
            if name in values:
                found[entry.attribute] = entry.type.convert(values[name], entry.name)
        return cls(**found)


@dataclass(slots=True, kw_only=True)
class ListForm(Form):
    """What every list of entities takes; each has a ``sort_field`` of its own, which is looked at after the order."""

    descending: bool = query(SORT_ORDER_ASCENDING, "sortOrder", default=False)
    take: int | None = query(COUNT)
    skip: int | None = query(COUNT)


def _require_number(value: str, name: str) -> None:
    try:
        _to_query_number(value, name)
    except Exception as exc:
        raise NOT_FOUND.error() from exc


def entries(form: type[Form]) -> tuple[Entry, ...]:
    """The fields of a form that come from outside, in their order."""
    if form not in _ENTRIES:
        _ENTRIES[form] = tuple(_entries(form))
    return _ENTRIES[form]


_ENTRIES: dict[type[Any], tuple[Entry, ...]] = {}


def _entries(form: type[Form]) -> Iterator[Entry]:
    for one in fields(form):
        if "place" not in one.metadata:
            continue
        meta = one.metadata
        default = None if one.default is MISSING or isinstance(one.default, Unset) else one.default
        name = meta["name"] or camel(one.name)
        yield Entry(one.name, name, meta["place"], meta["type"], default, meta.get("required", False))


def camel(name: str) -> str:
    """``sort_field`` as the wire writes it: ``sortField``."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
