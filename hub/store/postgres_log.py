"""Writing the message log on PostgreSQL: however many messages, one statement, with an array per column or copied."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from asyncpg import Connection, UniqueViolationError
from sqlalchemy.util import await_only

from hub.store import Advance, Amend, Idempotency, Stepped
from hub.store.postgres_text import Named
from hub.store.rows import to_text
from hub.store.schema import REPEATABLE_MS
from protocol.messages import Command, Message, Notification
from protocol.names import INT64_MAX, CommandState, Kind
from protocol.requests import SaveEquipment

TABLES = {Kind.NOTIFICATION: "notification", Kind.COMMAND: "command"}

# convert_to: what is stored as text comes back as bytes, without decoding.
COLUMNS = {
    Kind.NOTIFICATION: "log.id, log.device_id, log.name, log.timestamp_ms, convert_to(log.parameters, 'UTF8') AS bytes",
    Kind.COMMAND: "log.id, log.device_id, log.name, log.timestamp_ms, log.user_id, "
    "convert_to(log.parameters, 'UTF8') AS bytes, log.lifetime_s, log.status, "
    "convert_to(log.result, 'UTF8') AS result_bytes, log.updated, log.state",
}
"""Of a message, from its table under the name of ``log``."""

MANY = 200
"""From so many messages on, copying them is faster than inserting: 500 take 4.7 ms and not 8.4. But copying cannot pass
over those that are known."""

_SHARED_COLUMNS = ("id", "device_id", "name", "timestamp_ms", "parameters")
_ROW_COLUMNS = {
    Kind.NOTIFICATION: _SHARED_COLUMNS,
    Kind.COMMAND: (*_SHARED_COLUMNS, "user_id", "lifetime_s", "expires_ms", "status", "result", "updated", "state"),
}

_APPEND = {
    Kind.NOTIFICATION: f"""
        INSERT INTO notification ({", ".join(_ROW_COLUMNS[Kind.NOTIFICATION])})
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[])
        ON CONFLICT (id) DO NOTHING
    """,  # noqa: S608
    Kind.COMMAND: f"""
        INSERT INTO command ({", ".join(_ROW_COLUMNS[Kind.COMMAND])})
        SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::int[],
                             $8::bigint[], $9::text[], $10::text[], $11::boolean[], $12::int[])
        ON CONFLICT (id) DO NOTHING
    """,  # noqa: S608
}

# The end of a lifetime counts from the insertion, however late the update.
_AMEND = f"""
    UPDATE command AS log SET
        updated = true,
        update_id = CASE WHEN patch.update_id > 0 THEN patch.update_id ELSE log.update_id END,
        name = CASE WHEN patch.sets_name THEN patch.new_name ELSE log.name END,
        parameters = CASE WHEN patch.sets_parameters THEN patch.new_parameters ELSE log.parameters END,
        lifetime_s = CASE WHEN patch.sets_lifetime THEN patch.new_lifetime_s ELSE log.lifetime_s END,
        expires_ms = CASE WHEN NOT patch.sets_lifetime THEN log.expires_ms
            WHEN patch.new_lifetime_s > 0 THEN log.timestamp_ms + patch.new_lifetime_s::bigint * 1000 END,
        status = CASE WHEN patch.sets_status THEN patch.new_status ELSE log.status END,
        result = CASE WHEN patch.sets_result THEN patch.new_result ELSE log.result END,
        state = substr(CASE WHEN log.expires_ms <= patch.at_ms THEN patch.late ELSE patch.in_time END,
                       log.state + 1, 1)::int
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::boolean[],
                $8::text[], $9::boolean[], $10::text[], $11::boolean[], $12::int[], $13::boolean[], $14::text[],
                $15::boolean[], $16::text[])
        AS patch (command_id, of_device, update_id, at_ms, late, in_time, sets_name, new_name, sets_parameters,
                  new_parameters, sets_lifetime, new_lifetime_s, sets_status, new_status, sets_result, new_result)
    WHERE log.id = patch.command_id AND log.device_id = patch.of_device
    RETURNING {COLUMNS[Kind.COMMAND]}
"""  # noqa: S608
# Locked in the order of ids, so that workers which move the same at once do not wait for each other in a circle.
_ADVANCE = f"""
    WITH locked AS MATERIALIZED (
        SELECT command.id, command.state AS before, step.update_id,
            substr(CASE WHEN command.expires_ms <= $4 THEN $5::text ELSE $6::text END,
                   command.state + 1, 1)::int AS after
        FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS step (command_id, of_device, update_id)
            JOIN command ON command.id = step.command_id AND command.device_id = step.of_device
        ORDER BY command.id FOR UPDATE OF command
    )
    UPDATE command AS log SET
        state = locked.after,
        expires_ms = CASE WHEN locked.after = {CommandState.CANCELLED:d} THEN 0 ELSE log.expires_ms END,
        update_id = CASE WHEN locked.after <> locked.before AND locked.update_id > 0 THEN locked.update_id
            ELSE log.update_id END
    FROM locked WHERE log.id = locked.id
    RETURNING {COLUMNS[Kind.COMMAND]}, locked.after <> locked.before
"""  # noqa: S608
_PATCHED = ("name", "parameters", "lifetime_s", "status", "result")

_KEY = "principal = :principal AND device_id = :device AND action = :action AND key = :key"
_REMEMBER = Named("""
    INSERT INTO idempotency (principal, device_id, action, key, message_id, kind, created_ms)
    VALUES (:principal, :device, :action, :key, :message, :kind, :created)
    ON CONFLICT (principal, device_id, action, key) DO UPDATE
    SET message_id = excluded.message_id, kind = excluded.kind, created_ms = excluded.created_ms
    WHERE idempotency.created_ms <= :since
    RETURNING message_id
""")
_KNOWN = Named(f"""
    SELECT message_id, kind, created_ms, (SELECT guid FROM device WHERE device.id = device_id) FROM idempotency
    WHERE {_KEY} AND created_ms > :since
""")  # noqa: S608
# In the order of devices, so that workers which do the same at once do not wait for each other in a circle.
_TOUCH = """
    INSERT INTO activity (device_id, last_active_ms)
    SELECT device.id, max(touched.at_ms)
    FROM unnest($1::bigint[], $2::bigint[]) AS touched (device_id, at_ms) JOIN device ON device.id = touched.device_id
    GROUP BY device.id ORDER BY device.id
    ON CONFLICT (device_id) DO UPDATE SET last_active_ms = excluded.last_active_ms
    WHERE excluded.last_active_ms > activity.last_active_ms
"""
_EQUIP = """
    INSERT INTO equipment (device_class_id, name, code, type, data)
    SELECT $1, name, code, type, data
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS piece (name, code, type, data, place)
    ORDER BY place
"""


class PostgresLog:
    """The log, for the one connection that writes it. Every method is one step of the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def append(self, messages: Sequence[Message]) -> None:
        """Store messages of one kind; those whose id is known are passed over."""
        kind = messages[0].kind
        await self._connection.execute(_APPEND[kind], *_columns(list(map(_ROW[kind], messages))))

    async def append_at_once(self, messages: Sequence[Message]) -> None:
        """The same as a transaction of its own, outside any other."""
        if len(messages) >= MANY:
            kind = messages[0].kind
            rows = list(map(_ROW[kind], messages))
            with suppress(UniqueViolationError):  # Nothing was copied then; whatever is new is appended.
                await self._connection.copy_records_to_table(TABLES[kind], records=rows, columns=_ROW_COLUMNS[kind])
                return
        await self.append(messages)

    async def append_once(self, message: Message, idempotency: Idempotency) -> Message:
        """Store a message unless its idempotency key has made one already: then that one is the outcome. Another worker
        that has the same key at this moment is waited for."""
        since_ms = message.timestamp_ms - REPEATABLE_MS
        if await self._remember(message, idempotency, since_ms=since_ms):
            await self.append([message])
            return message
        known = await self.repeated(message.device_id, idempotency, since_ms=since_ms)
        assert known is not None, "the row that was in the way"
        return known

    async def remember(self, message: Message, idempotency: Idempotency) -> None:
        """Keep which message an idempotency key has made, whatever it had made before."""
        await self._remember(message, idempotency, since_ms=INT64_MAX)

    async def repeated(self, device_id: int, idempotency: Idempotency, *, since_ms: int) -> Message | None:
        """The message that an idempotency key has made after a time. Where retention has removed it since, only its id,
        device and timestamp are still known, which is what an answer needs of it."""
        known = await _KNOWN.one(self._connection, **_key(device_id, idempotency), since=since_ms)
        if known is None:
            return None
        message_id, kind, created_ms, guid = known
        statement = f"SELECT {COLUMNS[Kind(kind)]} FROM {TABLES[Kind(kind)]} AS log WHERE id = $1"  # noqa: S608
        row = await self._connection.fetchrow(statement, message_id)
        if row is not None:
            return to_message(Kind(kind), row, guid or "")
        bare = Notification if kind == Kind.NOTIFICATION else Command
        return bare(message_id, device_id, guid or "", "", created_ms)

    async def amend(self, amends: Sequence[Amend]) -> list[Command | None]:
        """Update commands, each of them once. Returns them as they are afterwards; None where the device has no such
        command."""
        rows = await self._connection.fetch(_AMEND, *_columns(list(map(_patch, amends))))
        found = {(row[0], row[1]): row for row in rows}
        there = [(amend, found.get((amend.command_id, amend.device_id))) for amend in amends]
        return [None if row is None else to_command(row, amend.device_guid) for amend, row in there]

    async def advance(self, advance: Advance) -> list[Stepped | None]:
        """Move the states of commands, however many, in one statement."""
        steps = [(step.command_id, step.device_id, step.update_id) for step in advance.steps]
        values = (advance.at_ms, advance.moves.late, advance.moves.in_time)
        rows = await self._connection.fetch(_ADVANCE, *_columns(steps), *values)
        found = {(row[0], row[1]): row for row in rows}
        return [
            None
            if (row := found.get((step.command_id, step.device_id))) is None
            else Stepped(to_command(row[:-1], step.device_guid), row[-1])
            for step in advance.steps
        ]

    async def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Move last activity forward, in one statement."""
        if activity:
            await self._connection.execute(_TOUCH, *_columns(activity))

    async def equip(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Add pieces of equipment to a class, in one statement."""
        pieces = [(piece.name, piece.code, piece.type, to_text(piece.data)) for piece in equipment]
        if pieces:
            await self._connection.execute(_EQUIP, class_id, *_columns(pieces))

    async def _remember(self, message: Message, idempotency: Idempotency, *, since_ms: int) -> bool:
        """Keep a key unless it was kept after a time. Returns whether it is kept now."""
        values = {"message": message.id, "kind": int(message.kind), "created": message.timestamp_ms, "since": since_ms}
        key = _key(message.device_id, idempotency)
        return await _REMEMBER.value(self._connection, **key, **values) is not None


class BlockingLog:
    """:class:`hub.store.transaction.LogWriter`: the same log for a piece of work, which does not know that it waits."""

    def __init__(self, log: PostgresLog) -> None:
        self._log = log

    def append(self, messages: Sequence[Message]) -> None:
        await_only(self._log.append(messages))

    def remember(self, message: Message, idempotency: Idempotency) -> None:
        await_only(self._log.remember(message, idempotency))

    def repeated(self, device_id: int, idempotency: Idempotency, *, since_ms: int) -> Message | None:
        return await_only(self._log.repeated(device_id, idempotency, since_ms=since_ms))

    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        await_only(self._log.touch(activity))

    def equip(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        await_only(self._log.equip(class_id, equipment))


def _key(device_id: int, idempotency: Idempotency) -> dict[str, Any]:
    names = {"principal": idempotency.principal, "action": idempotency.action, "key": idempotency.key}
    return {"device": device_id, **names}


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[Sequence[Any]]:
    return list(zip(*rows, strict=True))


def _patch(amend: Amend) -> tuple[Any, ...]:
    members = amend.patch.members
    values = [members.get(name) for name in _PATCHED]
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    pairs = [member for name, text in zip(_PATCHED, texts, strict=True) for member in (name in members, text)]
    moves = (amend.at_ms, amend.moves.late, amend.moves.in_time)
    return (amend.command_id, amend.device_id, amend.update_id, *moves, *pairs)


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


_STATES = tuple(CommandState)

_ROW = {Kind.NOTIFICATION: _notification_row, Kind.COMMAND: _command_row}


def to_message(kind: Kind, row: Sequence[Any], guid: str) -> Message:
    """A message from a row of the columns of its kind."""
    return to_notification(row, guid) if kind is Kind.NOTIFICATION else to_command(row, guid)


def to_notification(row: Sequence[Any], guid: str) -> Notification:
    number, device_id, name, timestamp_ms, parameters = row
    return Notification(number, device_id, guid, name, timestamp_ms, parameters)


def to_command(row: Sequence[Any], guid: str) -> Command:
    number, device_id, name, timestamp_ms, *more, state = row
    user_id, parameters, lifetime_s, status, result, updated = more
    return Command(
        number,
        device_id,
        guid,
        name,
        timestamp_ms,
        user_id,
        parameters,
        lifetime_s,
        status,
        result,
        updated,
        _STATES[state],
    )
