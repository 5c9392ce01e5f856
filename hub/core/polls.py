"""Long polls: what an answer has, so that the next one neither misses nor repeats anything.

A client goes on from the largest timestamp that it has got, its *border*, and timestamps are milliseconds. So an answer
has all that there is up to its border: nothing stamped at or before it may come later. A poll is registered first and
holds what comes live; then the log is read; of both together the oldest are chosen, and that decides the border.
Whoever answers then sees to it that nothing else can come up to there (:meth:`hub.core.stamps.Stamper.pass_by`, and
waiting for what is stamped already), takes what has come meanwhile, and answers with all of it.
"""

from collections.abc import Container, Iterable

from hub.core.subscription import Published, Subscription
from protocol.messages import Message

MOST = 100
"""How many messages an answer has, unless more share its last millisecond."""


class Gathered:
    """What one poll has found. Feed it pages of the log, and from time to time :meth:`collect`; ask for its border, and
    then for the messages up to it.

    Args:
        subscription: registered, and holding.
        newer_than_ms: only timestamps after this one; None: any.
        cancelled: ids of commands that are left out, also those that are cancelled later.
    """

    __slots__ = ("_cancelled", "_found", "_most", "_newer_than_ms", "_subscription")

    def __init__(
        self,
        subscription: Subscription,
        *,
        newer_than_ms: int | None,
        most: int = MOST,
        cancelled: Container[int] = (),
    ) -> None:
        self._cancelled = cancelled
        self._subscription = subscription
        self._newer_than_ms = newer_than_ms
        self._most = most
        self._found: dict[int, Published] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, published: Iterable[Published]) -> None:
        """Take in a page of the log, or whatever else was found; what is known already or not newer is passed over."""
        for one in published:
            message = one.message
            if self._newer_than_ms is None or message.timestamp_ms > self._newer_than_ms:
                self._found.setdefault(message.id, one)

    def collect(self) -> None:
        """Take what the subscription holds. Call ``FanOut.settle`` first."""
        self.add(self._subscription.take_held())

    def border(self, expiry_ms: int | None) -> int | None:
        """The timestamp that an answer would end with; None: there is nothing to answer. What is in no answer
        that ends there is forgotten: the log has it.

        Args:
            expiry_ms: commands that have expired by then are left out; None: lifetimes do not count.
        """
        due = {number: one for number, one in self._found.items() if self._is_due(one, expiry_ms)}
        times = sorted(one.message.timestamp_ms for one in due.values())
        border_ms = times[min(self._most, len(times)) - 1] if times else None
        self._found = {
            number: one for number, one in due.items() if border_ms is None or one.message.timestamp_ms <= border_ms
        }
        return border_ms

    @property
    def is_full(self) -> bool:
        """Whether there is no room for what is later than the border. Ask for that first."""
        return len(self._found) >= self._most

    def up_to(self, border_ms: int, expiry_ms: int | None) -> list[Message]:
        """The answer: everything up to the border, oldest first."""
        due = [one.message for one in self._found.values() if self._is_due(one, expiry_ms)]
        return sorted((one for one in due if one.timestamp_ms <= border_ms), key=_time)

    def _is_due(self, one: Published, expiry_ms: int | None) -> bool:
        is_over = one.message.id in self._cancelled or (expiry_ms is not None and one.message.expired(expiry_ms))
        return self._subscription.admits(one) and not is_over


def _time(message: Message) -> tuple[int, int]:
    return message.timestamp_ms, message.id
