"""Replay: a subscription's history joined to its live stream without gap and without duplicate.

The order of things is what makes it exact: the subscription is registered first and holds what comes live; then the log
is read, page by page; what was read and what was held are merged by id; then it flows. A message that was committed
before the registration is in the log by the time it is read; one committed later is held; one that is in both is sent
once.
"""

from collections.abc import Sequence

from hub.core.subscription import Published, Subscription


class Replay:
    """The joining of one subscription. Feed it pages with :meth:`accept`, then :meth:`join` it to the live stream.

    Args:
        subscription: registered, and holding.
    """

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        # Whatever is newer than what had been published when the subscription was registered may come live as well.
        self._position = subscription.position
        self._border: set[int] = set()

    @property
    def remembered(self) -> int:
        """How many messages it has sent that may still come live."""
        return len(self._border)

    def accept(self, page: Sequence[Published]) -> list[Published]:
        """What of a page is to be sent now: visible, wanted, and not sent before."""
        fresh = [one for one in page if self._subscription.admits(one) and one.message.id not in self._border]
        self._border.update(one.message.id for one in fresh if one.message.id > self._position)
        return fresh

    def overrun(self, position: int) -> bool:
        """Whether more came live than could be held; the log has it, so read on. Asking clears it.

        Call ``FanOut.settle`` first: what came in this turn is otherwise not among what is held, nor in :meth:`join`.

        Args:
            position: as in :meth:`join`. Of what is older, only what is held can meet what is read, so the rest is
                forgotten: what has to be remembered is bounded by what may be held, however long the log is.
        """
        overrun, self._subscription.overrun = self._subscription.overrun, False
        if overrun:
            held = self._subscription.held or ()
            self._position = min([position, *(one.message.id - 1 for one in held)])
            self._border = {message_id for message_id in self._border if message_id > self._position}
        return overrun

    def join(self, position: int) -> None:
        """Prepare the subscription to flow: of what it holds, leave what was not sent yet, in order.

        Call ``FanOut.release`` next.

        Args:
            position: the id of the newest message that has been published by now. What was read and is newer still
                comes live, later; the subscription skips it then.
        """
        held = self._subscription.held or []
        held_ids = {one.message.id for one in held}
        rest = [one for one in held if one.message.id not in self._border]
        self._subscription.held = sorted(rest, key=lambda one: one.message.id)
        to_come = {message_id for message_id in self._border - held_ids if message_id > position}
        self._subscription.skip = to_come or None
