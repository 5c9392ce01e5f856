"""Durable state: entities and the message log. An implementation is done when ``tests/store`` passes on it.

Two interfaces. :class:`Store` is what a gateway talks to, asynchronously: group commits, reads off the loop, replay.
:class:`Tx` is one transaction seen from inside, synchronously: the rules of an action run against it in the store's own
thread, so that everything an action changes (entities, messages, the trace for other processes) is committed together
or not at all. The message log is written through the same door, in the same order.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hub.store.oauth import NewClient, OAuth
from hub.store.reading import (
    REPLAY_PAGE,
    SPREAD_MS,
    HistoryQuery,
    Logged,
    LoggedUpdate,
    LogQuery,
    Page,
    Reach,
    UpdatePage,
)
from hub.store.records import (
    LOST_RANGES,
    Change,
    Changes,
    DeviceRecord,
    Keeper,
    KeyRecord,
    Lane,
    Listing,
    LoginRecord,
    Lost,
    NewKey,
    OpenCommands,
    Provider,
    Renewal,
    Where,
)
from hub.store.tx import DELETED_AT_ONCE, Tx
from hub.store.writing import Advance, Amend, Append, Idempotency, Step, Stepped, Transact, Write
from protocol.entities import Device, User
from protocol.messages import Command, Message, Notification
from protocol.names import Kind

__all__ = [
    "DELETED_AT_ONCE",
    "LOST_RANGES",
    "REPLAY_PAGE",
    "SPREAD_MS",
    "Advance",
    "Amend",
    "Append",
    "Change",
    "Changes",
    "DeviceRecord",
    "HistoryQuery",
    "Idempotency",
    "Keeper",
    "KeyRecord",
    "Lane",
    "Listing",
    "LogQuery",
    "Logged",
    "LoggedUpdate",
    "LoginRecord",
    "Lost",
    "NewClient",
    "NewKey",
    "OAuth",
    "OpenCommands",
    "Page",
    "Provider",
    "Reach",
    "Renewal",
    "Step",
    "Stepped",
    "Store",
    "Transact",
    "Tx",
    "UpdatePage",
    "Where",
    "Write",
]

T = TypeVar("T")


class Store(Protocol):
    """Durable state of the hub, as one worker uses it.

    Every method raises ``StoreUnavailable`` when the database does not answer within the configured time; of a write
    it is then unknown whether it happened.
    """

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Called once, before anything else."""

    async def close(self) -> None:
        """Finish what is queued and let go of the database. Calling it twice is harmless."""

    # Writing
    async def write(self, batch: Sequence[Write]) -> list[Any]:
        """Carry out a batch in its order and commit it once; returns when it is durable.

        Returns:
            One outcome per write, in order. A HubError stands for the one write that failed with it; the others hold.
        """
        ...

    async def transact(self, work: Callable[[Tx], T]) -> T:
        """Run one piece of work in a transaction of its own; raises what it raises."""
        ...

    async def consult(self, work: Callable[[Tx], T]) -> T:
        """Read entities in one consistent state, beside whatever is being written; raises what ``work`` raises.

        Raises:
            MayOnlyRead: ``work`` has tried to write.
        """
        ...

    # Looking up; each is one indexed read
    async def find_login(self, login: str) -> LoginRecord | None: ...
    async def find_user(self, user_id: int) -> User | None: ...
    async def find_key(self, secret: str) -> KeyRecord | None:
        """The key with this secret, whatever its state; the caller checks expiry and owner."""
        ...

    async def find_key_by_id(self, key_id: int) -> KeyRecord | None: ...
    async def find_device(self, guid: str) -> DeviceRecord | None: ...
    async def find_devices(self, guids: Sequence[str]) -> list[DeviceRecord]:
        """The devices with these guids, in no particular order; who shares a class shares its object. One read."""
        ...

    async def open_commands(self, device_ids: Sequence[int], *, at_ms: int, most: int) -> dict[int, OpenCommands]:
        """Of each device, count the commands that nobody has answered and that have not expired by ``at_ms``. Bounded:
        none is counted beyond ``most``."""
        ...

    def key_matches(self, key: str, key_hash: str) -> bool:
        """Whether a device key is the one that was hashed. Constant time; no I/O."""
        ...

    # The log
    async def read(self, query: LogQuery) -> Page: ...
    async def history(self, query: HistoryQuery) -> list[Message]:
        """A list of a device's messages; none where the device is gone. One read, of as many rows as the device has."""
        ...

    async def command(self, device_id: int, command_id: int) -> Command | None: ...
    async def notification(self, device_id: int, notification_id: int) -> Notification | None: ...
    async def read_updates(
        self, *, after: int, beyond: tuple[int, ...] | None = None, limit: int = REPLAY_PAGE
    ) -> UpdatePage:
        """Commands whose newest update has an update id greater than ``after``, and greater than what ``beyond`` says
        of the update id's lane (as in :class:`LogQuery`), in ascending update id."""
        ...

    async def pruned_to(self, kind: Kind, reach: Reach | None) -> int:
        """The id up to which retention may have removed messages of these devices; 0: nothing was ever removed."""
        ...

    async def lost(self) -> list[Lost]: ...
    async def prune(self, kind: Kind, *, before_ms: int, per_device: int, limit: int = 1_000) -> int:
        """Remove up to ``limit`` messages that are older than ``before_ms``, or beyond the newest ``per_device`` of
        their device, oldest first. A command that is neither updated nor expired goes by age only.

        Returns:
            How many went; as many as ``limit``: ask again.
        """
        ...

    # Ids
    async def open_lane(self, owner: str, *, queued: bool) -> Lane:
        """Take a lane that no other worker has: it is this store's until :meth:`close_lane` or the end of its process,
        however long that is paused. One store holds one lane.

        Of the free ones it is one whose mark is not ahead, or else the least ahead: a worker that comes back at once
        after a crash leaves behind what it had reserved, or its ids would lead those of the others by that. What others
        do not know yet to be free is the last to be taken.

        Messages of a lane become visible to readers in the order of their ids, also after a write whose outcome was
        unknown: a write is refused (``StoreUnavailable``) while the lane is not surely held.

        Args:
            owner: names the run of the worker; for logs and :meth:`renew`.
            queued: this run may let ids be seen before they are stored. Of runs that did so, have ended, and did not
                end with :meth:`close_lane`, the ranges that they may have lost are recorded for :meth:`lost`.

        Raises:
            NoLane: all ``LANES`` are taken.
        """
        ...

    async def reserve(self, number: int, mark: int) -> None:
        """Promise durably that ids up to ``mark`` may be given out."""
        ...

    async def renew(self, number: int, *, owner: str, safe: int, lease_ms: int) -> Renewal:
        """Say that a worker is there, and hear about the others. Whoever leads and has not said so for ``lease_ms`` is
        succeeded by the next that asks.

        Args:
            safe: everything of this lane up to this id is in the log, or never will be.

        Raises:
            LaneLost: another worker has the lane now: :meth:`open_lane` again, and give no more ids of the old one.
        """
        ...

    async def record_lost(self, ids: Sequence[int]) -> None:
        """Of these ids, which somebody may have seen, the log may lack some: record the range of those for
        :meth:`lost`. The oldest ranges go beyond ``LOST_RANGES``."""
        ...

    async def close_lane(self, number: int, *, owner: str, complete: bool) -> None:
        """The run ends, and somebody else may lead. ``complete``: everything that was seen is stored."""
        ...

    # Changes
    async def changes(self, after: int) -> Changes:
        """What changed after a revision; -1: just the present revision."""
        ...

    # Duties
    async def overdue(self, now_ms: int, *, limit: int = 1_000) -> list[Device]:
        """Devices whose class has an offline timeout that has passed since their last activity, and whose status is
        not ``Offline`` yet."""
        ...

    async def shortest_offline_timeout(self) -> int | None:
        """The smallest offline timeout of any class, in seconds; None: no class has one."""
        ...

    async def delete_expired_keys(self, before_ms: int) -> int: ...
    async def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the whole database to a new file while it is in use; ``progress`` gets (pages left, pages in all)."""
        ...

    async def check(self) -> dict[str, Any]:
        """What ``hub doctor`` shows: kind, version, place, size in bytes, schema revision, integrity."""
        ...
