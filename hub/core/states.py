"""States of commands: what the hub itself knows of one, beside ``status`` and ``result``, which are the device's words.

A state tells something that has happened, so it only moves forward, and every move is made by the log, within the
statement that stores it: whoever asks later, here or at another worker, hears the same. ``cancelled`` and ``expired``
exclude each other and both exclude ``received``: whichever the log has first holds for good.

Nobody has to be there when a lifetime ends, so the log may still say ``sent`` of a command that has expired. Before
anybody is shown that, :data:`EXPIRE` is applied to it (:func:`is_unsettled` tells whether it has to be).
"""

from protocol.messages import NULL, Command, CommandPatch, Moves
from protocol.names import CommandState

Q, S, R, D, E, C = CommandState

#              what was queued, sent, received, done, expired, cancelled
_RULES: dict[str, tuple[tuple[CommandState, ...], tuple[CommandState, ...]]] = {
    "send": ((S, S, R, D, E, C), (E, E, R, D, E, C)),
    "receive": ((R, R, R, D, E, C), (E, E, R, D, E, C)),
    "finish": ((D, D, D, D, E, C), (E, E, D, D, E, C)),
    "cancel": ((C, C, R, D, E, C), (E, E, R, D, E, C)),
    "expire": ((Q, S, R, D, E, C), (E, E, R, D, E, C)),
}
"""What happens, to what it leads while the lifetime lasts, and to what when it is over."""


def _moves(event: str) -> Moves:
    in_time, late = ("".join(str(int(state)) for state in states) for states in _RULES[event])
    return Moves(in_time, late)


SEND = _moves("send")
"""It was written to a socket of the device."""
RECEIVE = _moves("receive")
"""The device says that it has it: by saying so, or by an update without a word."""
FINISH = _moves("finish")
"""An update brings a status or a result."""
CANCEL = _moves("cancel")
"""Somebody takes it back."""
EXPIRE = _moves("expire")
"""Nothing happens, but time passes."""

WAITING = frozenset({Q, S})
"""What may still expire or be cancelled."""


def of_update(patch: CommandPatch) -> Moves:
    """What an update does to the state."""
    members = patch.members
    return FINISH if members.get("status") is not None or members.get("result", NULL) != NULL else RECEIVE


def is_unsettled(command: Command, now_ms: int | None) -> bool:
    """Whether its lifetime is over by ``now_ms`` and the log may not have been told; None: lifetimes do not count."""
    return now_ms is not None and command.state in WAITING and command.expired(now_ms)


def has_ended(command: Command) -> bool:
    """Whether it expired or was cancelled. What its device says all the same changes nothing about that."""
    return command.state in (E, C)


def state_of(word: str | None, command: Command) -> CommandState:
    """The state of a command that comes from elsewhere, by its name; None: from where none was kept. Then it is what
    its update proves, and no more."""
    if word is not None:
        return CommandState[word.upper()]
    if not command.updated:
        return Q
    return D if command.status is not None or command.result != NULL else R
