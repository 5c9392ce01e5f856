"""What databases say differently, as elements of SQLAlchemy's that mean the same on each."""

import re
from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    ColumnElement,
    Dialect,
    String,
    Text,
    TypeDecorator,
    bindparam,
    false,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from protocol.names import INT64_MAX

LONGEST = 128
"""No column that has patterns holds a longer text."""


# Conditions have no type: SQLAlchemy would compare one that is boolean with 1, and SQLite not use its indexes.
class _OneOf(FunctionElement[bool]):
    inherit_cache = True


class _Matches(FunctionElement[bool]):
    inherit_cache = True


class _InCodePoints(FunctionElement[str]):
    type = Text()
    inherit_cache = True


def one_of(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column has one of these numbers or texts, however many: all of them are one parameter."""
    if isinstance(column.type, String):
        known = [value for value in values if "\0" not in value]
    else:
        known = [value for value in values if abs(value) <= INT64_MAX]
    return _OneOf(column, bindparam(None, known, type_=_many(column)))


def one_of_named(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The same of numbers or texts that are given when the statement is executed, as a list under a name."""
    return _OneOf(column, bindparam(name, type_=_many(column)))


def _many(column: ColumnElement[Any]) -> TypeEngine[Any]:
    array: ARRAY[Any] = ARRAY(Text()) if isinstance(column.type, String) else ARRAY(BigInteger())
    return array.with_variant(JSON(), "sqlite")


def matches(column: ColumnElement[Any], pattern: str) -> ColumnElement[bool]:
    """Whether a column's whole text is as a pattern says: ``%`` any run, ``_`` one character, upper and lower case
    apart, everything else literal."""
    if len(pattern.replace("%", "")) > LONGEST:  # databases refuse very long ones
        return false()
    return _Matches(column, bindparam(None, pattern, type_=_Pattern()))


def in_code_points(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A text to sort by, in the order of its characters' numbers, whatever language the database speaks."""
    return _InCodePoints(column)


# --- how it is said ---------------------------------------------------------------------------------------------------


class _Pattern(TypeDecorator[str]):
    """A pattern as a parameter. SQLite's LIKE takes upper and lower case for the same; its GLOB does not."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return to_glob(value) if value is not None and dialect.name == "sqlite" else value


def to_glob(pattern: str) -> str:
    """A pattern of LIKE as one of GLOB."""
    return "".join(_GLOB.get(letter, letter) for letter in re.sub("%+", "%", pattern))


_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


@compiles(_OneOf, "sqlite")
def _one_of_in_sqlite(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = _sides(element, compiler, options)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608


@compiles(_OneOf, "postgresql")
def _one_of_in_postgresql(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, values = _sides(element, compiler, options)
    return f"{column} = ANY ({values})"


@compiles(_Matches, "sqlite")
def _matches_in_sqlite(element: _Matches, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = _sides(element, compiler, options)
    return f"{column} GLOB {pattern}"


@compiles(_Matches, "postgresql")
def _matches_in_postgresql(element: _Matches, compiler: SQLCompiler, **options: Any) -> str:
    column, pattern = _sides(element, compiler, options)
    return f"{column} LIKE {pattern} ESCAPE ''"


@compiles(_InCodePoints, "sqlite")
def _in_code_points_in_sqlite(element: _InCodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_InCodePoints, "postgresql")
def _in_code_points_in_postgresql(element: _InCodePoints, compiler: SQLCompiler, **options: Any) -> str:
    return f'{compiler.process(element.clauses, **options)} COLLATE "C"'


def _sides(element: FunctionElement[Any], compiler: SQLCompiler, options: dict[str, Any]) -> list[str]:
    return [compiler.process(side, **options) for side in element.clauses]
