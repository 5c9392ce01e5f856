"""Writing the message log on SQLite.

SQLite gives the GIL up at every step of a statement and, beside a busy event loop, waits a switch interval to get it
back: a row at a time costs milliseconds a row. So every batch is one statement. Messages go as parameters of a
statement with room for about as many rows; the rarer lists as one JSON text (``benchmarks/log.py`` has the figures).
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import orjson

from hub.store import Advance, Amend, Idempotency, Step, Stepped
from hub.store.rows import to_text
from hub.store.schema import REPEATABLE_MS
from hub.store.sqlite_connect import transaction
from protocol.messages import Command, Message, Notification
from protocol.names import CommandState, Kind
from protocol.requests import SaveEquipment

TABLES = {Kind.NOTIFICATION: "notification", Kind.COMMAND: "command"}

PLACES = {Kind.NOTIFICATION: "notification_place", Kind.COMMAND: "command"}
"""Which table knows by an index where the messages of a device are; see :mod:`hub.store.schema`."""

PLACED_TO = "(SELECT max(id) FROM notification_place WHERE device_id = 0)"
"""Up to which id the places of notifications are known."""

UNPLACED = 8_192
"""After so many notifications their places are brought up to date: about ten milliseconds of the writer's time, once.
A read by device looks through as many."""

UNPLACED_BYTES = 8 * 1024 * 1024
"""Or after so many bytes of them."""

_SHARED_COLUMNS = ("id", "device_id", "name", "timestamp_ms", "parameters")
_COMMAND_COLUMNS = (*_SHARED_COLUMNS, "user_id", "lifetime_s", "expires_ms", "status", "result", "updated", "state")


ROWS = tuple(sorted({1 << power for power in range(11)} | {3 << power for power in range(9)}))
"""For how many rows there are statements. A text of its own for every number would have to be compiled each time, which
costs as much as inserting; a third of the room is empty at most."""


class _Insert:
    """Inserts rows of one table, many at a time. A known id is passed over, so that appending may be repeated."""

    def __init__(self, table: str, columns: Sequence[str]) -> None:
        row = f"({', '.join('?' * len(columns))})"
        self._statements = [
            # Room that is not needed is filled with nulls. Whatever else a message may break is an error.
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT * FROM (VALUES {', '.join([row] * count)}) "  # noqa: S608
            "WHERE column1 IS NOT NULL ON CONFLICT (id) DO NOTHING"
            for count in ROWS
        ]
        self._width = len(columns)

    def __call__(self, connection: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert up to ``ROWS[-1]`` rows in one statement."""
        place = bisect_left(ROWS, len(rows))
        values = list(chain.from_iterable(rows))
        values += [None] * ((ROWS[place] - len(rows)) * self._width)
        connection.execute(self._statements[place], values)


_APPEND = {
    Kind.NOTIFICATION: _Insert("notification", _SHARED_COLUMNS),
    Kind.COMMAND: _Insert("command", _COMMAND_COLUMNS),
}

_PLACE = f"""
    INSERT OR IGNORE INTO notification_place
    SELECT device_id, id FROM notification NOT INDEXED WHERE id > {PLACED_TO} ORDER BY device_id, id
"""  # noqa: S608
_PLACED = (
    "UPDATE notification_place SET id = max(id, coalesce((SELECT max(id) FROM notification), 0)) WHERE device_id = 0"
)
_PLACE_THESE = """
    INSERT OR IGNORE INTO notification_place
    SELECT json_extract(value, '$[1]'), json_extract(value, '$[0]') FROM json_each(?)
"""

_TOUCH = """
    INSERT INTO activity (device_id, last_active_ms)
    SELECT device.id, max(json_extract(value, '$[1]'))
    FROM json_each(?) JOIN device ON device.id = json_extract(value, '$[0]')
    WHERE true GROUP BY device.id
    ON CONFLICT (device_id) DO UPDATE SET last_active_ms = excluded.last_active_ms
    WHERE excluded.last_active_ms > activity.last_active_ms
"""

_EQUIP = """
    INSERT INTO equipment (device_class_id, name, code, type, data)
    SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]') FROM json_each(?) ORDER BY key
"""

_KNOWN = """
    SELECT message_id, kind, created_ms, (SELECT guid FROM device WHERE device.id = device_id) FROM idempotency
    WHERE principal = ? AND device_id = ? AND action = ? AND key = ? AND created_ms > ?
"""
_REMEMBER = "INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?, ?, ?, ?)"

# CAST: what is stored as text comes back as bytes, without decoding.
NOTIFICATION_SELECT = "id, device_id, name, timestamp_ms, CAST(parameters AS BLOB)"
COMMAND_SELECT = (
    "id, device_id, name, timestamp_ms, user_id, CAST(parameters AS BLOB), lifetime_s, status, "
    "CAST(result AS BLOB), updated, state"
)

_MOVED = "CAST(substr(CASE WHEN expires_ms <= ? THEN ? ELSE ? END, state + 1, 1) AS INTEGER)"
"""What becomes of a state, by a time and the moves of those that are late and in time."""

JSON_COLUMNS = "id, device_id, name, timestamp_ms, user_id, parameters, lifetime_s, status, result, updated, state"
"""Of a command that comes in a JSON text."""

_BEFORE = f"""
    SELECT json_group_array(json_array({JSON_COLUMNS}, coalesce(expires_ms <= :at, 0)))
    FROM (SELECT command.* FROM json_each(:ids) CROSS JOIN command ON command.id = value)
"""  # noqa: S608
_ADVANCE = f"""
    UPDATE command SET state = step.state, update_id = max(command.update_id, step.update_id),
        expires_ms = CASE WHEN step.state = {CommandState.CANCELLED:d} THEN 0 ELSE expires_ms END
    FROM (
        SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS state,
            json_extract(value, '$[2]') AS update_id FROM json_each(?)
    ) AS step WHERE command.id = step.id
"""  # noqa: S608


class SqliteLog:
    """The log, for the one connection that writes it. Every method is one step of the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._placed_to = self._one(f"SELECT {PLACED_TO}")
        self._unplaced = self._one("SELECT count(*) FROM notification WHERE id > ?", self._placed_to)
        self._unplaced_bytes = 0

    def _one(self, statement: str, *values: int) -> int:
        return int(self._connection.execute(statement, values).fetchone()[0])

    def append(self, messages: Sequence[Message]) -> None:
        """Store messages of one kind; as many as a batch has are one statement."""
        kind = messages[0].kind
        for begin in range(0, len(messages), ROWS[-1]):
            rows = list(map(_ROW[kind], messages[begin : begin + ROWS[-1]]))
            if kind is Kind.NOTIFICATION:
                self._leave_unplaced(rows)
            _APPEND[kind](self._connection, rows)

    def _leave_unplaced(self, rows: Sequence[tuple[Any, ...]]) -> None:
        self._unplaced += len(rows)
        self._unplaced_bytes += sum([len(row[4]) for row in rows])
        late = [row[:2] for row in rows if row[0] <= self._placed_to]
        if late:
            # Nobody would look for them after the others. A place without its message is harmless.
            self._connection.execute(_PLACE_THESE, (orjson.dumps(late).decode(),))

    def look_around(self) -> None:
        """Learn, at the beginning of a transaction, what other processes have done to the places of notifications."""
        self._placed_to = self._one(f"SELECT {PLACED_TO}")

    @property
    def has_many_unplaced(self) -> bool:
        """Whether it is time to :meth:`place`."""
        return self._unplaced >= UNPLACED or self._unplaced_bytes >= UNPLACED_BYTES

    def place(self) -> None:
        """Bring the places of notifications up to date, in a transaction of its own."""
        if not self._unplaced:
            return
        with transaction(self._connection):
            self._connection.execute(_PLACE)
            self._connection.execute(_PLACED)
        self._placed_to = self._one(f"SELECT {PLACED_TO}")
        self._unplaced = self._unplaced_bytes = 0

    def append_once(self, message: Message, idempotency: Idempotency) -> Message:
        """Store a message unless its idempotency key has made one already: then that one is the outcome."""
        since_ms = message.timestamp_ms - REPEATABLE_MS
        repeated = self.repeated(message.device_id, idempotency, since_ms=since_ms)
        if repeated is not None:
            return repeated
        self.append([message])
        self.remember(message, idempotency)
        return message

    def remember(self, message: Message, idempotency: Idempotency) -> None:
        """Keep which message an idempotency key has made."""
        key = (idempotency.principal, message.device_id, idempotency.action, idempotency.key)
        self._connection.execute(_REMEMBER, (*key, message.id, int(message.kind), message.timestamp_ms))

    def repeated(self, device_id: int, idempotency: Idempotency, *, since_ms: int) -> Message | None:
        """The message that an idempotency key has made after a time. Where retention has removed it since, only its
        id, device and timestamp are still known, which is what an answer needs of it."""
        key = (idempotency.principal, device_id, idempotency.action, idempotency.key)
        known = self._connection.execute(_KNOWN, (*key, since_ms)).fetchone()
        if known is None:
            return None
        message_id, kind, created_ms, guid = known
        bare = Notification if kind == Kind.NOTIFICATION else Command
        return self._find(Kind(kind), message_id, guid or "") or bare(message_id, device_id, guid or "", "", created_ms)

    def amend(self, amend: Amend) -> Command | None:
        """Update a command. Returns it as it is afterwards, or None when the device has no such command."""
        settings: list[str] = ["updated = 1", f"state = {_MOVED}"]
        values: list[Any] = [amend.at_ms, amend.moves.late, amend.moves.in_time]
        if amend.update_id:
            settings.append("update_id = max(update_id, ?)")
            values.append(amend.update_id)
        for name in sorted(amend.patch.members):  # sorted: as few different statements as possible
            value = amend.patch.members[name]
            settings.append(_SETTING[name])
            values.extend([value.decode() if isinstance(value, bytes) else value] * _SETTING[name].count("?"))
        statement = (
            f"UPDATE command SET {', '.join(settings)} WHERE id = ? AND device_id = ? "  # noqa: S608
            f"RETURNING {COMMAND_SELECT}"
        )
        found = self._connection.execute(statement, (*values, amend.command_id, amend.device_id)).fetchall()
        return to_command(found[0], amend.device_guid) if found else None

    def advance(self, advance: Advance) -> list[Stepped | None]:
        """Move the states of commands, however many, in two statements; nobody else writes in between."""
        steps = {step.command_id: step for step in advance.steps}
        values = {"at": advance.at_ms, "ids": orjson.dumps(list(steps)).decode()}
        rows = orjson.loads(self._connection.execute(_BEFORE, values).fetchone()[0])
        stepped = {row[0]: _stepped(advance, row, steps[row[0]]) for row in rows if row[1] == steps[row[0]].device_id}
        moved = [
            (one.command.id, one.command.state, steps[one.command.id].update_id)
            for one in stepped.values()
            if one.moved
        ]
        if moved:
            self._connection.execute(_ADVANCE, (orjson.dumps(moved).decode(),))
        return [stepped.get(step.command_id) for step in advance.steps]

    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Move the last activity of devices forward, in one statement."""
        self._connection.execute(_TOUCH, (orjson.dumps(list(activity)).decode(),))

    def equip(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Add pieces of equipment to a class, in one statement."""
        pieces = [(piece.name, piece.code, piece.type, to_text(piece.data)) for piece in equipment]
        self._connection.execute(_EQUIP, (class_id, orjson.dumps(pieces).decode()))

    def _find(self, kind: Kind, message_id: int, guid: str) -> Message | None:
        columns = NOTIFICATION_SELECT if kind is Kind.NOTIFICATION else COMMAND_SELECT
        statement = f"SELECT {columns} FROM {TABLES[kind]} WHERE id = ?"  # noqa: S608
        row = self._connection.execute(statement, (message_id,)).fetchone()
        return None if row is None else to_message(kind, row, guid)


def _stepped(advance: Advance, row: Sequence[Any], step: Step) -> Stepped:
    """What becomes of a command, by a row of ``JSON_COLUMNS`` and whether it is late."""
    *columns, before, late = row
    columns[5], columns[8] = columns[5].encode(), columns[8].encode()
    after = advance.moves.after(STATES[before], late=bool(late))
    return Stepped(to_command((*columns, after), step.device_guid), after != before)


_SETTING = {
    "name": "name = ?",
    "parameters": "parameters = ?",
    "lifetime_s": "lifetime_s = ?, expires_ms = CASE WHEN ? > 0 THEN timestamp_ms + ? * 1000 END",
    "status": "status = ?",
    "result": "result = ?",
}
"""What each member of a patch sets. The end of a lifetime counts from the insertion, however late the update."""


def _notification_row(message: Any) -> tuple[Any, ...]:
    return (message.id, message.device_id, message.name, message.timestamp_ms, message.parameters.decode())


def _command_row(command: Any) -> tuple[Any, ...]:
    return (
        *_notification_row(command),
        command.user_id,
        command.lifetime_s,
        command.pending_until_ms(),
        command.status,
        command.result.decode(),
        command.updated,
        int(command.state),
    )


STATES = tuple(CommandState)
"""By their numbers: several times as quick as asking the enumeration."""

_ROW: dict[Kind, Callable[[Any], tuple[Any, ...]]] = {
    Kind.NOTIFICATION: _notification_row,
    Kind.COMMAND: _command_row,
}


def to_message(kind: Kind, row: Sequence[Any], guid: str) -> Message:
    """A message from a row of its kind's select."""
    return to_notification(row, guid) if kind is Kind.NOTIFICATION else to_command(row, guid)


def to_notification(row: Sequence[Any], guid: str) -> Notification:
    number, device_id, name, timestamp_ms, parameters = row
    return Notification(number, device_id, guid, name, timestamp_ms, parameters)


def to_command(row: Sequence[Any], guid: str) -> Command:
    number, device_id, name, timestamp_ms, user_id, parameters, lifetime_s, status, result, updated, state = row
    return Command(
        id=number,
        device_id=device_id,
        device_guid=guid,
        name=name,
        timestamp_ms=timestamp_ms,
        user_id=user_id,
        parameters=parameters,
        lifetime_s=lifetime_s,
        status=status,
        result=result,
        updated=bool(updated),
        state=STATES[state],
    )
