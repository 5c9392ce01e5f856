"""Long lists of devices, which share networks and classes: each of these is read once."""

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select

from hub.store import queries, rows
from hub.store.portable import one_of_named
from hub.store.schema import device_class, network
from hub.store.statements import AtOnce, Statements
from protocol.entities import Device

T = TypeVar("T")


def list_devices(sql: Statements, ids: Select[Any]) -> list[Device]:
    """The devices that a select finds, in its order."""
    listed: list[Device] = []
    classes = _Shared(sql, queries.CLASSES, id=device_class.c.id, convert=rows.to_class)
    networks = _Shared(sql, queries.NETWORKS, id=network.c.id, convert=rows.to_network)
    for page in sql.pages(ids, queries.DEVICES_ALONE):
        classes.read(row["device_device_class_id"] for row in page)
        networks.read(row["device_network_id"] for row in page)
        listed += [
            rows.to_placed_device(
                row, classes.known[row["device_device_class_id"]], networks.known.get(row["device_network_id"])
            )
            for row in page
        ]
    return listed


class _Shared(Generic[T]):
    """What many rows refer to, by id."""

    def __init__(
        self,
        sql: Statements,
        entities: Select[Any],
        *,
        id: ColumnElement[int],  # noqa: A002
        convert: Callable[[rows.Row], T],
    ) -> None:
        self._sql = sql
        self._found = AtOnce(entities.where(one_of_named(id, "new")))
        self._convert = convert
        self.known: dict[int, T] = {}

    def read(self, ids: Iterable[int | None]) -> None:
        """Read those that are not known yet; None is nothing."""
        new = set(ids) - {None, *self.known}
        if new:
            rows_of_new = self._sql.at_once(self._found, new=list(new))
            self.known |= {row[self._found.names[0]]: self._convert(row) for row in rows_of_new}
