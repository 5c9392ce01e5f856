"""What is read of a store's log: questions, and the pages that answer them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from protocol.messages import Command, Message
from protocol.names import Kind, Order

REPLAY_PAGE = 1_000
"""How many messages one read of the log returns at most."""

SPREAD_MS = 60_000
"""Timestamps rise with the ids, but for this much: ``AHEAD_MS``, and clocks of workers that do not agree."""


@dataclass(slots=True, frozen=True)
class Reach:
    """Which devices a read of the log is about: the union of what is named here.

    A coarse filter for the database; the reader still asks its access about every row.
    """

    guids: frozenset[str] = frozenset()
    networks: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()


@dataclass(slots=True, frozen=True)
class LogQuery:
    """What to read of one kind's log, in ascending id.

    Attributes:
        after: ids greater than this.
        newer_than_ms: timestamps greater than this, in milliseconds; None: any.
        up_to_ms: timestamps of at most this; None: any.
        spread_ms: how far a timestamp may be below that of a message with a lower id. Where ``up_to_ms`` is passed by
            more, reading ends.
        reach: None: every device.
        names: None: every name.
        pending_at_ms: of commands, only those not updated, not cancelled and not expired at this time; None: all.
        beyond: of each lane, only ids greater than this (``LANES`` numbers; an id's lane is ``id % LANES``); None: all.
        limit: how many messages; capped at ``REPLAY_PAGE``. Ask again after the last id.
    """

    kind: Kind
    after: int = 0
    newer_than_ms: int | None = None
    up_to_ms: int | None = None
    spread_ms: int = SPREAD_MS
    reach: Reach | None = None
    names: frozenset[str] | None = None
    pending_at_ms: int | None = None
    beyond: tuple[int, ...] | None = None
    limit: int = REPLAY_PAGE


@dataclass(slots=True, frozen=True)
class Logged:
    """A message from the log, with where its device is now. Messages of deleted devices are never returned."""

    message: Message
    network_id: int | None
    groups: tuple[int, ...] = ()


@dataclass(slots=True, frozen=True)
class Page:
    """One read of the log.

    Attributes:
        read_to: the id up to which the log was examined: ``after`` of the next read, even when nothing matched.
        complete: whether nothing matching was left behind ``read_to`` when the page was read.
    """

    messages: list[Logged]
    read_to: int
    complete: bool


@dataclass(slots=True, frozen=True)
class HistoryQuery:
    """Which messages of one device a list shows, also those that are answered or expired.

    Attributes:
        since_ms, until_ms: timestamps from this one to that one, both included; None: any.
        name, status: exactly; None is not asked for. Only commands have a status.
        order: ``TIME`` goes by the ids, which rise with the timestamps: which messages are on a page is decided by
            them, and the page itself is sorted by time. Text goes by its characters' numbers; what has none comes last,
            or first when descending; of equals the newest come first.
        take: how many at most; None: all of them.
    """

    kind: Kind
    device_id: int
    since_ms: int | None = None
    until_ms: int | None = None
    name: str | None = None
    status: str | None = None
    order: Order = Order.TIME
    descending: bool = True
    skip: int = 0
    take: int | None = 100

    def sorted(self, messages: Iterable[Message]) -> list[Message]:
        """These messages in the order that was asked for."""
        newest_first = sorted(messages, key=_time, reverse=self.descending or self.order is not Order.TIME)
        if self.order is Order.TIME:
            return newest_first
        find = _TEXTS[self.order]
        return sorted(newest_first, key=lambda one: _last_if_none(find(one)), reverse=self.descending)


def _time(message: Message) -> tuple[int, int]:
    return message.timestamp_ms, message.id


_TEXTS: dict[Order, Callable[[Any], str | None]] = {
    Order.NAME: lambda message: message.name,
    Order.STATUS: lambda message: message.status,
}


def _last_if_none(text: str | None) -> tuple[bool, str]:
    return text is None, text or ""


@dataclass(slots=True, frozen=True)
class LoggedUpdate:
    """The newest update of a command, from the log. What an earlier update did is in it."""

    update_id: int
    command: Command


@dataclass(slots=True, frozen=True)
class UpdatePage:
    """One read of the updates of commands, in ascending update id; as :class:`Page`."""

    updates: list[LoggedUpdate]
    read_to: int
    complete: bool
