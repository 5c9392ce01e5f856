"""The bus: messages to other workers. It only makes them fast; the log is what nothing gets lost in.

What one worker has committed in a turn is one :class:`Bundle`, and of each bundle every other worker gets the parts
whose **topics** it follows. There is one for each shard of devices and kind of message; and one for each lane, for
updates of the commands that were inserted in it, so that an update goes only to the worker whose socket waits for it.
Each part names the id that came before it in the same lane and topic: a receiver that has not seen that one has missed
something, and reads the log.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from zlib import crc32

from protocol.messages import LANES, Command, Message
from protocol.names import Kind

SHARDS = 64
"""Into how many shards devices are divided."""

TOPICS = len(Kind) * SHARDS + LANES


def shard_of(guid: str) -> int:
    return crc32(guid.encode()) % SHARDS


def topic_of(kind: Kind, guid: str) -> int:
    """The topic of a device's messages of one kind."""
    return _FIRST[kind] + crc32(guid.encode()) % SHARDS


def topics_of(kind: Kind) -> range:
    """All topics of one kind."""
    return range(_FIRST[kind], _FIRST[kind] + SHARDS)


def updates_of(lane: int) -> int:
    """The topic of updates of the commands that were inserted in a lane."""
    return _UPDATES + lane


_FIRST = {kind: number * SHARDS for number, kind in enumerate(Kind)}
_UPDATES = len(Kind) * SHARDS


@dataclass(slots=True)
class Placed:
    """A message with the place of its device, so that a worker can route it without asking its database.

    Attributes:
        traceparent: the trace that it belongs to (W3C Trace Context), if it is followed.
    """

    message: Message
    network_id: int | None
    groups: tuple[int, ...] = ()
    traceparent: str | None = None


@dataclass(slots=True)
class Updated:
    """A command as an update left it."""

    update_id: int
    command: Command


@dataclass(slots=True)
class Section:
    """Of a bundle, what belongs to one topic.

    Attributes:
        before: the id that the sender had published last on this topic; 0: none yet.
        items: in the order of their ids: :class:`Placed` of the topic's kind, or :class:`Updated`. Never empty.
    """

    topic: int
    before: int
    items: Sequence[Placed] | Sequence[Updated]


@dataclass(slots=True)
class Presence:
    """Whose connections a worker has.

    Attributes:
        users: row id of a user to how many connections; 0: none any more.
        devices: row id of a device to when each of its connections came, in microseconds since 1970; empty: none.
        whole: this is all of it; otherwise only what has changed.
        takers: row id of a device to how many of its subscriptions take its commands; 0: none any more.
    """

    users: Mapping[int, int] = field(default_factory=dict)
    devices: Mapping[int, Sequence[int]] = field(default_factory=dict)
    whole: bool = False
    takers: Mapping[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class Bundle:
    """What one worker tells the others at the end of a turn.

    Attributes:
        worker: the sender's run, by a name that no other run has.
        lane: whose ids its messages have.
        sections: committed messages and updates, one section for each topic that has any.
        ends: to everybody, now and then: the last id that was published on each topic that this run has used.
        floor: with ``ends``: everything of this lane up to this id was published.
        floor_ms: with ``ends``: nothing of this lane above ``floor`` has a timestamp at or before this one.
        asks_ms: to everybody: give no timestamp at or before this one any more, and tell the floors as soon as what has
            such a timestamp is committed. 0: nothing is asked.
        revision: to everybody: the newest change of an entity, when any was made; receivers look what it was.
        presence: to everybody.
        leaving: to everybody: the sender ends in good order.
        cancelled: to everybody: ids of commands that are not to be sent any more.
    """

    worker: str
    lane: int
    sections: Sequence[Section] = ()
    ends: Mapping[int, int] | None = None
    floor: int = 0
    floor_ms: int = 0
    asks_ms: int = 0
    revision: int | None = None
    presence: Presence | None = None
    leaving: bool = False
    cancelled: Sequence[int] = ()

    @property
    def tells_everybody(self) -> bool:
        """Whether there is something in it besides its sections."""
        parts = (self.ends, self.revision, self.presence)
        return self.leaving or self.asks_ms > 0 or len(self.cancelled) > 0 or any(part is not None for part in parts)


class Receiver(Protocol):
    """Who hears the others: the gateway. Called in the event loop; must not raise."""

    def deliver(self, bundle: Bundle) -> None:
        """A bundle of another worker has come; of its sections at least those on followed topics."""

    def joined(self, topics: Iterable[int]) -> None:
        """From now on, what anybody publishes on these topics is heard, until :meth:`parted`. Also told of topics that
        were followed before the connection was lost."""

    def parted(self) -> None:
        """The connection is lost: nothing is heard any more, on any topic. It is sought again without being asked."""


class Bus(Protocol):
    """Between workers. At most once, in order per sender and topic, never back to the sender.

    A receiver that may have missed something reads the log; nothing here is repeated or acknowledged.
    """

    @property
    def alone(self) -> bool:
        """Whether there can be nobody to tell; then bundles need not even be made."""
        ...

    @property
    def is_up(self) -> bool:
        """Whether there is a connection: what is published now reaches the others, as far as is known."""
        ...

    async def open(self, receiver: Receiver) -> None:
        """Join. Returns at once when there is no connection: it is then sought in the background.

        Raises:
            CannotOpen: this bus can never be used: what is at the other end is something else, or too old.
        """

    async def close(self) -> None:
        """Send what is under way, within a second, and leave. Calling it twice is harmless."""

    def follow(self, topics: Iterable[int]) -> None:
        """Hear these topics, too; :meth:`Receiver.joined` tells when. Followed ones are passed over."""

    def unfollow(self, topics: Iterable[int]) -> None:
        """Hear these topics no more; some of it may still come. Unknown ones are passed over."""

    def publish(self, bundle: Bundle) -> None:
        """Tell the other workers. Never blocks and never raises: what cannot be sent is found in the log."""

    def fence(self, passed: Callable[[], None]) -> None:
        """Call back when what was published here until now comes before whatever anybody publishes from then on, and
        when all that comes before it on followed topics was heard here; or when the connection is lost. Never within
        this call; in the order of the calls. ``passed`` must not raise."""

    def figures(self) -> Mapping[str, float]:
        """Counters and gauges for the metrics, by their names without ``hub_bus_``."""
        ...

    async def check(self) -> Mapping[str, str]:
        """What ``hub doctor`` shows: kind, version, place (without a password). Raises ``OSError``: not reached."""
        ...


Opener = Callable[[], Bus]
