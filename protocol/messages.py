"""Messages: immutable facts with an id. Notifications go from a device to its subscribers, commands the other way.

Free JSON values (``parameters``, ``result``) travel as their encoded text: they are checked and encoded once, when
they come in, and are never decoded again on their way to the log and to JSON subscribers.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from protocol.names import CommandState, Kind

IDS_BEGIN_US = 1_577_836_800_000_000
"""2020-01-01 in microseconds since 1970. Ids counted from here stay below 2**53 until the year 2305."""

LANES = 64
"""Workers share one id space: the worker in lane k only ever uses values congruent to k modulo LANES, so two of them
cannot collide and need not talk. The price: beyond 1,000,000 / LANES messages a second a worker's ids run ahead of the
clock, which harms nothing as long as they are reserved."""

AHEAD_MS = 10_000
"""How far the timestamps of a device may run ahead of the clock before its messages share a millisecond."""


def lowest_id(timestamp_ms: int) -> int:
    """The smallest id that a message with this timestamp, in milliseconds since 1970, or a later one can have: ids keep
    up with the clock, and timestamps lead it by ``AHEAD_MS`` at most."""
    return max(0, (timestamp_ms - AHEAD_MS) * 1_000 - IDS_BEGIN_US)


Json = bytes
"""The UTF-8 text of one JSON value, already checked and compact. Absent and null are both ``NULL``."""

NULL: Json = b"null"


# Not frozen=True: that makes creation five times as slow (1.9 µs against 0.4 µs) and stands on the hot path.
# No code assigns to a message after it was made.
@dataclass(slots=True)
class Notification:
    """Something that a device told.

    Attributes:
        id: unique, below 2**53, greater than that of every message that its worker stored before.
        device_id: the device's row, so that a device made anew under an old guid does not inherit messages.
        timestamp_ms: milliseconds since 1970; strictly increasing per device.
    """

    id: int
    device_id: int
    device_guid: str
    name: str
    timestamp_ms: int
    parameters: Json = NULL

    kind = Kind.NOTIFICATION

    def expired(self, now_ms: int) -> bool:
        """Whether its time is over: what was told stays told."""
        return False


@dataclass(slots=True)
class Command:
    """Something that a device shall do, and what came of it.

    Attributes:
        id, device_id, timestamp_ms: as of a :class:`Notification`; none of them changes with an update.
        user_id: who inserted it: a user, or the owner of the access key.
        lifetime_s: seconds from ``timestamp_ms`` on; None, zero and less mean no end.
        status, result: the device's words; the hub never writes them.
        updated: whether any ``command/update`` has come; a replay passes over it then.
        state: the hub's own knowledge of it, as the log has it. Extended mode shows it.
    """

    id: int
    device_id: int
    device_guid: str
    name: str
    timestamp_ms: int
    user_id: int | None = None
    parameters: Json = NULL
    lifetime_s: int | None = None
    status: str | None = None
    result: Json = NULL
    updated: bool = False
    state: CommandState = CommandState.QUEUED

    kind = Kind.COMMAND

    def expires_ms(self) -> int | None:
        """When it ends, in milliseconds since 1970; None: never."""
        if self.lifetime_s is None or self.lifetime_s <= 0:
            return None
        return self.timestamp_ms + self.lifetime_s * 1000

    def pending_until_ms(self) -> int | None:
        """The same as the log keeps it, for whoever asks what is still to be done: 0 when it is cancelled."""
        return 0 if self.state is CommandState.CANCELLED else self.expires_ms()

    def expired(self, now_ms: int) -> bool:
        """Whether its lifetime is over by ``now_ms``, in milliseconds since 1970."""
        expires_ms = self.expires_ms()
        return expires_ms is not None and expires_ms <= now_ms

    def amended(self, patch: "CommandPatch") -> "Command":
        """This command after an update: members that the patch has win, the others stay."""
        return replace(self, updated=True, **patch.members)


@dataclass(slots=True, frozen=True)
class CommandPatch:
    """What a ``command/update`` changes: only the members that it carried, by their names in :class:`Command`.

    Allowed names: ``name``, ``parameters``, ``lifetime_s``, ``status``, ``result``. A None clears.
    """

    members: dict[str, Any]


class Moves(NamedTuple):
    """What becomes of a command's state when something happens: of each old state, by its number, the digit of the new
    one. Plain text, so that a database goes by it within the statement that makes the change.

    Attributes:
        in_time, late: as long as the lifetime lasts, and when it is over.
    """

    in_time: str
    late: str

    def after(self, state: CommandState, *, late: bool) -> CommandState:
        """The new state."""
        return CommandState(int((self.late if late else self.in_time)[state]))


STAYS = Moves("012345", "012345")
"""Nothing becomes of it."""


Message = Notification | Command
