"""Lists of entities: filters, patterns, order and pages, the same on every database. Each select here finds ids.

Columns are looked up by name in the tables here, and values are parameters: no text from outside becomes SQL.
"""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, String, Table, literal, select

from hub.store import Listing
from hub.store.portable import in_code_points, matches, one_of
from hub.store.schema import access_key, device, device_class, network, oauth_client, oauth_grant, user

Columns = Mapping[str, ColumnElement[Any]]


def users(listing: Listing) -> Select[Any]:
    return _listed(select(user.c.id), _columns(user), listing)


def networks(listing: Listing, ids: Collection[int] | None = None) -> Select[Any]:
    """Networks; with ``ids``, only those."""
    found = _listed(select(network.c.id), _columns(network), listing)
    return found if ids is None else found.where(one_of(network.c.id, ids))


def classes(listing: Listing) -> Select[Any]:
    return _listed(select(device_class.c.id), _columns(device_class), listing)


def keys(user_id: int, listing: Listing) -> Select[Any]:
    return _listed(select(access_key.c.id).where(access_key.c.user_id == user_id), _columns(access_key), listing)


def devices(listing: Listing) -> Select[Any]:
    return _listed(select(device.c.id), _DEVICE_COLUMNS, listing)


def clients(listing: Listing) -> Select[Any]:
    return _listed(select(oauth_client.c.id), _columns(oauth_client), listing)


def grants(
    listing: Listing, *, user_id: int | None, after_ms: int | None = None, before_ms: int | None = None
) -> Select[Any]:
    found = _listed(select(oauth_grant.c.id), _GRANT_COLUMNS, listing)
    if user_id is not None:
        found = found.where(oauth_grant.c.user_id == user_id)
    if after_ms is not None:
        found = found.where(oauth_grant.c.timestamp_ms > _number(after_ms))
    return found if before_ms is None else found.where(oauth_grant.c.timestamp_ms < _number(before_ms))


def _columns(table: Table) -> Columns:
    return {column.name: column for column in table.columns}


def _of(owner: Table, name: str) -> ColumnElement[Any]:
    """A column of what a device belongs to."""
    column: ColumnElement[Any] = owner.c[name]
    return select(column).where(owner.c.id == device.c[f"{owner.name}_id"]).scalar_subquery()


_DEVICE_COLUMNS: Columns = {
    **_columns(device),
    "network_name": _of(network, "name"),
    "device_class_name": _of(device_class, "name"),
    "device_class_version": _of(device_class, "version"),
}

_GRANT_COLUMNS: Columns = {
    **_columns(oauth_grant),
    "client_oauth_id": select(oauth_client.c.oauth_id)
    .where(oauth_client.c.id == oauth_grant.c.client_id)
    .scalar_subquery(),
}


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
