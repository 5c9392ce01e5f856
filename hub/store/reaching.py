"""Which devices somebody may see, as a condition: as short for thousands of parts as for one.

A key may have as many permissions as somebody cared to write, and a condition of its own for each would take a database
seconds to understand.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, false, or_, select, true

from hub.store import Where
from hub.store.portable import one_of
from hub.store.rows import Row
from hub.store.schema import device
from hub.store.statements import AtOnce, Statements

_Groups = frozenset[int] | None


def within(sql: Statements, reach: Iterable[Where]) -> ColumnElement[bool]:
    """Whether a device is in one of these."""
    parts = _Parts(reach)
    found = [one_of(device.c.guid, parts.guids)] if parts.guids else []
    found += [_placed(networks, groups) for groups, networks in parts.placed.items()]
    if parts.named:
        found.append(one_of(device.c.id, _satisfying(sql, parts.named)))
    return or_(false(), *found)


class _Parts:
    """What a reach says, sorted.

    Attributes:
        guids: devices that are in it, wherever they are.
        named: devices that are in it if one of these lets them in as well.
        placed: by groups, the networks whose devices are in it; None: any.
    """

    def __init__(self, reach: Iterable[Where]) -> None:
        self.guids: set[str] = set()
        self.named: dict[str, list[Where]] = {}
        self.placed: dict[_Groups, set[int] | None] = {}
        for where in reach:
            self._add(where)

    def _add(self, where: Where) -> None:
        if where.guids is None:
            known = self.placed.setdefault(where.groups, set())
            self.placed[where.groups] = None if known is None or where.networks is None else known | where.networks
        elif where.networks is None and where.groups is None:
            self.guids |= where.guids
        else:
            for guid in where.guids:
                self.named.setdefault(guid, []).append(where)


def _placed(networks: set[int] | None, groups: _Groups) -> ColumnElement[bool]:
    asked = [(device.c.network_id, networks), (device.c.group_id, groups)]
    return and_(true(), *(one_of(column, ids) for column, ids in asked if ids is not None))


def _satisfying(sql: Statements, named: Mapping[str, list[Where]]) -> list[int]:
    """The ids of those devices that satisfy what else was asked of them."""
    columns = select(device.c.id, device.c.guid, device.c.network_id, device.c.group_id)
    found = sql.at_once(AtOnce(columns.where(one_of(device.c.guid, named))))
    return [row["id"] for row in found if any(_admits(where, row) for where in named[row["guid"]])]


def _admits(where: Where, row: Row) -> bool:
    return _is_in(row["network_id"], where.networks) and _is_in(row["group_id"], where.groups)


def _is_in(value: Any, some: frozenset[int] | None) -> bool:
    return some is None or value in some
