"""Views: which members of an entity an answer shows. One table makes the answer and describes it in OpenAPI."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from protocol.times import format_ms
from protocol.values import UNSET, Schema, nullable

T = TypeVar("T")

INT64: Schema = {"type": "integer", "format": "int64"}
INT32: Schema = {"type": "integer", "format": "int32"}
STRING: Schema = {"type": "string"}
BOOL: Schema = {"type": "boolean"}
JSON_VALUE: Schema = {}
TIME: Schema = {"type": "string", "examples": ["2015-07-24T09:57:04.120"]}


class View(Generic[T]):
    """The members that a view shows, in their order. Call it with an entity for the answer.

    Args:
        name: of the schema in the OpenAPI document.
        members: by name on the wire, the schema of the value and how it is found.
        optional: members that are not there when what is found is UNSET.
        more: likewise, what only extended mode shows.
    """

    def __init__(
        self,
        name: str,
        members: Mapping[str, tuple[Schema, Callable[[T], Any]]],
        *,
        optional: frozenset[str] = frozenset(),
        more: Mapping[str, tuple[Schema, Callable[[T], Any]]] = {},
    ) -> None:
        self.name = name
        self.members = dict(members)
        self.optional = optional
        self.more = dict(more)
        self._finders = [(wire, find) for wire, (_, find) in self.members.items()]

    def __call__(self, of: T) -> dict[str, Any]:
        made = {wire: find(of) for wire, find in self._finders}
        for wire in self.optional:
            if made[wire] is UNSET:
                del made[wire]
        return made

    def __repr__(self) -> str:
        return f"View({self.name})"

    def extended(self, of: T) -> dict[str, Any]:
        """The answer in extended mode."""
        return self(of) | {wire: find(of) for wire, (_, find) in self.more.items()}

    def in_mode(self, *, extended: bool) -> "View[T]":
        """What one mode shows, and nothing of the other."""
        shown = self.members | self.more if extended else self.members
        return View(f"{self.name}Extended" if extended else self.name, shown, optional=self.optional)

    def but(self, name: str, *without: str, **others: tuple[Schema, Callable[[T], Any]]) -> "View[T]":
        """A view that shows less, or more."""
        kept = {wire: member for wire, member in self.members.items() if wire not in without}
        return View(name, kept | others, optional=self.optional - {*without})

    @property
    def schema(self) -> Schema:
        """JSON Schema of one answer: every member is always there that is not optional, nor what extended mode adds."""
        properties = {wire: schema for wire, (schema, _) in (self.members | self.more).items()}
        return {
            "type": "object",
            "properties": properties,
            "required": [wire for wire in self.members if wire not in self.optional],
            "additionalProperties": False,
        }


def listed(view: View[Any]) -> Schema:
    """The schema of an array of them."""
    return {"type": "array", "items": reference(view)}


AT_ONCE = 50
"""Entities that are shown in one piece: of a few kilobytes each, a piece takes a fraction of a millisecond."""


class Many(Generic[T]):
    """What a view shows of many entities, made when it is asked for, a few at a time: there may be 100,000."""

    def __init__(self, view: Callable[[T], dict[str, Any]], of: Sequence[T]) -> None:
        self._view = view
        self._of = of

    def pieces(self) -> Iterator[list[dict[str, Any]]]:
        """All of them, in lists of a few."""
        for start in range(0, len(self._of), AT_ONCE):
            yield [self._view(one) for one in self._of[start : start + AT_ONCE]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return chain.from_iterable(self.pieces())


def each(view: Callable[[T], dict[str, Any]]) -> Callable[[Sequence[T]], Many[T]]:
    """A view of several."""
    return lambda several: Many(view, several)


def reference(view: View[Any]) -> Schema:
    """The schema of a view, by its name in the document."""
    return {"$ref": f"#/components/schemas/{view.name}", "x-view": view}


def or_null(view: View[T]) -> Callable[[T | None], dict[str, Any] | None]:
    """A view of something that may be absent."""
    return lambda of: None if of is None else view(of)


def time_or_null(timestamp_ms: int | None) -> str | None:
    return None if timestamp_ms is None else format_ms(timestamp_ms)


__all__ = [
    "BOOL",
    "INT32",
    "INT64",
    "JSON_VALUE",
    "STRING",
    "TIME",
    "Many",
    "View",
    "each",
    "listed",
    "nullable",
    "or_null",
    "reference",
    "time_or_null",
]
