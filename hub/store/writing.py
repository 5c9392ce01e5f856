"""What is written to a store: each kind of write, and what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from protocol.messages import STAYS, Command, CommandPatch, Message, Moves

if TYPE_CHECKING:
    from hub.store.tx import Tx


@dataclass(slots=True, frozen=True)
class Idempotency:
    """What makes a repetition of an insert recognisable for 24 hours, beside the device.

    Attributes:
        principal: who asks, as text: ``user:1``, ``key:7``, ``device:42``.
        action: the action's name.
        key: what the client chose.
    """

    principal: str
    action: str
    key: str


@dataclass(slots=True)
class Append:
    """Store a message. Outcome: the message as stored; the earlier one when its idempotency key is known."""

    message: Message
    idempotency: Idempotency | None = None


@dataclass(slots=True)
class Amend:
    """Update a command. Outcome: the whole command after the update, or None when the device has no such command.

    Attributes:
        update_id: given like a message's id; by it other workers find the update (:meth:`Store.read_updates`). 0: there
            are none, and it is not kept.
        moves: what becomes of the command's state.
        at_ms: the time by which its lifetime is over; 0: lifetimes do not count.
    """

    device_id: int
    device_guid: str
    command_id: int
    patch: CommandPatch
    update_id: int = 0
    moves: Moves = STAYS
    at_ms: int = 0


@dataclass(slots=True, frozen=True)
class Step:
    """A command whose state may move; ``update_id`` as of :class:`Amend`, kept where it does."""

    device_id: int
    device_guid: str
    command_id: int
    update_id: int = 0


@dataclass(slots=True, frozen=True)
class Stepped:
    """A command as a step has left it, and whether the step has moved its state."""

    command: Command
    moved: bool


@dataclass(slots=True)
class Advance:
    """Move the states of commands, each of them once. Outcome: a list with a :class:`Stepped` per step, None where the
    device has no such command.

    A command that is cancelled is never read as pending from then on, whether or not lifetimes count.
    """

    steps: Sequence[Step]
    moves: Moves
    at_ms: int = 0


@dataclass(slots=True)
class Transact:
    """Run ``work`` inside the batch's transaction. Outcome: what it returns, or the HubError that it raised.

    ``work`` runs in the store's thread, must not keep the Tx, and is undone alone when it raises.
    """

    work: "Callable[[Tx], Any]"


Write = Append | Amend | Advance | Transact
