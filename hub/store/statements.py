"""Statements on tables whose rows have an id and count their updates."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Executable, Select, Table, exists, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from protocol.errors import CONFLICT
from protocol.requests import UNSET

T = TypeVar("T")


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

    def execute(self, statement: Executable) -> CursorResult[Any]:
        """Execute anything, without ending the transaction."""
        try:
            return cast(CursorResult[Any], self._connection.execute(statement))
        except IntegrityError as exc:
            raise CONFLICT.error() from exc
