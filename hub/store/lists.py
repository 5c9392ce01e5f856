"""Lists of entities: filters, patterns, order and pages, the same on every database.

Columns are looked up by name in the tables here, and values are parameters: no text from outside becomes SQL.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, String, Table, and_, false, literal, or_, select, true

from hub.store import Listing, Where, queries
from hub.store.portable import in_code_points, matches, one_of
from hub.store.schema import access_key, device, device_class, network, user

Columns = Mapping[str, ColumnElement[Any]]


def users(listing: Listing) -> Select[Any]:
    return _listed(queries.USERS, _columns(user), listing)


def networks(listing: Listing, ids: Collection[int] | None = None) -> Select[Any]:
    """Networks; with ``ids``, only those."""
    found = _listed(queries.NETWORKS, _columns(network), listing)
    return found if ids is None else found.where(one_of(network.c.id, ids))


def classes(listing: Listing) -> Select[Any]:
    return _listed(queries.CLASSES, _columns(device_class), listing)


def classes_with(ids: Collection[int]) -> Select[Any]:
    """The classes that devices share."""
    return queries.CLASSES.where(one_of(device_class.c.id, ids))


def keys(user_id: int, listing: Listing) -> Select[Any]:
    return _listed(queries.KEYS.where(access_key.c.user_id == user_id), _columns(access_key), listing)


def devices(listing: Listing, reach: Sequence[Where] | None = None) -> Select[Any]:
    """Devices without their classes; with ``reach``, only those that are in one of them."""
    found = _listed(queries.BARE_DEVICES, _DEVICE_COLUMNS, listing)
    return found if reach is None else found.where(or_(false(), *(_within(where) for where in reach)))


def _columns(table: Table) -> Columns:
    return {column.name: column for column in table.columns}


def _of_class(name: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = device_class.c[name]
    return select(column).where(device_class.c.id == device.c.device_class_id).scalar_subquery()


_DEVICE_COLUMNS: Columns = {
    **_columns(device),
    "network_name": network.c.name,
    "device_class_name": _of_class("name"),
    "device_class_version": _of_class("version"),
}


def _within(where: Where) -> ColumnElement[bool]:
    asked = {device.c.network_id: where.networks, device.c.guid: where.guids, device.c.group_id: where.groups}
    return and_(true(), *(one_of(column, values) for column, values in asked.items() if values is not None))


# --- what every list has ----------------------------------------------------------------------------------------------


def _listed(found: Select[Any], columns: Columns, listing: Listing) -> Select[Any]:
    found = found.where(*_conditions(columns, listing)).order_by(*_order(columns, listing))
    if listing.take is not None:
        found = found.limit(_number(listing.take))
    return found.offset(_number(listing.skip)) if listing.skip else found


def _conditions(columns: Columns, listing: Listing) -> list[ColumnElement[bool]]:
    equal = [columns[name] == _value(value) for name, value in listing.equal.items() if value is not None]
    return equal + [matches(columns[name], pattern) for name, pattern in listing.like.items() if pattern is not None]


def _order(columns: Columns, listing: Listing) -> list[ColumnElement[Any]]:
    column = columns[listing.sort]
    by = in_code_points(column) if isinstance(column.type, String) else column
    first = by.desc().nulls_first() if listing.descending else by.asc().nulls_last()
    return [first] if listing.sort == "id" else [first, columns["id"]]


def _value(value: Any) -> Any:
    """A parameter; a number that is too big for its column equals nothing, and is no error."""
    return _number(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _number(value: int) -> ColumnElement[int]:
    return literal(int(value), BigInteger())
