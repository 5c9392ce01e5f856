"""What of the others has been heard, and what is missing: decisions only, no I/O.

Of every other lane there are three streams in the log: notifications, commands, and updates of commands. In each, ids
rise in the order in which they were committed. So what a worker knows of a stream is a *position*: up to there nothing
is missing of what it needs. Bundles move single topics ahead of the position; now and then a lane tells where all its
topics end, and the position follows. Where a bundle does not join on to what was heard before, the topic is *open*:
what comes on it is held until the log has been read from the position on.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hub.bus import SHARDS, Bundle, Placed, Section, Updated
from protocol.messages import LANES
from protocol.names import INT64_MAX

Item = Placed | Updated
Stream = int
"""Which of a lane's streams: the topics of one stream are next to each other."""

STREAMS = 3
NOTIFICATIONS, COMMANDS, UPDATES = range(STREAMS)

MOST_HELD = 50_000
"""How many messages wait while the log is read; beyond that they are dropped, for the log has them."""

FLOORS = 16
"""Of so many floors that a lane has told and that are not reached yet, the times are remembered."""


def stream_of(topic: int) -> Stream:
    return topic // SHARDS


def id_of(item: Item) -> int:
    return item.message.id if isinstance(item, Placed) else item.update_id


@dataclass(slots=True)
class Reading:
    """One reading of the log that is under way.

    Attributes:
        lanes: of each stream, the lanes to read.
        beyond: of each stream, the position of each lane when the reading began.
        topics: those that may flow when the reading has ended.
    """

    lanes: list[set[int]]
    beyond: list[tuple[int, ...]]
    topics: set[int]


class Heard:
    """Feed it bundles, and what the log has; it returns what is to be delivered, each message once.

    Args:
        lane: our own, of which there is nothing to hear.
    """

    def __init__(self, lane: int, *, most_held: int = MOST_HELD) -> None:
        self.lane = lane
        self.gaps = 0
        """How often something was missing."""
        self.healed = 0
        """Messages that the log had and the bus had not brought."""
        self.held: frozenset[int] = frozenset()
        """The lanes that other workers have."""
        self._most_held = most_held
        self._positions = [[0] * LANES for _ in range(STREAMS)]
        self._ends: dict[tuple[int, int], int] = {}
        self._runs: dict[int, str] = {}
        self._open: dict[int, list[tuple[int, Section]]] = {}
        self._unjoined: set[int] = set()
        self._followed: set[int] = set()
        self._doubts: list[set[int]] = [set() for _ in range(STREAMS)]
        self._reading: Reading | None = None
        self._waiting = 0
        self._floors: dict[int, deque[tuple[int, int]]] = {}
        self._passed_ms = [0] * LANES

    def start(self, safe: Sequence[int], held: Iterable[int]) -> None:
        """What was before these ids is nobody's business here."""
        self._positions = [list(safe) for _ in range(STREAMS)]
        self.held = frozenset(held) - {self.lane}

    def moved(self, lane: int, *, newest: int, given: int) -> None:
        """We have this lane from now on; if it is another one, the one before is like those of others.

        Args:
            newest: up to this message of ours all was delivered here; what follows has to be read.
            given: no id of ours is greater. Of updates nothing has to be read: whoever made one and heard of no
                success makes it again.
        """
        before, self.lane = self.lane, lane
        if lane == before:
            return
        for stream in (NOTIFICATIONS, COMMANDS):
            self._move(stream, before, newest)
            self._doubts[stream].add(before)
        self._move(UPDATES, before, given)

    # --- asked

    @property
    def in_doubt(self) -> bool:
        """Whether the log has to be read."""
        return any(self._doubts)

    @property
    def has_open(self) -> bool:
        """Whether topics that were joined wait for a reading."""
        return any(topic not in self._unjoined for topic in self._open)

    def is_open(self, topics: Iterable[int]) -> bool:
        """Whether any of these topics does not flow yet."""
        return any(topic in self._open for topic in topics)

    def position(self, own: int) -> int:
        """The id up to which nothing can be missing here, of no lane that anybody has.

        Args:
            own: this of our own lane.
        """
        lanes = self.held
        return min([own, *(self._positions[stream][lane] for stream in (NOTIFICATIONS, COMMANDS) for lane in lanes)])

    def passed_ms(self) -> int:
        """The timestamp at or before which nothing can come any more, from no lane that others have. It is behind the
        present by up to a heartbeat, unless they were asked for it."""
        for lane, floors in self._floors.items():
            reached = min(self._positions[stream][lane] for stream in (NOTIFICATIONS, COMMANDS))
            while floors and floors[0][0] <= reached:
                self._passed_ms[lane] = max(self._passed_ms[lane], floors.popleft()[1])
        return min([self._passed_ms[lane] for lane in self.held], default=INT64_MAX)

    def _end(self, lane: int, topic: int) -> int:
        return max(self._ends.get((lane, topic), 0), self._positions[stream_of(topic)][lane])

    # --- fed: what is followed

    def follow(self, topics: Iterable[int]) -> None:
        """These topics are asked for; they flow when they were joined and the log was read."""
        for topic in topics:
            self._followed.add(topic)
            self._unjoined.add(topic)
            self._open.setdefault(topic, [])

    def unfollow(self, topics: Iterable[int]) -> None:
        for topic in topics:
            self._followed.discard(topic)
            self._unjoined.discard(topic)
            self._drop_held(topic)
            self._open.pop(topic, None)

    def joined(self, topics: Iterable[int]) -> None:
        """From now on all that is published on these topics comes; what was published until now has to be read."""
        for topic in topics:
            if topic in self._unjoined:
                self._unjoined.discard(topic)
                self._doubts[stream_of(topic)] |= self.held

    def parted(self) -> None:
        """Nothing comes any more."""
        for topic in self._followed:
            self._drop_held(topic)
            self._open[topic] = []
        self._unjoined = set(self._followed)
        if self._reading is not None:
            self._reading.topics.clear()
        self.doubt(self.held)

    # --- fed: the others

    def renewed(self, held: Iterable[int], safe: Sequence[int]) -> None:
        """Learn which lanes others have, and up to where everything is in the log."""
        before, self.held = self.held, frozenset(held) - {self.lane}
        for lane in before - self.held:
            self._runs.pop(lane, None)
        self.doubt(before - self.held)  # Whoever has gone may have said something before.
        for lane in range(LANES):
            if lane in self.held or lane in before or lane == self.lane:
                continue
            for stream in range(STREAMS):
                if not self._is_doubted(stream, lane):
                    self._move(stream, lane, safe[lane])

    def doubt(self, lanes: Iterable[int]) -> None:
        """Something of these lanes may be missing."""
        lanes = set(lanes) - {self.lane}
        for doubts in self._doubts:
            doubts |= lanes

    def deliver(self, bundle: Bundle) -> Iterator[Item]:
        """Take in a bundle; yields what is to be delivered now. Exhaust it."""
        lane = bundle.lane
        if self._runs.setdefault(lane, bundle.worker) != bundle.worker:
            self._followed_by(lane, bundle.worker)
        for section in bundle.sections:
            topic = section.topic
            if topic not in self._followed:
                continue
            held = self._open.get(topic)
            if held is not None:
                self._hold(held, lane, section)
            else:
                yield from self._join(lane, section)
        if bundle.ends is not None:
            self._told_ends(bundle)

    def _followed_by(self, lane: int, run: str) -> None:
        """Somebody has the lane whose worker was not seen to go: what that one has committed last it may have told
        nobody."""
        self._runs[lane] = run
        self.gaps += 1
        self.doubt([lane])
        for topic in self._followed:
            self._open.setdefault(topic, [])
        if self._reading is not None:
            self._reading.topics.clear()  # It may have passed the place already.

    def _join(self, lane: int, section: Section) -> Iterator[Item]:
        """Deliver a section that joins on to what was heard; otherwise its topic is open from now on."""
        topic, end = section.topic, self._end(lane, section.topic)
        if section.before > end:
            self._missed(lane, topic)
            self._hold(self._open.setdefault(topic, []), lane, section)
            return
        items: Sequence[Item] = section.items
        last = id_of(items[-1])
        if last <= end:
            return
        self._ends[lane, topic] = last
        yield from items if id_of(items[0]) > end else [item for item in items if id_of(item) > end]

    def _told_ends(self, bundle: Bundle) -> None:
        lane = bundle.lane
        for topic, end in (bundle.ends or {}).items():
            if topic in self._followed and topic not in self._open and end > self._end(lane, topic):
                self._missed(lane, topic)
        closed = {stream_of(topic) for topic in self._open}
        for stream in range(STREAMS):
            if stream not in closed and not self._is_doubted(stream, lane):
                self._move(stream, lane, bundle.floor)
        self._floors.setdefault(lane, deque(maxlen=FLOORS)).append((bundle.floor, bundle.floor_ms))

    def _missed(self, lane: int, topic: int) -> None:
        self.gaps += 1
        self._open.setdefault(topic, [])
        self._doubts[stream_of(topic)].add(lane)

    def _hold(self, held: list[tuple[int, Section]], lane: int, section: Section) -> None:
        held.append((lane, section))
        self._waiting += len(section.items)
        if self._waiting > self._most_held:
            self._start_over(section.topic)

    def _start_over(self, topic: int) -> None:
        """Too much came while the log was read: read once more, for what is dropped now."""
        self._drop_held(topic)
        self._doubts[stream_of(topic)] |= self.held
        if self._reading is not None:
            self._reading.topics.discard(topic)

    def _drop_held(self, topic: int) -> None:
        held = self._open.get(topic)
        if held:
            self._waiting -= sum(len(section.items) for _, section in held)
            held.clear()

    def _is_doubted(self, stream: Stream, lane: int) -> bool:
        reading = self._reading
        return lane in self._doubts[stream] or (reading is not None and lane in reading.lanes[stream])

    def _move(self, stream: Stream, lane: int, position: int) -> None:
        positions = self._positions[stream]
        positions[lane] = max(positions[lane], position)

    # --- fed: the log

    def begin(self) -> Reading:
        """Begin to read what is in doubt, each stream in ascending id. :meth:`end` or :meth:`give_up` follows."""
        assert self._reading is None, "one reading at a time"
        lanes, self._doubts = self._doubts, [set() for _ in range(STREAMS)]
        beyond = [tuple(positions) for positions in self._positions]
        self._reading = Reading(lanes, beyond, set(self._open) - self._unjoined)
        return self._reading

    def logged(self, stream: Stream, message_id: int, topic: int) -> bool:
        """The log has this: is it to be delivered?"""
        lane = message_id % LANES
        is_new = message_id > self._end(lane, topic)
        self._move(stream, lane, message_id)
        self.healed += is_new
        return is_new

    def end(self, reading: Reading, safe: Sequence[int]) -> Iterator[Item]:
        """All of it was read; yields what was held and is to be delivered now. Exhaust it.

        Args:
            safe: of each lane, the id up to which everything was in the log before the reading began.
        """
        for stream, lanes in enumerate(reading.lanes):
            for lane in lanes:
                self._move(stream, lane, safe[lane])
        self._reading = None
        for topic in reading.topics:
            held = self._open.pop(topic, None)
            self._waiting -= sum(len(section.items) for _, section in held or ())
            for lane, section in held or ():
                later = self._open.get(topic)
                if later is not None:
                    self._hold(later, lane, section)
                else:
                    yield from self._join(lane, section)

    def give_up(self, reading: Reading) -> None:
        """The log could not be read to its end: everything is in doubt as before."""
        self._reading = None
        for doubts, lanes in zip(self._doubts, reading.lanes, strict=True):
            doubts |= lanes
