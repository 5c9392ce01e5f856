"""What the peers of a cluster were promised and what they got, and what is wrong between the two.

As :mod:`tests.fault.ledger`, for peers that come back to another gateway: what a connection got is kept apart from what
the next one got, for a resume may repeat what is known, and one connection must not.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from protocol.messages import LANES


class Receipt(NamedTuple):
    """A push. ``name`` is the inserter's own mark of the message: no two messages share one."""

    kind: str
    id: int
    device: str
    name: str
    at_s: float


@dataclass(slots=True)
class Insert:
    """A message that somebody wants to insert, again and again until it is acknowledged.

    Attributes:
        sent_s: when it was first sent.
        id: as it was acknowledged at ``acknowledged_s``; 0: it was not.
    """

    kind: str
    device: str
    name: str
    sent_s: float
    id: int = 0
    acknowledged_s: float = 0.0


@dataclass
class Findings:
    """What is wrong; nothing, if all of it is empty.

    Attributes:
        lost: acknowledged, and not received by somebody who had to.
        false_acknowledgements: acknowledged, and not in the log under that id.
        unauthorised: received by somebody who must not.
        inversions: in one connection, after a later message of the same gateway and device.
        out_of_turn: in one connection, after a message that was sent only when this one was acknowledged.
        duplicates: more than once in one connection.
        repeated: names that are in the log more than once, though each carried an idempotency key.
    """

    lost: list[str] = field(default_factory=list)
    false_acknowledgements: list[str] = field(default_factory=list)
    unauthorised: list[str] = field(default_factory=list)
    inversions: list[str] = field(default_factory=list)
    out_of_turn: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self == Findings()


class Mailbox:
    """What one receiver got, connection by connection.

    Args:
        devices: those whose messages it has to get, of these kinds.
    """

    def __init__(self, name: str, kinds: Iterable[str], devices: Iterable[str]) -> None:
        self.name = name
        self.kinds = frozenset(kinds)
        self.devices = frozenset(devices)
        self.connections: list[list[Receipt]] = []
        self._first_s: dict[tuple[str, int], float] = {}

    def __len__(self) -> int:
        return sum(len(receipts) for receipts in self.connections)

    def begin(self) -> None:
        """A new connection."""
        self.connections.append([])

    def put(self, receipt: Receipt) -> None:
        self.connections[-1].append(receipt)
        self._first_s.setdefault((receipt.kind, receipt.id), receipt.at_s)

    def wants(self, insert: Insert) -> bool:
        return insert.kind in self.kinds and insert.device in self.devices

    def received_s(self, insert: Insert) -> float | None:
        """When it first got an acknowledged message."""
        return self._first_s.get((insert.kind, insert.id))


class Record:
    """The inserts of everybody, and the mailboxes."""

    def __init__(self) -> None:
        self.inserts: dict[str, Insert] = {}
        self.acknowledged: list[Insert] = []
        self.mailboxes: list[Mailbox] = []

    def send(self, insert: Insert) -> None:
        self.inserts[insert.name] = insert

    def acknowledge(self, name: str, message_id: int, at_s: float) -> None:
        insert = self.inserts[name]
        if not insert.id:
            insert.id, insert.acknowledged_s = message_id, at_s
            self.acknowledged.append(insert)

    def missing(self, mailbox: Mailbox) -> Iterator[Insert]:
        for insert in self.acknowledged:
            if mailbox.wants(insert) and mailbox.received_s(insert) is None:
                yield insert

    def lags_s(self, *, since_s: float = 0.0, until_s: float = float("inf")) -> list[float]:
        """Of what was acknowledged between two moments: how long after that each receiver had it."""
        return [
            max(0.0, at_s - insert.acknowledged_s)
            for mailbox in self.mailboxes
            for insert in self.acknowledged
            if since_s <= insert.acknowledged_s < until_s and mailbox.wants(insert)
            for at_s in [mailbox.received_s(insert)]
            if at_s is not None
        ]

    def findings(self, log: Mapping[str, Set[int]]) -> Findings:
        """Compare everything.

        Args:
            log: the ids that each name has in the log.
        """
        found = Findings()
        for insert in self.acknowledged:
            if insert.id not in log.get(insert.name, ()):
                found.false_acknowledgements.append(f"{insert.name} {insert.id}")
        found.repeated += [f"{name} {sorted(ids)}" for name, ids in log.items() if len(ids) > 1]
        for mailbox in self.mailboxes:
            found.lost += [f"{mailbox.name} {insert.name} {insert.id}" for insert in self.missing(mailbox)]
            for number, receipts in enumerate(mailbox.connections):
                self._check(f"{mailbox.name}/{number}", mailbox, receipts, found)
        return found

    def _check(self, where: str, mailbox: Mailbox, receipts: Iterable[Receipt], found: Findings) -> None:
        there: set[tuple[str, int]] = set()
        last: dict[tuple[str, str, int], int] = {}
        newest: dict[tuple[str, str], tuple[float, int]] = {}
        for one in receipts:
            if one.kind not in mailbox.kinds or one.device not in mailbox.devices:
                found.unauthorised.append(f"{where} {one}")
                continue
            if (one.kind, one.id) in there:
                found.duplicates.append(f"{where} {one}")
                continue
            there.add((one.kind, one.id))
            lane = (one.kind, one.device, one.id % LANES)
            if one.id < last.get(lane, 0):
                found.inversions.append(f"{where} {one} after {last[lane]}")
            last[lane] = one.id
            self._check_turn(where, one, newest, found)

    def _check_turn(
        self, where: str, one: Receipt, newest: dict[tuple[str, str], tuple[float, int]], found: Findings
    ) -> None:
        insert = self.inserts.get(one.name)
        if insert is None or insert.id != one.id:
            return
        stream = (one.kind, one.device)
        sent_s, before = newest.get(stream, (0.0, 0))
        if insert.acknowledged_s < sent_s:
            found.out_of_turn.append(f"{where} {one} after {before}")
        newest[stream] = max((sent_s, before), (insert.sent_s, one.id))


def percentile(values: Iterable[float], share: float) -> float:
    """The value that so great a share is not above; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
