"""What REST requests about commands and notifications hold, and what of it the actions are asked."""

from dataclasses import dataclass
from typing import Any

from protocol.forms import (
    ANYTHING,
    BOOLEAN,
    INT32,
    INTEGER,
    NUMBER_ASKED,
    SORT_ORDER,
    TEXT,
    TEXT_ASKED,
    TIME_ASKED,
    Form,
    Type,
    body,
    header,
    one_of,
    path,
    query,
)
from protocol.messages import CommandPatch
from protocol.names import IDEMPOTENCY_KEY_MAX, Kind, Order
from protocol.requests import (
    UNSET,
    InsertCommand,
    InsertNotification,
    Unset,
    UpdateCommand,
    checked_idempotency_key,
    to_json,
    to_text,
)

# --- inserting and updating -------------------------------------------------------------------------------------------

IDEMPOTENCY_HEADER = Type(checked_idempotency_key, {"type": "string", "minLength": 1, "maxLength": IDEMPOTENCY_KEY_MAX})


@dataclass(slots=True, kw_only=True)
class CreateNotification(Form):
    """A notification to insert."""

    needs_body = True

    guid: str = path(TEXT_ASKED)
    notification: str | None = body(TEXT, default=None, required=True)
    parameters: Any = body(ANYTHING)
    idempotency_key: str | None = header(IDEMPOTENCY_HEADER, "Idempotency-Key")

    def to_request(self) -> InsertNotification:
        """What a socket would have asked."""
        given = self.parameters is not UNSET
        return InsertNotification(
            self.guid,
            self.notification,
            to_json(self.parameters) if given else None,
            self.parameters if given else None,
            self.idempotency_key,
        )


@dataclass(slots=True, kw_only=True)
class CreateCommand(Form):
    """A command to insert."""

    guid: str = path(TEXT_ASKED)
    command: str | None = body(TEXT, default=None, required=True)
    parameters: Any = body(ANYTHING, default=None)
    lifetime: int | None = body(INT32, default=None)
    status: str | None = body(TEXT, default=None)
    result: Any = body(ANYTHING, default=None)
    queue: bool | None = body(BOOLEAN, default=None)
    idempotency_key: str | None = header(IDEMPOTENCY_HEADER, "Idempotency-Key")

    def to_request(self) -> InsertCommand:
        """What a socket would have asked."""
        return InsertCommand(
            self.guid,
            self.given,
            self.command,
            to_json(self.parameters),
            self.lifetime,
            self.status,
            to_json(self.result),
            self.idempotency_key,
            may_wait=self.queue is not False,
        )


@dataclass(slots=True, kw_only=True)
class PutCommand(Form):
    """What a command gets: what is not there stays as it is. Its name is nobody's to change here."""

    needs_body = True

    guid: str = path(TEXT_ASKED)
    command_id: int = path(INTEGER, "id")
    status: str | None | Unset = body(TEXT)
    result: Any = body(ANYTHING)
    parameters: Any = body(ANYTHING)
    lifetime: int | None | Unset = body(INT32)

    def to_request(self) -> UpdateCommand:
        """What a socket would have asked."""
        members: dict[str, Any] = {
            "status": self.status,
            "result": UNSET if self.result is UNSET else to_json(self.result),
            "parameters": UNSET if self.parameters is UNSET else to_json(self.parameters),
            "lifetime_s": self.lifetime,
        }
        patch = CommandPatch({name: value for name, value in members.items() if value is not UNSET})
        return UpdateCommand(self.guid, self.command_id, patch)


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ListMessages:
    """Which of a device's messages a list shows.

    Attributes:
        take: zero and less: as many as there may be.
        descending: None: newest first; by text, in the order of the text.
    """

    kind: Kind
    device_guid: str
    since_ms: int | None = None
    until_ms: int | None = None
    name: str | None = None
    status: str | None = None
    order: Order = Order.TIME
    descending: bool | None = None
    skip: int | None = None
    take: int | None = None


@dataclass(slots=True)
class GetMessage:
    """One message of a device."""

    device_guid: str
    message_id: int


@dataclass(slots=True, kw_only=True)
class OneMessage(Form):
    """One message of a device."""

    guid: str = path(TEXT_ASKED)
    message_id: int = path(INTEGER, "id")

    def to_request(self) -> GetMessage:
        return GetMessage(self.guid, self.message_id)


@dataclass(slots=True, kw_only=True)
class _ListForm(Form):
    """A list of messages; the times are looked at before all else."""

    start: int | None = query(TIME_ASKED)
    end: int | None = query(TIME_ASKED)
    sort_order: bool | None = query(SORT_ORDER)
    take: int | None = query(NUMBER_ASKED)
    skip: int | None = query(NUMBER_ASKED)
    grid_interval: str | None = query(TEXT_ASKED)
    guid: str = path(TEXT_ASKED)

    def listed(self, kind: Kind, name: str | None, sort_field: str, status: str | None = None) -> ListMessages:
        """What it asks for. Texts that are empty are not given."""
        return ListMessages(
            kind,
            self.guid,
            self.start,
            self.end,
            name or None,
            status or None,
            {"timestamp": Order.TIME, "status": Order.STATUS}.get(sort_field, Order.NAME),
            self.sort_order,
            self.skip,
            self.take,
        )


@dataclass(slots=True, kw_only=True)
class ListCommands(_ListForm):
    """A list of commands."""

    sort_field: str = query(one_of("Timestamp", "Command", "Status"), default="timestamp")
    command: str | None = query(TEXT_ASKED)
    status: str | None = query(TEXT_ASKED)

    def to_request(self) -> ListMessages:
        return self.listed(Kind.COMMAND, self.command, self.sort_field, self.status)


@dataclass(slots=True, kw_only=True)
class ListNotifications(_ListForm):
    """A list of notifications."""

    sort_field: str = query(one_of("Timestamp", "Notification"), default="timestamp")
    notification: str | None = query(TEXT_ASKED)

    def to_request(self) -> ListMessages:
        return self.listed(Kind.NOTIFICATION, self.notification, self.sort_field)


# --- waiting ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PollMessages:
    """What a long poll waits for.

    Attributes:
        device_guids: None: every device that the caller may see.
        names: None: any.
        newer_than_ms: also what is in the log already and has a later timestamp; None: only what comes from now on.
        wait_s: None: as long as polls wait that do not say.
    """

    kind: Kind
    device_guids: tuple[str, ...] | None = None
    names: frozenset[str] | None = None
    newer_than_ms: int | None = None
    wait_s: int | None = None


@dataclass(slots=True)
class WaitForCommand:
    """Which command's first update is waited for."""

    device_guid: str
    command_id: int
    wait_s: int | None = None


def _to_list(value: Any, name: str) -> tuple[str, ...] | None:
    """Texts with commas between them, as they are; empty ones are passed over, and nothing but those is not given."""
    text = to_text(value, name) or ""
    return tuple(dict.fromkeys(part for part in text.split(",") if part)) or None


COMMA_LIST = Type(_to_list, {"type": "string", "examples": ["one,two"]})


@dataclass(slots=True, kw_only=True)
class _PollForm(Form):
    """A long poll."""

    timestamp: int | None = query(TIME_ASKED)
    names: tuple[str, ...] | None = query(COMMA_LIST)
    wait_timeout: int | None = query(NUMBER_ASKED)

    def asked(self, kind: Kind, guids: tuple[str, ...] | None) -> PollMessages:
        names = None if self.names is None else frozenset(self.names)
        return PollMessages(kind, guids, names, self.timestamp, self.wait_timeout)


@dataclass(slots=True, kw_only=True)
class PollOne(_PollForm):
    """A long poll of one device."""

    guid: str = path(TEXT_ASKED)

    def to_commands(self) -> PollMessages:
        return self.asked(Kind.COMMAND, (self.guid,))

    def to_notifications(self) -> PollMessages:
        return self.asked(Kind.NOTIFICATION, (self.guid,))


@dataclass(slots=True, kw_only=True)
class PollMany(_PollForm):
    """A long poll of some devices, or of all that the caller may see."""

    device_guids: tuple[str, ...] | None = query(COMMA_LIST)

    def to_commands(self) -> PollMessages:
        return self.asked(Kind.COMMAND, self.device_guids)

    def to_notifications(self) -> PollMessages:
        return self.asked(Kind.NOTIFICATION, self.device_guids)


@dataclass(slots=True, kw_only=True)
class PollResult(Form):
    """Waiting for what comes of a command."""

    guid: str = path(TEXT_ASKED)
    command_id: int = path(INTEGER, "id")
    wait_timeout: int | None = query(NUMBER_ASKED)

    def to_request(self) -> WaitForCommand:
        return WaitForCommand(self.guid, self.command_id, self.wait_timeout)
