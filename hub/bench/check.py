"""Whether everything arrives, once and in order, at a cost below that of sending it.

All readers of a topic receive the same messages, usually in the same order. So the order is kept once
(:class:`Order`), and what a reader gets is compared with its next part in one comparison of lists. A reader that gets
something else leaves the common order and is from then on looked at message by message. Nothing here knows how
messages travel: tokens go in (:mod:`hub.bench.token`), counts come out.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hub.bench.times import Times
from hub.bench.token import read

Tokens = list[tuple[bytes]]
"""As ``Struct.iter_unpack`` makes them: one-tuples."""

ORDER_MAX = 500_000
"""Messages that an order remembers, 150 bytes each. A reader that is further behind leaves the order."""
ORDER_TRIM = 20_000
MISSING_MAX = 10_000
"""Missing messages that a reader remembers by number, to tell a late one from a repeated one."""


@dataclass(slots=True)
class Faults:
    """What went wrong at one or many readers, in messages."""

    lost: int = 0
    repeated: int = 0
    reordered: int = 0

    def add(self, other: "Faults") -> None:
        self.lost += other.lost
        self.repeated += other.repeated
        self.reordered += other.reordered

    def __bool__(self) -> bool:
        return bool(self.lost or self.repeated or self.reordered)


@dataclass(slots=True)
class Sequence:
    """The messages of one publisher at one reader: which number comes next, and which were passed over."""

    next: int = 0
    missing: set[int] = field(default_factory=set)

    def take(self, number: int, faults: Faults) -> int:
        """Note a message. Returns by how many messages the reader has advanced."""
        ahead = number - self.next
        if ahead >= 0:
            faults.lost += ahead
            room = MISSING_MAX - len(self.missing)
            self.missing.update(range(self.next, min(number, self.next + room)))
            self.next = number + 1
            return ahead + 1
        if number in self.missing:
            self.missing.remove(number)
            faults.lost -= 1
            faults.reordered += 1
        else:
            faults.repeated += 1
        return 0


class Order:
    """The messages of a topic, in the order in which the first reader of each got it.

    Attributes:
        floor: how many messages every reader has, the slowest included.
        on_floor: called when that has grown, with how much.
    """

    def __init__(self, on_floor: Callable[[int], None] | None = None) -> None:
        self.tokens: Tokens = []
        self.times_us: list[int] = []
        self.base = 0
        self.floor = 0
        self.on_floor = on_floor
        self._next: dict[int, int] = {}
        self._next_at_base: dict[int, int] = {}
        self._standing: defaultdict[int, int] = defaultdict(int)
        self._readers: list[Reader] = []

    @property
    def end(self) -> int:
        return self.base + len(self.tokens)

    def join(self, reader: "Reader") -> None:
        """A reader begins at the beginning."""
        self._readers.append(reader)
        self._standing[0] += 1

    def part(self, position: int, until: int) -> Tokens:
        return self.tokens[position - self.base : until - self.base]

    def learn(self, token: bytes) -> bool:
        """Append a message, where it is the next of its publisher."""
        parts = read(token)
        if parts is None or parts.number != self._next.get(parts.publisher, 0):
            return False
        self._next[parts.publisher] = parts.number + 1
        self.tokens.append((token,))
        self.times_us.append(parts.time_us)
        return True

    def sequences(self, position: int) -> dict[int, Sequence]:
        """What a reader that has come to a position expects."""
        expected = dict(self._next_at_base)
        for (token,) in self.part(self.base, position):
            _count(expected, token)
        return {publisher: Sequence(number) for publisher, number in expected.items()}

    def moved(self, before: int, after: int) -> None:
        """A reader has advanced."""
        standing = self._standing
        standing[after] += 1
        left = standing[before] - 1
        if left:
            standing[before] = left
        else:
            del standing[before]
            if before == self.floor:
                self._raise_floor()

    def leave(self, reader: "Reader") -> None:
        """A reader is gone; nobody waits for it any more."""
        self._readers.remove(reader)
        position = reader.position
        self._standing[position] -= 1
        if not self._standing[position]:
            del self._standing[position]
            if position == self.floor and self._standing:
                self._raise_floor()

    def _raise_floor(self) -> None:
        standing, floor = self._standing, self.floor + 1
        while floor not in standing:
            floor += 1
        risen, self.floor = floor - self.floor, floor
        if self.on_floor is not None:
            self.on_floor(risen)

    def tidy(self) -> None:
        """Forget what every reader has; and where somebody is too far behind, more than that. To be called at times."""
        cut = max(min(self.floor, self.end) - self.base, len(self.tokens) - ORDER_MAX)
        if cut < ORDER_TRIM:
            return
        for reader in self._readers:
            reader.before_cut(self.base + cut)
        for (token,) in self.tokens[:cut]:
            _count(self._next_at_base, token)
        del self.tokens[:cut], self.times_us[:cut]
        self.base += cut


def _count(expected: dict[int, int], token: bytes) -> None:
    expected[int(token[1:6])] = int(token[7:17]) + 1


class Reader:
    """What one subscriber gets of a topic.

    Attributes:
        position: how many messages it has, lost ones included.
        delivered: how many messages came, repeated ones included.
    """

    __slots__ = ("_every", "_lenient", "_order", "_rotation", "_times", "delivered", "faults", "position", "sequences")

    def __init__(self, order: Order, times: Times, *, every: bool = True, lenient: bool = False) -> None:
        """Begin to read.

        Args:
            order: of the topic.
            times: where latencies are counted.
            every: count each message's latency; otherwise that of one message of a chunk, its place rotating, for all.
            lenient: the subscriber comes in the middle: the first message of each publisher that it gets is its first.
        """
        self._order = order
        self._times = times
        self._every = every
        self._lenient = lenient
        self._rotation = 0
        self.position = 0
        self.delivered = 0
        self.faults = Faults()
        self.sequences: dict[int, Sequence] | None = {} if lenient else None
        if not lenient:
            order.join(self)

    @property
    def strays(self) -> bool:
        """Whether it is looked at message by message."""
        return self.sequences is not None

    def take(self, got: Tokens, now_us: int) -> bool:
        """Note what came at once. Returns False, and notes nothing, when these are no tokens."""
        if self.sequences is not None:
            return self._stray(got, now_us)
        order, position, count = self._order, self.position, len(got)
        begin = position - order.base
        end = begin + count
        if order.tokens[begin:end] != got and not self._lead(got):
            return self._leave(got, now_us)
        self.position = position + count
        self.delivered += count
        raw = self._times.raw
        if count == 1:
            raw[now_us - order.times_us[begin]] += 1
        elif self._every:
            for time_us in order.times_us[begin:end]:
                raw[now_us - time_us] += 1
        else:
            self._rotation += 1
            raw[now_us - order.times_us[begin + self._rotation % count]] += count
        order.moved(position, position + count)
        return True

    def count(self, number: int, token: bytes, now_us: int) -> None:
        """Note so many messages without a look at them but at one of them."""
        before = self.position
        self.position += number
        self.delivered += number
        self._times.raw[now_us - int(token[18:34])] += number
        if not self._lenient:
            self._order.moved(before, self.position)

    def _lead(self, got: Tokens) -> bool:
        """Whether this reader is simply the first to get the last of these messages; the order then knows them."""
        order = self._order
        known = order.end - self.position
        if not 0 <= known < len(got) or order.part(self.position, order.end) != got[:known]:
            return False
        return all(order.learn(token) for (token,) in got[known:])

    def _leave(self, got: Tokens, now_us: int) -> bool:
        """Leave the common order: what came is not what comes next."""
        if any(read(token) is None for (token,) in got):
            return False
        self.sequences = self._order.sequences(self.position)
        return self._stray(got, now_us)

    def _stray(self, got: Tokens, now_us: int) -> bool:
        parts = [read(token) for (token,) in got]
        before = self.position
        for part in parts:
            if part is None:
                return False
            self.position += self._sequence(part.publisher, part.number).take(part.number, self.faults)
            self._times.raw[now_us - part.time_us] += 1
        self.delivered += len(got)
        if self.position != before and not self._lenient:
            self._order.moved(before, self.position)
        return True

    def _sequence(self, publisher: int, number: int) -> Sequence:
        assert self.sequences is not None, "it strays"
        sequence = self.sequences.get(publisher)
        if sequence is None:
            sequence = self.sequences[publisher] = Sequence(number if self._lenient else 0)
        return sequence

    def end(self) -> None:
        """Nobody waits for this reader any more."""
        if not self._lenient:
            self._order.leave(self)

    def before_cut(self, position: int) -> None:
        """The order is about to forget what comes before a position."""
        if self.sequences is None and self.position < position:
            self.sequences = self._order.sequences(self.position)

    def missing(self, published: Mapping[int, int]) -> int:
        """How many messages have not come yet, of so many that were published by each of the topic's publishers."""
        if self.sequences is None:
            return sum(published.values()) - self.position
        return sum(
            max(0, count - self._next(publisher)) for publisher, count in published.items() if self._knows(publisher)
        )

    def _knows(self, publisher: int) -> bool:
        return not self._lenient or publisher in (self.sequences or {})

    def _next(self, publisher: int) -> int:
        assert self.sequences is not None, "it strays"
        sequence = self.sequences.get(publisher)
        return 0 if sequence is None else sequence.next

    def finish(self, published: Mapping[int, int]) -> Faults:
        """The verdict: faults so far, and what has not come by now as lost."""
        total = Faults(self.missing(published))
        total.add(self.faults)
        return total
