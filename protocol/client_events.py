"""What a client is told: views of messages, refusals, and the events that :mod:`protocol.client` hands out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from protocol.names import Action, Kind, Overflow
from protocol.times import format_ms, parse_ms

REMEMBERED_IDS = 4_096
"""How many message ids a subscription remembers. A repetition of an older one comes through again."""

Members = Mapping[str, Any]
T = TypeVar("T")


class Unexpected(Exception):
    """A frame lacks a member that it must have, or has it with the wrong type."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error response. ``reason``, ``detail`` and ``retry_after_s`` come in extended mode only."""

    code: int
    text: str
    reason: str | None = None
    detail: Members | None = None
    retry_after_s: float | None = None

    @classmethod
    def read(cls, members: Members) -> "Refusal":
        """Read it leniently: whatever is not a success is a refusal."""
        code, text, reason, detail = (members.get(name) for name in ("code", "error", "reason", "detail"))
        return cls(
            code if type(code) is int else 500,
            text if isinstance(text, str) else "",
            reason if isinstance(reason, str) else None,
            detail if isinstance(detail, dict) else None,
            seconds(members.get("retryAfter")),
        )

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.retry_after_s is not None or self.code in (409, 429, 500, 503)


@dataclass(frozen=True, slots=True)
class NotificationView:
    """A notification as a subscriber sees it. ``timestamp`` is UTC text without a zone."""

    id: int
    name: str
    device_guid: str
    timestamp: str
    parameters: Any = None

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since 1970."""
        return parse_ms(self.timestamp)

    @classmethod
    def read(cls, members: Any) -> "NotificationView":
        return cls(
            member(members, "id", int),
            member(members, "notification", str),
            member(members, "deviceGuid", str),
            member(members, "timestamp", str),
            members.get("parameters"),
        )


@dataclass(frozen=True, slots=True)
class CommandView:
    """A command as its device, a subscriber or its inserter sees it.

    Attributes:
        timestamp: when it was inserted: UTC text without a zone.
        lifetime_s: seconds from ``timestamp`` on; None: no end.
        status, result: the device's words, None until it spoke.
        state: how far the hub has come with it, where the hub says so.
    """

    id: int
    name: str
    device_guid: str
    timestamp: str
    user_id: int | None = None
    parameters: Any = None
    lifetime_s: int | None = None
    status: str | None = None
    result: Any = None
    state: str | None = None

    @property
    def timestamp_ms(self) -> int:
        """Milliseconds since 1970."""
        return parse_ms(self.timestamp)

    @property
    def finished(self) -> bool:
        """Whether the device has spoken, or never will."""
        return self.status is not None or self.result is not None or self.state in ("done", "expired", "cancelled")

    @classmethod
    def read(cls, members: Any) -> "CommandView":
        return cls(
            member(members, "id", int),
            member(members, "command", str),
            member(members, "deviceGuid", str),
            member(members, "timestamp", str),
            *(members.get(name) for name in ("userId", "parameters", "lifetime", "status", "result", "state")),
        )


MessageView = NotificationView | CommandView


def member(members: Any, name: str, kind: type[T]) -> T:
    value = members.get(name) if isinstance(members, dict) else None
    if type(value) is not kind:
        raise Unexpected(f"{name} is not {kind.__name__}")
    return value


def _canonical(timestamp: str | None) -> str | None:
    """As servers write it, so that the texts sort by time."""
    return None if timestamp is None else format_ms(parse_ms(timestamp))


def seconds(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and value >= 0 else None


# --- a subscription --------------------------------------------------------------------------------------------------


class Subscription:
    """What to receive, and where receiving has come to; it outlives connections.

    Attributes:
        kind: notifications or commands.
        position: the id after which to go on, where the hub numbers its messages in order.
        timestamp: the time after which to go on, for servers that do not.
        paused: nothing is received until :meth:`Client.resume`, which goes on from here.
        live: whether the hub has confirmed it at least once.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        device_guids: Iterable[str] | None = None,
        names: Iterable[str] | None = None,
        since: int | None = None,
        timestamp: str | None = None,
        overflow: Overflow | None = None,
        speaker: Members | None = None,
        remember: int = REMEMBERED_IDS,
    ) -> None:
        """Describe a subscription; :meth:`Client.subscribe` makes it one.

        Args:
            kind: what to receive.
            device_guids: None: every device that is visible, now and in future.
            names: None: every name.
            since: receive stored messages with a greater id first; 0: all of them.
            timestamp: the same by time, in any form that the wire takes.
            overflow: what the hub shall do when it is read too slowly.
            speaker: ``deviceId`` and ``deviceKey`` of the device that asks, for gateways.
            remember: how many ids to remember against repetitions.

        Raises:
            ValueError: ``timestamp`` is not one.
        """
        self.kind = kind
        self.position = since
        # A server that does not know ``since`` understands "everything" as a time.
        self.timestamp = format_ms(0) if since == 0 else _canonical(timestamp)
        self.paused = False
        self.live = False
        self._asked: dict[str, Any] = dict(speaker or {})
        if device_guids is not None:
            self._asked["deviceGuids"] = list(device_guids)
        if names is not None:
            self._asked["names"] = list(names)
        if overflow is not None:
            self._asked["overflow"] = overflow.value
        self._numbered = False
        self._seen: dict[int, None] = {}
        self._remember = remember
        self.request_id: int | None = None
        self.server_id: str | None = None

    def __repr__(self) -> str:
        state = "paused" if self.paused else "live" if self.server_id is not None else "waiting"
        return f"<Subscription {self.kind.name.lower()} {state} position={self.position}>"

    def members(self, *, extended: bool) -> dict[str, Any]:
        """What to ask for now: everything after what has been received."""
        return {**self._asked, **self._resume_point(extended=extended)}

    def _resume_point(self, *, extended: bool) -> dict[str, Any]:
        if self.position is not None and (extended or self._numbered or self.timestamp is None):
            return {"since": self.position}
        return {} if self.timestamp is None else {"timestamp": self.timestamp}

    def confirmed(self, answer: Members, *, resumed: bool) -> None:
        """Note the answer. ``position`` is where live begins: a replay that breaks off must go on before it."""
        position = answer.get("position")
        self._numbered = type(position) is int
        if self._numbered and not resumed:
            self.position = position
        self.live = True

    def accept(self, message: MessageView) -> bool:
        """Whether the message is new; if so, receiving has come to it."""
        if message.id in self._seen:
            return False
        self._seen[message.id] = None
        if len(self._seen) > self._remember:
            del self._seen[next(iter(self._seen))]
        if self._numbered:
            self.position = max(message.id, self.position or 0)
        self.timestamp = max(message.timestamp, self.timestamp or "")
        return True


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """Authenticated; everything that was asked for is on its way."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The hub does not take our credentials, or our registration; trying again will not help."""

    action: Action
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The hub cannot restore this connection now: close it, and come back after ``refusal.retry_after_s``."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Answered:
    """A request succeeded."""

    request_id: int
    members: Members


@dataclass(frozen=True, slots=True)
class Refused:
    """A request failed."""

    request_id: int
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection broke before the answer to an insert, and repeating it could insert twice."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription is live, for the first time or again.

    Attributes:
        recovered: whether nothing is missing since the resume point; None: the server does not say, or there was none.
        missed: what is missing: ``reason``, ``after``, ``before``.
    """

    subscription: Subscription
    recovered: bool | None = None
    missed: Members | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The hub refused a subscription, or ended it; it is forgotten."""

    subscription: Subscription
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Received:
    """A new message on a subscription. ``dropped``: how many its overflow policy left out before it."""

    subscription: Subscription
    message: MessageView
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class CommandUpdated:
    """What has become of a command that this client inserted or watches."""

    command: CommandView


@dataclass(frozen=True, slots=True)
class WatchRefused:
    """The hub tells nothing more of a watched command. ``action``: what was asked again, in vain."""

    command_id: int
    action: Action
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class Closing:
    """The hub is about to close. ``reconnect_after_s`` is our own slot, ``retry_after_s`` the least that helps."""

    code: int
    reason: str = ""
    retry_after_s: float | None = None
    reconnect_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that makes no sense was passed over."""

    why: str


Event = (
    Ready
    | Rejected
    | Interrupted
    | Answered
    | Refused
    | Lost
    | Subscribed
    | Ended
    | Received
    | CommandUpdated
    | WatchRefused
    | Closing
    | Unreadable
)
