"""Limits in general: how often each was reached, and who has to go when all together are too much."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from protocol.errors import HubError

T = TypeVar("T")


class Tally(Counter[str]):
    """How often each limit was reached, by its name: that of its setting, in kebab case."""

    def note(self, detail: Mapping[str, Any] | None) -> None:
        """Count what an error or a close says about itself, if it says that a limit was the reason."""
        name = detail.get("limit") if detail else None
        if name is not None:
            self[str(name)] += 1

    def refused(self, error: HubError) -> None:
        """Count an error."""
        self.note(error.detail)


def heaviest(sizes: Iterable[tuple[T, int]], excess: int) -> list[T]:
    """The largest, as few as have this much together; all of them when that is not enough."""
    found: list[T] = []
    for one, size in sorted(sizes, key=lambda pair: pair[1], reverse=True):
        if excess <= 0:
            break
        found.append(one)
        excess -= size
    return found
