"""What the Autobahn reports of two servers say: where one does worse than it may."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

RANKS = {"OK": 0, "INFORMATIONAL": 0, "NON-STRICT": 1, "UNIMPLEMENTED": 2}
"""How bad a result is. Anything else, such as FAILED, WRONG CODE, UNCLEAN, is as bad as it gets."""
WORST = 3

NON_STRICT = ["3.2", "3.3", "4.1.3", "4.1.4", "4.2.3", "4.2.4", "5.15", "6.4.1", "6.4.2", "6.4.3", "6.4.4"]
ALLOWED = dict.fromkeys(NON_STRICT, 1) | {"7.1.5": WORST}
"""The worst rank of cases in which ``websockets``, which does the rare frames for us, may deviate."""

Cases = Mapping[str, Mapping[str, str]]
"""Of one server: results by the case's number, as in the report's ``index.json``."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """A case in which one of the two servers is less than perfect; ``bad`` if ours does worse than it may."""

    case: str
    ours: str
    theirs: str
    bad: bool

    def __str__(self) -> str:
        return f"{self.case:8}{self.ours:32}{self.theirs:32}{'WORSE' if self.bad else ''}".rstrip()


def deviations(ours: Cases, theirs: Cases) -> Iterator[Deviation]:
    """Compare; a case that was not run with both is bad."""
    for case in sorted(ours.keys() | theirs.keys(), key=_by_numbers):
        our, their = _rank(ours, case), _rank(theirs, case)
        if our or their:
            bad = our > max(their, ALLOWED.get(case, 0)) or case not in ours or case not in theirs
            yield Deviation(case, _told(ours, case), _told(theirs, case), bad)


def _by_numbers(case: str) -> list[int]:
    return [int(number) for number in case.split(".")]


def _rank(cases: Cases, case: str) -> int:
    found = cases.get(case, {})
    return max(RANKS.get(found.get(one, ""), WORST) for one in ("behavior", "behaviorClose"))


def _told(cases: Cases, case: str) -> str:
    found = cases.get(case)
    if found is None:
        return "not run"
    behavior, close = found["behavior"], found["behaviorClose"]
    return behavior if behavior == close else f"{behavior}, close: {close}"
