"""Audiences: the subscribers of one bucket whose sockets can be written to together."""

from array import array
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hub.core.subscription import Subscription

TOGETHER_FROM = 8
"""Fewer subscribers than this are served one by one: preparing what they share would cost more than it saves."""


class Audience:
    """Subscriptions of one bucket and codec, each the only one of its connection, in arrays that a write can walk.

    Whoever stands here gets, in a turn in which the bucket has messages, those messages and nothing else: so the bytes
    differ by the head alone, and no object of the connection has to be touched to write them.

    Attributes:
        lines: of each subscriber, the line of its connection (:attr:`hub.core.connection.Connection.line`).
        heads: of each subscriber, the head of its pushes, all of the same length, one behind the other.
    """

    __slots__ = ("heads", "lines", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: list[Subscription] = []
        self.lines = array("i")
        self.heads = bytearray()

    def __len__(self) -> int:
        return len(self.subscriptions)

    def takes(self, subscription: "Subscription") -> bool:
        """Whether a subscription's head is as long as those of the others, as all of a kind and codec are."""
        return not self.subscriptions or len(self.subscriptions[0].head) == len(subscription.head)

    def add(self, subscription: "Subscription") -> None:
        """Put a subscription behind the others. Not one that stands here already."""
        subscription.seat = len(self.subscriptions)
        self.subscriptions.append(subscription)
        self.lines.append(subscription.connection.line)
        self.heads += subscription.head

    def remove(self, subscription: "Subscription") -> None:
        """Take a subscription out; the last one gets its seat."""
        seat, size = subscription.seat, len(subscription.head)
        subscription.seat = -1
        last = self.subscriptions.pop()
        line = self.lines.pop()
        at = len(self.heads) - size
        head = self.heads[at:]
        del self.heads[at:]
        if last is not subscription:
            last.seat = seat
            self.subscriptions[seat] = last
            self.lines[seat] = line
            self.heads[seat * size : (seat + 1) * size] = head


class Share(NamedTuple):
    """What a whole audience gets this turn: ``head.join(segments)``, to each with its own head.

    Attributes:
        seats: how many of the audience get it: whoever has come since sits behind them.
    """

    audience: Audience
    seats: int
    segments: list[bytes]

    def payload(self, seat: int) -> bytes:
        """The bytes of one of them."""
        return self.audience.subscriptions[seat].head.join(self.segments)
