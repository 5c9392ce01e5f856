"""The ledger: what producers were promised, what receivers got, and what is wrong between the two.

Producers append what was acknowledged to them, after the answer; receivers append every receipt. Nothing here knows a
hub: the checks are plain comparisons.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Fact:
    """A message as a peer knows it. ``name`` is the producer's own mark of it: no two messages share one."""

    id: int
    device: str
    timestamp: str
    name: str


@dataclass(frozen=True)
class Verdict:
    """What is wrong; nothing, if all of it is empty.

    Attributes:
        lost: acknowledged, and never received.
        duplicates: received more than once.
        inversions: received after a later message of the same device.
        false_acknowledgements: acknowledged, and not in the log.
        reissued: ids that stand for two different messages.
    """

    lost: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    inversions: list[tuple[int, int]] = field(default_factory=list)
    false_acknowledgements: list[int] = field(default_factory=list)
    reissued: list[int] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return self == Verdict()


class Ledger:
    """The acknowledgements of all producers, and the receipts of each receiver."""

    def __init__(self) -> None:
        self.acknowledged: list[Fact] = []
        self._receipts: dict[str, list[Fact]] = {}

    def acknowledge(self, fact: Fact) -> None:
        self.acknowledged.append(fact)

    def receive(self, receiver: str, fact: Fact) -> None:
        self.received(receiver).append(fact)

    def received(self, receiver: str) -> list[Fact]:
        return self._receipts.setdefault(receiver, [])

    def missing(self, receiver: str, devices: Iterable[str]) -> list[int]:
        """Ids of what was acknowledged for these devices and has not reached this receiver."""
        there, wanted = {fact.id for fact in self.received(receiver)}, set(devices)
        return [fact.id for fact in self.acknowledged if fact.device in wanted and fact.id not in there]

    def check(self, receiver: str, devices: Iterable[str]) -> Verdict:
        """Compare what a receiver of these devices got with what was promised."""
        receipts = self.received(receiver)
        return Verdict(
            lost=self.missing(receiver, devices),
            duplicates=repeated(fact.id for fact in receipts),
            inversions=inversions(receipts),
            reissued=self._reissued(receipts),
        )

    def check_log(self, stored: Iterable[int]) -> Verdict:
        """Compare the ids in the log with what was promised."""
        ids = list(stored)
        there = set(ids)
        return Verdict(
            duplicates=repeated(ids),
            false_acknowledgements=[fact.id for fact in self.acknowledged if fact.id not in there],
            reissued=repeated(fact.id for fact in self.acknowledged),
        )

    def _reissued(self, receipts: list[Fact]) -> list[int]:
        names = {fact.id: fact.name for fact in self.acknowledged}
        return [fact.id for fact in receipts if names.get(fact.id, fact.name) != fact.name]


def repeated(ids: Iterable[int]) -> list[int]:
    return [number for number, times in Counter(ids).items() if times > 1]


def inversions(receipts: Iterable[Fact]) -> list[tuple[int, int]]:
    """Pairs of neighbours of one device that came in the wrong order, by id or by timestamp."""
    last: dict[str, Fact] = {}
    wrong = []
    for fact in receipts:
        before = last.get(fact.device)
        if before is not None and (fact.id <= before.id or fact.timestamp < before.timestamp):
            wrong.append((before.id, fact.id))
        last[fact.device] = fact
    return wrong
