"""Statements on tables whose rows have an id and count their updates."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import orjson
from sqlalchemy import Connection, CursorResult, Executable, Select, Table, exists, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from hub.store.portable import one_of_named
from hub.store.queries import json_rows
from hub.store.rows import Row
from protocol.errors import CONFLICT
from protocol.requests import UNSET

T = TypeVar("T")

PAGE = 500
"""How many entities of a list are read at a time."""


class AtOnce:
    """A select whose rows come as one JSON text. Row by row, SQLite gives the interpreter up for each, and beside a
    busy event loop waits a switch interval to get it back."""

    def __init__(self, found: Select[Any]) -> None:
        self.names = found.selected_columns.keys()
        self.statement = select(json_rows(*found.subquery().columns))


class Statements:
    """What a transaction does again and again, on a connection that is inside it.

    Every method raises ``Conflict`` where a rule of the database fails: uniqueness, or the presence of an owner.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def one(self, found: Select[Any], convert: Callable[[Any], T]) -> T | None:
        """What the only row converts to; None when there is none."""
        row = self.execute(found).mappings().one_or_none()
        return None if row is None else convert(row)

    def all(self, found: Select[Any], convert: Callable[[Any], T]) -> list[T]:
        return [convert(row) for row in self.execute(found).mappings()]

    def listed(self, ids: Select[Any], entities: Select[Any], convert: Callable[[Row], T]) -> list[T]:
        """What rows convert to, of those and in the order that ``ids`` says; the first column of both is the id."""
        return [convert(row) for page in self.pages(ids, entities) for row in page]

    def pages(self, ids: Select[Any], entities: Select[Any]) -> Iterator[list[Row]]:
        """The same rows, little by little: all at once, they would keep an event loop from everything else."""
        (column,) = ids.selected_columns
        found = AtOnce(entities.where(one_of_named(column, "page")))
        wanted = [row[0] for row in self._arrays(AtOnce(ids))]
        for start in range(0, len(wanted), PAGE):
            page = wanted[start : start + PAGE]
            rows = {row[found.names[0]]: row for row in self.at_once(found, page=page)}
            yield [rows[row_id] for row_id in page]

    def at_once(self, found: AtOnce, **values: Any) -> list[Row]:
        """All rows; for as many as make no long list."""
        return [dict(zip(found.names, row, strict=True)) for row in self._arrays(found, **values)]

    def _arrays(self, found: AtOnce, **values: Any) -> list[list[Any]]:
        arrays: list[list[Any]] = orjson.loads(self.execute(found.statement, values).scalar_one())
        return arrays

    def column(self, found: Select[Any]) -> list[int]:
        """The first column of every row."""
        return list(self.execute(found).scalars())

    def insert(self, table: Table, **values: Any) -> int:
        """Insert a row and return its id."""
        return int(self.execute(insert(table).values(values).returning(table.c.id)).scalar_one())

    def insert_new(self, table: Table, **values: int | str) -> bool:
        """Insert a row unless the same one is there. Returns whether it was new."""
        same = exists().where(*(table.c[name] == value for name, value in values.items()))
        new = select(*(literal(value) for value in values.values())).where(~same)
        return self.write(insert(table).from_select(list(values), new)) > 0

    def update(self, table: Table, row_id: int, values: dict[str, Any], *, even_without_values: bool = False) -> bool:
        """Update the columns that are given, and count it. Returns whether anything was."""
        given = {name: value for name, value in values.items() if value is not UNSET}
        if not given and not even_without_values:
            return False
        counted = update(table).where(table.c.id == row_id)
        return self.write(counted.values(given | {"entity_version": table.c.entity_version + 1})) > 0

    def write(self, statement: Executable) -> int:
        """Execute a write. Returns how many rows it touched."""
        return self.execute(statement).rowcount

    def execute(self, statement: Executable, values: dict[str, Any] | None = None) -> CursorResult[Any]:
        """Execute anything, without ending the transaction."""
        try:
            return cast(CursorResult[Any], self._connection.execute(statement, values))
        except IntegrityError as exc:
            raise CONFLICT.error() from exc
