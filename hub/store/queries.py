"""The selects that become entities. Each finds everything about one entity in one statement, lists included.

They are used twice: through SQLAlchemy inside a transaction, and compiled once to SQL text for the look-ups that a
connection waits for. :mod:`hub.store.rows` turns their rows into entities.
"""

from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Table, Text, exists, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from hub.store.schema import (
    access_key,
    access_key_permission,
    device,
    device_class,
    equipment,
    link,
    network,
    oauth_client,
    oauth_grant,
    user,
    user_network,
)


class json_rows(GenericFunction[str]):  # noqa: N801 - named as in SQL
    """Aggregate: the rows as the text of a JSON array of arrays, in no particular order."""

    type = Text()
    inherit_cache = True


@compiles(json_rows, "sqlite")
def _json_rows_in_sqlite(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    # With the operator it is a text; without it, it would become a part of an array around it.
    return f"(json_group_array(json_array({compiler.process(element.clauses, **options)})) || '')"


@compiles(json_rows, "postgresql")
def _json_rows_in_postgresql(element: json_rows, compiler: SQLCompiler, **options: Any) -> str:
    return f"coalesce(json_agg(json_build_array({compiler.process(element.clauses, **options)})), '[]')::text"


def _prefixed(table: Table, prefix: str) -> list[ColumnElement[Any]]:
    return [column.label(prefix + column.name) for column in table.columns]


def _rows(*columns: ColumnElement[Any]) -> Select[Any]:
    return select(json_rows(*columns))


# --- parts ------------------------------------------------------------------------------------------------------------


def _linked(target_type: str) -> ColumnElement[bool]:
    """The links of a user to targets of a type."""
    owned = (link.c.owner_type == "user") & (link.c.owner_id == user.c.id)
    return owned & (link.c.target_type == target_type)


def _user_lists() -> list[ColumnElement[Any]]:
    networks = _rows(user_network.c.network_id).where(user_network.c.user_id == user.c.id)
    devices = _rows(device.c.guid).join_from(link, device, device.c.id == link.c.target_id).where(_linked("device"))
    groups = _rows(link.c.target_id).where(_linked("group"))
    return [
        networks.scalar_subquery().label("user_networks"),
        devices.correlate(user).scalar_subquery().label("user_linked_devices"),
        groups.correlate(user).scalar_subquery().label("user_linked_groups"),
    ]


def _equipment_list() -> ScalarSelect[Any]:
    columns = (equipment.c.id, equipment.c.name, equipment.c.code, equipment.c.type, equipment.c.data)
    return _rows(*columns).where(equipment.c.device_class_id == device_class.c.id).scalar_subquery()


_has_users = exists().where(
    link.c.target_type == "device", link.c.target_id == device.c.id, link.c.owner_type == "user"
)

_permissions = (
    _rows(
        access_key_permission.c.id,
        access_key_permission.c.domains,
        access_key_permission.c.subnets,
        access_key_permission.c.actions,
        access_key_permission.c.network_ids,
        access_key_permission.c.device_guids,
    )
    .where(access_key_permission.c.access_key_id == access_key.c.id)
    .scalar_subquery()
)

# --- whole selects ----------------------------------------------------------------------------------------------------

USERS = select(*_prefixed(user, "user_"), *_user_lists())

NETWORKS = select(*_prefixed(network, "network_"))

CLASSES = select(*_prefixed(device_class, "class_"), _equipment_list().label("class_equipment"))

BARE_DEVICES = (
    select(*_prefixed(device, "device_"), *_prefixed(network, "network_"), _has_users.label("device_has_users"))
    .select_from(device)
    .outerjoin(network, network.c.id == device.c.network_id)
)
"""Without their classes: for reading many devices, which share a few."""

DEVICES_ALONE = select(
    *(
        column.label(f"device_{column.name}")
        for column in device.columns
        if column.name not in {"key", "group_id", "entity_version"}
    ),
    _has_users.label("device_has_users"),
)
"""Without classes, networks and keys: for lists, however long."""

DEVICES = (
    select(
        *_prefixed(device, "device_"),
        *_prefixed(network, "network_"),
        *_prefixed(device_class, "class_"),
        _equipment_list().label("class_equipment"),
        _has_users.label("device_has_users"),
    )
    .select_from(device)
    .join(device_class, device_class.c.id == device.c.device_class_id)
    .outerjoin(network, network.c.id == device.c.network_id)
)

KEYS = select(*_prefixed(access_key, "key_"), _permissions.label("key_permissions"))

KEYS_WITH_OWNERS = select(
    *_prefixed(access_key, "key_"),
    _permissions.label("key_permissions"),
    *_prefixed(user, "user_"),
    *_user_lists(),
).join_from(access_key, user, user.c.id == access_key.c.user_id)

CLIENTS = select(*_prefixed(oauth_client, "client_"))

GRANTS = (
    select(
        *_prefixed(oauth_grant, "grant_"),
        *_prefixed(oauth_client, "client_"),
        *_prefixed(access_key, "key_"),
        _permissions.label("key_permissions"),
    )
    .select_from(oauth_grant)
    .join(oauth_client, oauth_client.c.id == oauth_grant.c.client_id)
    .join(access_key, access_key.c.id == oauth_grant.c.key_id)
)
