"""The bus: messages to other workers. It only makes them fast; the log is what nothing gets lost in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.messages import Command, Message


@dataclass(slots=True, frozen=True)
class Placed:
    """A message with the place of its device, so that a worker can route it without asking its database."""

    message: Message
    network_id: int | None
    groups: tuple[int, ...] = ()


@dataclass(slots=True, frozen=True)
class Bundle:
    """What one worker tells the others at the end of a turn.

    Attributes:
        messages: committed messages, in the order of their ids.
        updates: commands that were updated, for whoever inserted them.
        revision: of the newest change of an entity, when any was made; receivers look what it was.
    """

    messages: Sequence[Placed] = ()
    updates: Sequence[Command] = ()
    revision: int | None = None


class Bus(Protocol):
    """Between workers. At most once, in order per sender, never back to the sender.

    A receiver that may have missed something reads the log; nothing here is repeated or acknowledged.
    """

    @property
    def alone(self) -> bool:
        """Whether there is nobody to tell; then bundles need not even be made."""
        ...

    async def open(self, deliver: Callable[[Bundle], None]) -> None:
        """Join; ``deliver`` is called on the loop with each bundle of another worker."""

    async def close(self) -> None:
        """Leave. Calling it twice is harmless."""

    def publish(self, bundle: Bundle) -> None:
        """Tell the other workers. Never blocks and never raises: what cannot be sent is found in the log."""
