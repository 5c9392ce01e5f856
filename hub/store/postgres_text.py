"""Statements as PostgreSQL's driver wants them: text with numbered parameters, prepared once per connection."""

import re
from typing import Any

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql

_NAME = re.compile(r"(?<![:\w]):([a-z_]+)")


class Named:
    """A statement with named parameters (``:name``)."""

    def __init__(self, text: str) -> None:
        self.names = list(dict.fromkeys(_NAME.findall(text)))
        self.text = _NAME.sub(lambda found: f"${self.names.index(found[1]) + 1}", text)

    def values(self, **values: Any) -> list[Any]:
        """The parameters in their order; those that the statement does not have are passed over."""
        return [values[name] for name in self.names]

    async def all(self, connection: Any, **values: Any) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await connection.fetch(self.text, *self.values(**values))
        return found

    async def one(self, connection: Any, **values: Any) -> asyncpg.Record | None:
        found: asyncpg.Record | None = await connection.fetchrow(self.text, *self.values(**values))
        return found

    async def value(self, connection: Any, **values: Any) -> Any:
        """The first column of the first row; None when there is none."""
        return await connection.fetchval(self.text, *self.values(**values))


def selected(select: Select[Any], more: str = "") -> Named:
    """A select of :mod:`hub.store.queries`, with more text behind it, which may have named parameters too."""
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    compiled = select.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return Named(f"{compiled} {more}")
