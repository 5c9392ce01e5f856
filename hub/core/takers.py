"""Takers: the subscriptions that were made as a device and take its commands. What one of them got, the device has got.

The fan-out says what it routes (:meth:`Takers.expect`) and what it gives to single subscriptions (:meth:`Takers.took`);
the gateway asks at the end of the turn what was taken.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from hub.core.subscription import Published, Subscription
from protocol.messages import Command, Message
from protocol.names import Overflow

if TYPE_CHECKING:
    from hub.core.connection import Connection

Taken = tuple["Connection", Command]


class Takers:
    """The takers of one worker, by the row of their device."""

    def __init__(self) -> None:
        self._of: dict[int, dict[Subscription, None]] = {}
        self.expected: list[Published] = []
        """Commands of such devices, routed in this turn: if there are any, :meth:`settle`, whoever has got them."""
        self.taken: list[Taken] = []
        """Commands that were given to their devices' own connections since :meth:`take_taken`. What is in an outbox and
        is not refused by its limit is written in this turn."""

    @property
    def devices(self) -> Collection[int]:
        """The devices that have any."""
        return self._of.keys()

    def of(self, device_id: int) -> Collection[Subscription]:
        """Those of one device."""
        return self._of.get(device_id, ())

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left behind."""
        return not (self._of or self.expected)

    def add(self, subscription: Subscription) -> None:
        """A subscription was made; if it is not a device's own, nothing is remembered."""
        if (device_id := subscription.takes_for) is not None:
            self._of.setdefault(device_id, {})[subscription] = None

    def remove(self, subscription: Subscription) -> None:
        """It has ended. Idempotent."""
        device_id = subscription.takes_for
        if device_id is None or device_id not in self._of:
            return
        self._of[device_id].pop(subscription, None)
        if not self._of[device_id]:
            del self._of[device_id]

    # --- fed: what they get

    def expect(self, published: Published) -> None:
        """A command is routed in this turn."""
        if published.message.device_id in self._of:
            self.expected.append(published)

    def forget(self, command_id: int) -> None:
        """It goes to nobody after all."""
        self.expected = [one for one in self.expected if one.message.id != command_id]

    def settle(self) -> None:
        """The turn is delivered: note what goes straight to takers. What is held or deferred is noted when it goes."""
        expected, self.expected = self.expected, []
        for published in expected:
            for subscription in self.of(published.message.device_id):
                if _flows(subscription, published):
                    self.took(subscription, [published.message])

    def took(self, subscription: Subscription, messages: Iterable[Message]) -> None:
        """A subscription is given these."""
        if subscription.takes_for is not None:
            connection = subscription.connection
            self.taken += [(connection, one) for one in messages if isinstance(one, Command)]

    # --- asked

    def take_taken(self) -> list[Taken]:
        """What was taken, for somebody who goes on from here."""
        taken, self.taken = self.taken, []
        return taken


def _flows(subscription: Subscription, published: Published) -> bool:
    """Whether a message goes to a subscription as it is routed."""
    return (
        subscription.held is None
        and subscription.overflow is Overflow.DISCONNECT
        and published.message.id not in (subscription.skip or ())
        and subscription.admits(published)
    )
