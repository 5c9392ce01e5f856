"""Subscriptions, and messages on their way to them."""

from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING

from hub.core.access import Clause, Clauses
from protocol.codecs import ENCODINGS
from protocol.frames import header
from protocol.messages import Message
from protocol.names import Kind, Overflow

if TYPE_CHECKING:
    from hub.core.access import Principal
    from hub.core.connection import Connection
    from hub.core.index import Bucket


_NO_BODIES: tuple[bytes | None, ...] = (None,) * len(ENCODINGS)


class Published:
    """A message on its way, with the place of its device and its encodings, made when first asked for."""

    __slots__ = ("_bodies", "groups", "message", "network_id")

    traceparent: str | None = None
    """The trace that it belongs to, if it is followed."""

    def __init__(self, message: Message, network_id: int | None = None, groups: tuple[int, ...] = ()) -> None:
        self.message = message
        self.network_id = network_id
        self.groups = groups
        self._bodies: list[bytes | None] = [*_NO_BODIES]

    def __repr__(self) -> str:
        return f"Published({self.message!r})"

    def body(self, codec: int) -> bytes:
        """The body for the codec of this number, encoded once."""
        body = self._bodies[codec]
        if body is None:
            body = self._bodies[codec] = ENCODINGS[codec].body(self.message)
        return body

    def size(self) -> int:
        """Bytes of one body, as a measure for what holding it costs."""
        # Always of the same encoding: what was added to a sum has to be what is subtracted from it later.
        return len(self.body(0))

    def admitted(self, clause: Clause) -> bool:
        return clause.admits(self.message.device_guid, self.network_id, self.groups)


class Subscription:
    """Kind x devices x names of one connection.

    Attributes:
        guids: the devices that it is about; None: all that its principal may see.
        asked_guids: the devices that the client named, by which the old format can end it.
        names: None: all.
        old_format: made without names, so that it can be removed by its guids.
        principal: who made it, which with a gateway is not always who owns the connection.
        clauses: what ``principal`` may see, compiled; changes when access changes.
        held: live messages that wait for a replay or for new access; None: they flow.
        overrun: more was held than allowed, and dropped; read the log again.
        wakes: its connection is visited in a turn that has brought it something to hold.
        sifts: it stands where every name comes by, and picks its own.
        position: the id of the newest message that had been published when it was registered.
        seat: its place in the audience of its bucket; -1: it stands in none.
        skip: ids that a replay has already sent and that are still to be published here.
        topics: what is heard of other workers for it.
        dropped: messages that the overflow policy has dropped since the last push.
    """

    __slots__ = (
        "_backlog",
        "_backlog_size",
        "asked_guids",
        "buckets",
        "clauses",
        "codec",
        "connection",
        "dropped",
        "guids",
        "head",
        "held",
        "held_size",
        "id",
        "kind",
        "names",
        "overflow",
        "overrun",
        "position",
        "principal",
        "seat",
        "sifts",
        "skip",
        "topics",
        "wakes",
    )

    def __init__(
        self,
        subscription_id: str,
        kind: Kind,
        connection: "Connection",
        *,
        principal: "Principal",
        clauses: Clauses,
        guids: frozenset[str] | None = None,
        names: frozenset[str] | None = None,
        asked_guids: frozenset[str] | None = None,
        overflow: Overflow = Overflow.DISCONNECT,
    ) -> None:
        self.id = subscription_id
        self.kind = kind
        self.connection = connection
        self.principal = principal
        self.clauses = clauses
        self.guids = guids
        self.names = names
        self.asked_guids = asked_guids
        self.overflow = overflow
        self.codec = connection.codec.number
        self.head = connection.codec.head(kind, subscription_id)
        self.buckets: tuple[Bucket, ...] = ()
        self.held: list[Published] | None = None
        self.held_size = 0
        self.overrun = False
        self.position = 0
        self.seat = -1
        self.sifts = False
        self.wakes = False
        self.skip: set[int] | None = None
        self.topics: frozenset[int] = frozenset()
        self.dropped = 0
        self._backlog: dict[object, Published] = {}
        self._backlog_size = 0

    def __repr__(self) -> str:
        return f"Subscription({self.id}, {self.kind.name}, guids={self.guids}, names={self.names})"

    @property
    def old_format(self) -> bool:
        return self.names is None

    @property
    def takes_for(self) -> int | None:
        """The row of the device that has what is written to this subscription; None: it is not one of a device's own,
        or a poll's, which is never written to."""
        device = self.principal.device
        return device.id if device is not None and self.kind is Kind.COMMAND and not self.wakes else None

    @property
    def is_plain(self) -> bool:
        """Whether nothing but its bucket decides about it."""
        return self.held is None and self.skip is None and self.overflow is Overflow.DISCONNECT

    def admits(self, published: Published) -> bool:
        """Whether it may and wants to get a message: what routing decides by buckets, asked plainly."""
        message = published.message
        return (
            message.kind is self.kind
            and (self.names is None or message.name in self.names)
            and (self.guids is None or message.device_guid in self.guids)
            and any(published.admitted(clause) for clause in self.clauses)
        )

    def hold(self) -> None:
        """Keep live messages back from now on."""
        if self.held is None:
            self.held = []
            self.held_size = 0

    def keep(self, published: Sequence[Published], limit: int) -> None:
        """Hold messages back. Past ``limit`` bytes all of them are dropped: they are in the log."""
        assert self.held is not None, "only a subscription that holds gets here"
        for one in published:
            self.held_size += one.size()
            self.held.append(one)
        if self.held_size > limit:
            self.overrun = True
            self.held = []
            self.held_size = 0

    def take_held(self) -> list[Published]:
        """What is held, for somebody who takes it from here; it goes on holding."""
        held, self.held = self.held or [], []
        self.held_size = 0
        return held

    def let_go(self) -> list[Published]:
        """Hold nothing back any more; returns what was held."""
        held, self.held = self.held or [], None
        self.held_size = 0
        return held

    # A reader that is too slow, when its policy is not to disconnect

    def defer(self, published: Sequence[Published], limit: int) -> None:
        """Queue messages for a reader that may be slow; past ``limit`` bytes the oldest go."""
        for one in published:
            message = one.message
            latest = self.overflow is Overflow.LATEST
            key: object = (message.device_guid, message.name) if latest else message.id
            self._drop(key)
            self._backlog[key] = one
            self._backlog_size += one.size()
        while self._backlog_size > limit and len(self._backlog) > 1:
            self._drop(next(iter(self._backlog)))

    def _drop(self, key: object) -> None:
        older = self._backlog.pop(key, None)
        if older is not None:
            self._backlog_size -= older.size()
            self.dropped += 1

    def reconsider(self) -> None:
        """Drop what is queued and may no longer be seen: access has changed while the reader was slow."""
        self._backlog = {key: one for key, one in self._backlog.items() if self.admits(one)}
        self._backlog_size = sum(one.size() for one in self._backlog.values())

    @property
    def has_deferred(self) -> bool:
        return bool(self._backlog)

    def take_deferred(
        self, room: int, now_ms: int | None = None, *, cancelled: Container[int] = ()
    ) -> Iterator[tuple[Message, bytes]]:
        """What was deferred, each with its frame, as many as ``room`` bytes allow; at least one when there is any room.

        Args:
            now_ms: commands that have expired by then are left out; None: lifetimes do not count.
            cancelled: ids of commands that are left out as well.
        """
        codec = ENCODINGS[self.codec]
        while self._backlog and room > 0:
            published = self._backlog.pop(next(iter(self._backlog)))
            self._backlog_size -= published.size()
            message = published.message
            if (now_ms is not None and message.expired(now_ms)) or message.id in cancelled:
                continue
            head = codec.dropped_head(self.kind, self.id, self.dropped) if self.dropped else self.head
            self.dropped = 0
            payload = head + published.body(self.codec)
            room -= len(payload)
            yield message, header(codec.opcode, len(payload)) + payload
