"""The trace that each change leaves, and what else the entities of a transaction share."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, delete, insert, literal, select

from hub.store import Change, Idempotency, rows
from hub.store.schema import change, device
from hub.store.secrets import Secrets
from hub.store.statements import Statements
from protocol.messages import Message
from protocol.requests import UNSET, SaveEquipment

T = TypeVar("T")

MANY = 100
"""From so many rows on, a change says "many of them" instead of naming each."""


class LogWriter(Protocol):
    """What each database does in its own way, for speed."""

    def append(self, messages: Sequence[Message]) -> None:
        """Store messages of one kind; those whose id is known are passed over."""

    def remember(self, message: Message, idempotency: Idempotency) -> None:
        """Keep which message an idempotency key has made."""

    def repeated(self, device_id: int, idempotency: Idempotency, *, since_ms: int) -> Message | None:
        """The message that an idempotency key has made after a time."""

    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Move last activity forward: (device id, milliseconds since 1970), unknown devices passed over."""

    def equip(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Add pieces of equipment to a class, all in one statement."""


class Transaction:
    """What all entities of one transaction share; made for one piece of work.

    Args:
        log: writes messages in the same transaction.
        now_ms: the present, in milliseconds since 1970.
    """

    def __init__(self, connection: Connection, *, log: LogWriter, secrets: Secrets, now_ms: Callable[[], int]) -> None:
        self._sql = Statements(connection)
        self._log = log
        self._secrets = secrets
        self._now_ms = now_ms
        self._changes: list[Change] = []

    def changes(self) -> list[Change]:
        return list(self._changes)

    def _changed(self, entity: str, row_id: int | None, guid: str | None = None) -> None:
        """Report a change of an entity. Every write passes here: this is where an audit log would listen."""
        values = {"entity": entity, "entity_id": row_id, "guid": guid, "time_ms": self._now_ms()}
        revision = self._sql.execute(insert(change).values(values).returning(change.c.revision)).scalar_one()
        self._changes.append(Change(revision, entity, row_id, guid))

    def _delete(self, table: Table, row_id: int, entity: str) -> bool:
        """Delete a row with what depends on it. Returns whether there was one."""
        gone = self._sql.write(delete(table).where(table.c.id == row_id)) > 0
        if gone:
            self._changed(entity, row_id)
        return gone

    def _users_changed(self, user_ids: Select[Any]) -> None:
        self._each_or_many("user", [(user_id, None) for user_id in self._sql.column(user_ids.limit(MANY))])

    def _devices_changed(self, which: ColumnElement[bool]) -> None:
        chosen = select(device.c.id, device.c.guid).where(which).limit(MANY)
        self._each_or_many("device", [(row.id, row.guid) for row in self._sql.execute(chosen)])

    def _all_changed(self, entity: str, rows: Select[Any]) -> None:
        """Report a change of each row (id and guid), in one statement."""
        found = rows.add_columns(literal(entity), literal(self._now_ms(), BigInteger()))
        columns = [change.c.entity_id, change.c.guid, change.c.entity, change.c.time_ms]
        made = (
            insert(change).from_select(columns, found).returning(change.c.revision, change.c.entity_id, change.c.guid)
        )
        for row in self._sql.execute(made):
            self._changes.append(Change(row.revision, entity, row.entity_id, row.guid))

    def _each_or_many(self, entity: str, changed: list[tuple[int, str | None]]) -> None:
        if len(changed) == MANY:
            self._changed(entity, None)
            return
        for row_id, guid in changed:
            self._changed(entity, row_id, guid)


def text_of(value: Any) -> Any:
    """A free value as it is stored; UNSET stays."""
    return value if value is UNSET else rows.to_text(value)


def present(found: T | None) -> T:
    assert found is not None, "a row that this transaction has just written"
    return found
