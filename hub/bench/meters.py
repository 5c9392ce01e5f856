"""What a load process counts, and how it tells: small records that travel through its pipe."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hub.bench.check import Faults, Reader
from hub.bench.times import Times
from hub.bench.token import now_us

Published = dict[int, tuple[int, int]]
"""Of each publisher: how many messages it sent, and how many of these the hub refused."""
Counts = dict[int, int]
"""Microseconds to how often."""


@dataclass(slots=True)
class Tally:
    """Counts since the beginning; of two, the difference is what happened in between."""

    deliveries: int = 0
    messages: int = 0
    acknowledged: int = 0
    errors: int = 0

    def since(self, earlier: "Tally") -> "Tally":
        return Tally(
            self.deliveries - earlier.deliveries,
            self.messages - earlier.messages,
            self.acknowledged - earlier.acknowledged,
            self.errors - earlier.errors,
        )

    def add(self, other: "Tally") -> None:
        self.deliveries += other.deliveries
        self.messages += other.messages
        self.acknowledged += other.acknowledged
        self.errors += other.errors


@dataclass(slots=True)
class Span:
    """Something that happened often, from its first beginning to its last end."""

    count: int = 0
    first_us: int = 0
    last_us: int = 0

    def note(self, begin_us: int, end_us: int) -> None:
        self.first_us = min(self.first_us or begin_us, begin_us)
        self.last_us = max(self.last_us, end_us)
        self.count += 1

    def join(self, other: "Span") -> None:
        if other.count:
            self.first_us = min(self.first_us or other.first_us, other.first_us)
            self.last_us = max(self.last_us, other.last_us)
            self.count += other.count


# --- what travels -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """So many more sockets are in."""

    count: int


@dataclass(frozen=True, slots=True)
class Connected:
    """All who could have come in: how many of each role."""

    roles: dict[str, int]
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Second:
    """A second has passed: its number from 1 on, its end since the beginning of measuring, what happened in it."""

    number: int
    at_s: float
    tally: Tally
    connections: int
    latency: Counts


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing more is sent."""

    published: Published


@dataclass(frozen=True, slots=True)
class Finished:
    """All that a load process has found out."""

    tally: Tally
    wall_s: float
    cpu_s: float
    faults: Faults
    errors: dict[str, int]
    latencies: dict[str, Counts]
    spans: dict[str, Span]
    facts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Broken:
    """The process cannot go on."""

    text: str


Told = Progress | Connected | Second | Stopped | Finished | Broken


@dataclass(frozen=True, slots=True)
class Start:
    """Begin at a microsecond of CLOCK_MONOTONIC."""

    at_us: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Send nothing more; measuring ends now."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Everybody has stopped; what all of them have published is what has to arrive."""

    published: Published


# --- counting ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Meters:
    """The counters of a load process.

    Attributes:
        main: the latency that seconds tell of.
        results: deliveries that no reader counts.
        readers: with the publishers whose messages they should get; None: all of them.
    """

    main: str
    times: defaultdict[str, Times] = field(default_factory=lambda: defaultdict(Times))
    sent: int = 0
    acknowledged: int = 0
    results: int = 0
    connections: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    spans: defaultdict[str, Span] = field(default_factory=lambda: defaultdict(Span))
    facts: dict[str, float] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    readers: dict[Reader, int | None] = field(default_factory=dict)
    _begun: Tally | None = None
    _ended: Tally | None = None
    _told: Tally = field(default_factory=Tally)
    _cpu_s: float = 0.0
    _wall_s: float = 0.0

    def tally(self) -> Tally:
        delivered = sum(reader.delivered for reader in self.readers)
        return Tally(self.results + delivered, self.sent, self.acknowledged, self.errors.total())

    def begin(self) -> None:
        """The warm-up is over: what was counted so far does not count."""
        for times in self.times.values():
            times.clear()
        self._begun = self._told = self.tally()
        self._cpu_s, self._wall_s = time.process_time(), time.perf_counter()

    def second(self, number: int, at_s: float) -> Second:
        """What happened since the last time."""
        before, self._told = self._told, self.tally()
        latest = {name: times.fold() for name, times in self.times.items()}
        return Second(number, at_s, self._told.since(before), self.connections, latest.get(self.main, {}))

    def end(self) -> None:
        """Measuring is over; what arrives from now on is checked, and its latency counted, but no rate."""
        if self._begun is None:
            self.begin()
        if self._ended is None:
            self._ended = self.tally()
            self._cpu_s = time.process_time() - self._cpu_s
            self._wall_s = time.perf_counter() - self._wall_s

    def retire(self, reader: Reader) -> None:
        """A subscriber is gone; what it had counts, what was still to come does not."""
        if reader in self.readers:
            del self.readers[reader]
            self.results += reader.delivered
            self.faults.add(reader.faults)
            reader.end()

    def missing(self, published: Published) -> int:
        """How much of it has not arrived yet, at all readers together."""
        return sum(max(0, reader.missing(due) - refused) for reader, due, refused in self._owed(published))

    def _owed(self, published: Published) -> Iterator[tuple[Reader, Mapping[int, int], int]]:
        """Each reader with what it should get, and how much of that the hub refused."""
        everything = {number: count for number, (count, _) in published.items()}
        refused = sum(refused for _, refused in published.values())
        for reader, publisher in self.readers.items():
            if publisher is None:
                yield reader, everything, refused
            else:
                own = published.get(publisher, (0, 0))
                yield reader, {publisher: own[0]}, own[1]

    def finish(self, published: Published) -> Finished:
        """Everything, with what has not come by now as lost."""
        self.end()
        assert self._ended is not None, "it has just been set"
        assert self._begun is not None, "it was set before"
        for reader, due, refused in self._owed(published):
            found = reader.finish(due)
            found.lost = max(0, found.lost - refused)
            self.faults.add(found)
        return Finished(
            self._ended.since(self._begun),
            self._wall_s,
            self._cpu_s,
            self.faults,
            dict(self.errors),
            {name: times.counts() for name, times in self.times.items()},
            dict(self.spans),
            self.facts,
        )

    def waited(self, name: str, since_us: int) -> None:
        """Count a latency that ends now."""
        self.times[name].add(now_us() - since_us)
