"""What waits to be sent: bundles, encoded as they come and joined into few messages when the connection is free.

No I/O: fed with :meth:`Pending.offer`, asked with :meth:`Pending.take`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hub.bus import Bundle, Presence
from hub.bus.wire import Chunk, encode_bundle, encode_section, sender_mark

MESSAGE_BYTES = 1 << 20
"""About how large one Redis message gets by joining. Redis drops a subscriber for whom more than a few MiB wait."""

TAKE_BYTES = 4 << 20
"""About how much is taken at once: what a slow line carries before the deadline of an answer."""

WIDE_TOPICS = 4
"""More topics than this share one message to everybody, instead of one message each."""

WIDE_BYTES = 16 << 10
"""A section that is larger goes on its topic's own channel in any case: one command is little for so many items, and
those who do not follow the topic need not receive it."""

_CHUNK_BYTES = 64
"""What a chunk takes beside its data."""


@dataclass(slots=True)
class Parcel:
    """One Redis message.

    Attributes:
        topic: whose channel it goes on; None: the one of everybody.
        items: how many messages and updates are in it.
    """

    topic: int | None
    data: bytes
    items: int


@dataclass(slots=True)
class _Sender:
    """What waits of one run."""

    mark: bytes
    lane: int
    topics: dict[int, list[Chunk]] = field(default_factory=dict)
    told: Bundle | None = None
    told_bytes: int = 0


class Pending:
    """Bounded by ``limit_bytes``. Nothing of a topic overtakes what came before it, whichever channels it goes on, as
    long as parcels are sent in the order in which they are taken.

    Args:
        wide: whether sections may go on everybody's channel. On a Redis Cluster it lives on a node of its own, so
            that a topic that used both would lose its order.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.size_bytes = 0
        self.bundles = 0
        """Bundles that have been offered and not been taken whole."""
        self.wide = True
        self._limit_bytes = limit_bytes
        self._senders: dict[str, _Sender] = {}

    def __bool__(self) -> bool:
        return bool(self._senders)

    def offer(self, bundle: Bundle) -> bool:
        """Take a bundle in, or refuse it whole: there is no room, or it has a value that cannot be encoded."""
        if self.size_bytes >= self._limit_bytes:
            return False
        try:
            chunks = [(section.topic, encode_section(section)) for section in bundle.sections]
            sender = self._senders.get(bundle.worker) or _Sender(sender_mark(bundle.worker), bundle.lane)
            told_bytes = len(encode_bundle(sender.mark, sender.lane, (), bundle)) if bundle.tells_everybody else 0
        except (ValueError, OverflowError, TypeError, LookupError):
            return False
        size_bytes = sum(_size_bytes(chunk) for _, chunk in chunks) + told_bytes
        if self.size_bytes + size_bytes > self._limit_bytes:
            return False
        self._senders[bundle.worker] = sender
        for topic, chunk in chunks:
            sender.topics.setdefault(topic, []).append(chunk)
        if told_bytes:
            sender.told = _told_after(sender.told, bundle)
            sender.told_bytes += told_bytes
        self.size_bytes += size_bytes
        self.bundles += 1
        return True

    def take(self) -> list[Parcel]:
        """The next parcels, in the order in which to send them: ``TAKE_BYTES`` at most, or a single larger one."""
        parcels: list[Parcel] = []
        room_bytes = TAKE_BYTES
        for worker, sender in list(self._senders.items()):
            taken, left_bytes = _cut(sender.topics, room_bytes)
            self.size_bytes -= room_bytes - left_bytes
            room_bytes = left_bytes
            parcels += self._pack(sender, taken)
            if not sender.topics:
                self.size_bytes -= sender.told_bytes
                del self._senders[worker]
            if room_bytes <= 0:
                break
        if not self._senders:
            self.bundles = 0
        return parcels

    def clear(self) -> int:
        """Forget everything; returns how many bundles that were."""
        lost = self.bundles
        self._senders.clear()
        self.size_bytes = self.bundles = 0
        return lost

    def _pack(self, sender: _Sender, taken: dict[int, list[Chunk]]) -> list[Parcel]:
        sizes = {topic: sum(map(_size_bytes, chunks)) for topic, chunks in taken.items()}
        small = [topic for topic in taken if sizes[topic] <= WIDE_BYTES]
        shared = small if self.wide and len(small) > WIDE_TOPICS else []
        parcels = [
            self._parcel(sender, topic, [(topic, part)])
            for topic in taken
            if not shared or sizes[topic] > WIDE_BYTES
            for part in _parts(taken[topic])
        ]
        # Ends are told after all that they are the ends of.
        told = sender.told if not sender.topics else None
        if shared or told is not None:
            sections = [(topic, taken[topic]) for topic in shared]
            parcels.append(self._parcel(sender, None, sections, told))
        return parcels

    def _parcel(
        self,
        sender: _Sender,
        topic: int | None,
        sections: Sequence[tuple[int, Sequence[Chunk]]],
        told: Bundle | None = None,
    ) -> Parcel:
        items = sum(chunk.count for _, chunks in sections for chunk in chunks)
        return Parcel(topic, encode_bundle(sender.mark, sender.lane, sections, told), items)


def _size_bytes(chunk: Chunk) -> int:
    return len(chunk.data) + _CHUNK_BYTES


def _cut(topics: dict[int, list[Chunk]], room_bytes: int) -> tuple[dict[int, list[Chunk]], int]:
    """Take chunks out of ``topics`` while there is room; returns them, and the room that is left. What did not fit
    stays in front, so that it is the first the next time."""
    taken: dict[int, list[Chunk]] = {}
    while topics and room_bytes > 0:
        topic = next(iter(topics))
        chunks = topics[topic]
        fitting = 0
        while fitting < len(chunks) and room_bytes > 0:
            room_bytes -= _size_bytes(chunks[fitting])
            fitting += 1
        taken[topic] = chunks[:fitting]
        if fitting == len(chunks):
            del topics[topic]
        else:
            topics[topic] = chunks[fitting:]
    return taken, room_bytes


def _parts(chunks: list[Chunk]) -> Iterator[list[Chunk]]:
    """Split into runs of about ``MESSAGE_BYTES``."""
    first = size_bytes = 0
    for at, chunk in enumerate(chunks):
        if at > first and size_bytes + len(chunk.data) > MESSAGE_BYTES:
            yield chunks[first:at]
            first, size_bytes = at, 0
        size_bytes += len(chunk.data)
    yield chunks[first:]


def _told_after(before: Bundle | None, bundle: Bundle) -> Bundle:
    """What is told when these two are told at once. Nothing of it changes any more, whatever the caller does with
    what he has given."""
    told = replace(bundle, sections=(), ends=_copied(bundle.ends), presence=_kept(bundle.presence))
    if before is None:
        return told
    if before.ends is not None:
        told.ends = {**before.ends, **(told.ends or {})}
    if told.revision is None or (before.revision is not None and before.revision > told.revision):
        told.revision = before.revision
    told.floor, told.floor_ms = max(before.floor, told.floor), max(before.floor_ms, told.floor_ms)
    told.asks_ms = max(before.asks_ms, told.asks_ms)
    told.presence = _presence_after(before.presence, told.presence)
    told.leaving = before.leaving or bundle.leaving
    told.cancelled = (*before.cancelled, *told.cancelled)
    return told


def _copied(ends: Mapping[int, int] | None) -> dict[int, int] | None:
    return None if ends is None else dict(ends)


def _kept(presence: Presence | None) -> Presence | None:
    if presence is None:
        return None
    devices = {device_id: tuple(times) for device_id, times in presence.devices.items()}
    return Presence(dict(presence.users), devices, presence.whole, dict(presence.takers))


def _presence_after(before: Presence | None, presence: Presence | None) -> Presence | None:
    if before is None or presence is None:
        return presence or before
    if presence.whole:
        return presence
    users = {**before.users, **presence.users}
    devices = {**before.devices, **presence.devices}
    takers = {**before.takers, **presence.takers}
    if before.whole:
        takers = {device_id: count for device_id, count in takers.items() if count}
        users = {user_id: count for user_id, count in users.items() if count}
        devices = {device_id: times for device_id, times in devices.items() if times}
    return Presence(users, devices, before.whole, takers)
