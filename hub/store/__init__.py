"""Durable state: entities and the message log. An implementation is done when ``tests/store`` passes on it.

Two interfaces. :class:`Store` is what a gateway talks to, asynchronously: group commits, reads off the loop, replay.
:class:`Tx` is one transaction seen from inside, synchronously: the rules of an action run against it in the store's own
thread, so that everything an action changes (entities, messages, the trace for other processes) is committed together
or not at all. The message log is written through the same door, in the same order.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from protocol.entities import (
    AccessKey,
    Device,
    DeviceClass,
    Equipment,
    EquipmentState,
    KeyPermission,
    Network,
    User,
)
from protocol.messages import STAYS, Command, CommandPatch, Message, Moves, Notification
from protocol.names import KeyType, Kind, Order, UserRole, UserStatus
from protocol.requests import UNSET, SaveEquipment, Unset

T = TypeVar("T")

REPLAY_PAGE = 1_000
"""How many messages one read of the log returns at most."""

Provider = Literal["google", "facebook", "github"]
"""Who else vouches for logins."""

Keeper = Literal["user", "device", "key"]
"""Who has secrets of which hashes are kept."""

SPREAD_MS = 60_000
"""Timestamps rise with the ids, but for this much: ``AHEAD_MS``, and clocks of workers that do not agree."""

DELETED_AT_ONCE = 500
"""Devices that one transaction deletes where many have to go."""

LOST_RANGES = 1_000
"""How many ranges of lost ids are kept."""


# --- writing ----------------------------------------------------------------------------------------------------------


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


# --- reading ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True, frozen=True)
class Reach:
    """Which devices a read of the log is about: the union of what is named here.

    A coarse filter for the database; the reader still asks its access about every row.
    """

    guids: frozenset[str] = frozenset()
    networks: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()


@dataclass(slots=True, frozen=True)
class LogQuery:
    """What to read of one kind's log, in ascending id.

    Attributes:
        after: ids greater than this.
        newer_than_ms: timestamps greater than this, in milliseconds; None: any.
        up_to_ms: timestamps of at most this; None: any.
        spread_ms: how far a timestamp may be below that of a message with a lower id. Where ``up_to_ms`` is passed by
            more, reading ends.
        reach: None: every device.
        names: None: every name.
        pending_at_ms: of commands, only those not updated, not cancelled and not expired at this time; None: all.
        beyond: of each lane, only ids greater than this (``LANES`` numbers; an id's lane is ``id % LANES``); None: all.
        limit: how many messages; capped at ``REPLAY_PAGE``. Ask again after the last id.
    """

    kind: Kind
    after: int = 0
    newer_than_ms: int | None = None
    up_to_ms: int | None = None
    spread_ms: int = SPREAD_MS
    reach: Reach | None = None
    names: frozenset[str] | None = None
    pending_at_ms: int | None = None
    beyond: tuple[int, ...] | None = None
    limit: int = REPLAY_PAGE


@dataclass(slots=True, frozen=True)
class Logged:
    """A message from the log, with where its device is now. Messages of deleted devices are never returned."""

    message: Message
    network_id: int | None
    groups: tuple[int, ...] = ()


@dataclass(slots=True, frozen=True)
class Page:
    """One read of the log.

    Attributes:
        read_to: the id up to which the log was examined: ``after`` of the next read, even when nothing matched.
        complete: whether nothing matching was left behind ``read_to`` when the page was read.
    """

    messages: list[Logged]
    read_to: int
    complete: bool


@dataclass(slots=True, frozen=True)
class HistoryQuery:
    """Which messages of one device a list shows, also those that are answered or expired.

    Attributes:
        since_ms, until_ms: timestamps from this one to that one, both included; None: any.
        name, status: exactly; None is not asked for. Only commands have a status.
        order: ``TIME`` goes by the ids, which rise with the timestamps: which messages are on a page is decided by
            them, and the page itself is sorted by time. Text goes by its characters' numbers; what has none comes last,
            or first when descending; of equals the newest come first.
        take: how many at most; None: all of them.
    """

    kind: Kind
    device_id: int
    since_ms: int | None = None
    until_ms: int | None = None
    name: str | None = None
    status: str | None = None
    order: Order = Order.TIME
    descending: bool = True
    skip: int = 0
    take: int | None = 100

    def sorted(self, messages: Iterable[Message]) -> list[Message]:
        """These messages in the order that was asked for."""
        newest_first = sorted(messages, key=_time, reverse=self.descending or self.order is not Order.TIME)
        if self.order is Order.TIME:
            return newest_first
        find = _TEXTS[self.order]
        return sorted(newest_first, key=lambda one: _last_if_none(find(one)), reverse=self.descending)


def _time(message: Message) -> tuple[int, int]:
    return message.timestamp_ms, message.id


_TEXTS: dict[Order, Callable[[Any], str | None]] = {
    Order.NAME: lambda message: message.name,
    Order.STATUS: lambda message: message.status,
}


def _last_if_none(text: str | None) -> tuple[bool, str]:
    return text is None, text or ""


@dataclass(slots=True, frozen=True)
class LoggedUpdate:
    """The newest update of a command, from the log. What an earlier update did is in it."""

    update_id: int
    command: Command


@dataclass(slots=True, frozen=True)
class UpdatePage:
    """One read of the updates of commands, in ascending update id; as :class:`Page`."""

    updates: list[LoggedUpdate]
    read_to: int
    complete: bool


@dataclass(slots=True, frozen=True)
class LoginRecord:
    """A user as a login needs it. DELETED users are never returned."""

    user: User
    password_hash: str | None = field(repr=False)
    password_salt: str | None = field(repr=False)
    login_attempts: int = 0


@dataclass(slots=True, frozen=True)
class DeviceRecord:
    """A device as the caches keep it."""

    device: Device
    key_hash: str = field(repr=False)


@dataclass(slots=True, frozen=True)
class OpenCommands:
    """Of a device, the commands that are neither answered nor expired.

    Attributes:
        number: how many, or as many as were counted at most.
        next_end_ms: when the first of them expires, in milliseconds since 1970; None: none of them does.
    """

    number: int
    next_end_ms: int | None = None


@dataclass(slots=True, frozen=True)
class KeyRecord:
    """An access key with its owner."""

    key: AccessKey
    owner: User


@dataclass(slots=True, frozen=True)
class NewKey:
    """A key just made. ``secret`` is shown once and never again."""

    key: AccessKey
    secret: str = field(repr=False)


@dataclass(slots=True, frozen=True)
class Change:
    """The trace of a committed change of an entity, for other processes and for other parts of this one.

    Attributes:
        revision: greater than that of any earlier change.
        entity: ``user`` (also its memberships, links and password), ``key``, ``network``, ``device``, ``class``,
            ``configuration``.
        id: the row; None: many of them, drop everything of this kind.
        guid: of a device.
    """

    revision: int
    entity: str
    id: int | None
    guid: str | None = None


@dataclass(slots=True, frozen=True)
class Changes:
    """What changed since a revision. ``complete`` is False when older changes are gone: drop every cache then."""

    revision: int
    changes: tuple[Change, ...]
    complete: bool = True


@dataclass(slots=True, frozen=True)
class Lane:
    """What a worker needs to know before it may give its first id.

    Attributes:
        mark: the first new id must be greater. Nobody has seen a greater one of this lane, and the log has none of any.
        last_id: the greatest id in the log.
        last_timestamp_ms: the greatest timestamp in the log.
        now_us: the time by the database's clock, in microseconds since 1970: what workers agree on.
    """

    number: int
    mark: int
    last_id: int
    last_timestamp_ms: int
    now_us: int


@dataclass(slots=True, frozen=True)
class Renewal:
    """What a worker hears about the cluster when it says that it is still there.

    Attributes:
        leads: whether it is the one that does what only one of the cluster must do.
        now_us: as in :class:`Lane`.
        safe: of each lane (``LANES`` numbers), the id up to which everything that was ever given is in the log or never
            will be; 0: not known. Read the log after this, and up to there nothing can be missed.
        held: the lanes that a worker holds now, or held until a moment ago.
        workers: how many there are.
    """

    leads: bool
    now_us: int
    safe: tuple[int, ...]
    held: frozenset[int]

    @property
    def workers(self) -> int:
        return len(self.held)


@dataclass(slots=True, frozen=True)
class Lost:
    """Ids (exclusive at both ends) that may have been seen by a subscriber and are not in the log.

    Only ``HUB_DURABILITY=queued`` leaves such ranges: after a crash, or when the log could not be written.
    """

    after: int
    before: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of one table a list shows, and in which order. Ties go by id.

    Attributes:
        equal: exact values by column; None is not asked for. A list of devices has three more columns:
            ``network_name``, ``device_class_name`` and ``device_class_version``.
        like: patterns by column, as SQL's LIKE has them: ``%`` any run, ``_`` one character, everything else
            literal; the whole text, upper and lower case apart.
        sort: a column; text goes by its characters' numbers, and rows without a value come last, or first when
            descending.
        take: how many at most; None: all of them.
    """

    equal: Mapping[str, Any] = field(default_factory=dict)
    like: Mapping[str, str] = field(default_factory=dict)
    sort: str = "id"
    descending: bool = False
    skip: int = 0
    take: int | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """Devices that are in one of these networks, and are one of these, and are in one of these groups; None: no
    condition of this sort."""

    networks: frozenset[int] | None = None
    guids: frozenset[str] | None = None
    groups: frozenset[int] | None = None


class Tx(Protocol):
    """One transaction, from inside. Synchronous; every change leaves a :class:`Change` behind.

    Reads return entities as they are inside this transaction. ``UNSET`` arguments leave a column as it is. Writes raise
    ``Conflict`` where a uniqueness rule fails; lengths and presence are the caller's to check.
    """

    # Users
    def user(self, user_id: int) -> User | None: ...
    def user_by_login(self, login: str) -> User | None: ...
    def user_by_identity(self, provider: Provider, login: str) -> User | None:
        """The user with this login at a provider, upper and lower case the same; DELETED users are not found."""

    def users(self) -> list[User]: ...
    def list_users(self, listing: Listing) -> list[User]: ...
    def active_administrators(self) -> int: ...
    def insert_user(
        self,
        *,
        login: str,
        role: UserRole,
        status: UserStatus = UserStatus.ACTIVE,
        password_hash: str | None = None,
        password_salt: str | None = None,
        google_login: str | None = None,
        facebook_login: str | None = None,
        github_login: str | None = None,
        data: Any = None,
    ) -> User: ...
    def update_user(
        self,
        user_id: int,
        *,
        login: str | Unset = UNSET,
        role: UserRole | Unset = UNSET,
        status: UserStatus | Unset = UNSET,
        google_login: str | None | Unset = UNSET,
        facebook_login: str | None | Unset = UNSET,
        github_login: str | None | Unset = UNSET,
        data: Any = UNSET,
    ) -> None: ...
    def set_password(self, user_id: int, *, password_hash: str | None, ends_sessions: bool = True) -> None:
        """Replace the password. ``ends_sessions=False`` is for re-hashing the same password."""

    def record_login(self, user_id: int, *, now_ms: int | None, login_attempts: int) -> None:
        """Keep login statistics: ``now_ms`` becomes the last login (None: unchanged). Leaves no Change."""

    def delete_user(self, user_id: int) -> bool:
        """Delete a user with memberships, links and access keys. Returns whether there was one."""

    # Networks
    def network(self, network_id: int) -> Network | None: ...
    def network_by_name(self, name: str) -> Network | None: ...
    def networks(self) -> list[Network]: ...
    def list_networks(self, listing: Listing, ids: frozenset[int] | None = None) -> list[Network]:
        """Networks; with ``ids``, only those."""

    def insert_network(self, *, name: str, key: str | None = None, description: str | None = None) -> Network: ...
    def update_network(
        self,
        network_id: int,
        *,
        name: str | Unset = UNSET,
        key: str | None | Unset = UNSET,
        description: str | None | Unset = UNSET,
    ) -> None: ...
    def delete_network(self, network_id: int) -> bool:
        """Delete a network with its devices. Returns whether there was one."""

    def add_member(self, user_id: int, network_id: int) -> None:
        """Make a user a member of a network. Idempotent."""

    def remove_member(self, user_id: int, network_id: int) -> None: ...

    # Device classes
    def device_class(self, name: str, version: str) -> DeviceClass | None: ...
    def class_by_id(self, class_id: int) -> DeviceClass | None: ...
    def device_classes(self) -> list[DeviceClass]: ...
    def list_classes(self, listing: Listing) -> list[DeviceClass]: ...
    def insert_class(
        self,
        *,
        name: str,
        version: str,
        is_permanent: bool = False,
        offline_timeout_s: int | None = None,
        data: Any = None,
    ) -> DeviceClass: ...
    def update_class(
        self,
        class_id: int,
        *,
        name: str | Unset = UNSET,
        version: str | Unset = UNSET,
        is_permanent: bool | Unset = UNSET,
        offline_timeout_s: int | None | Unset = UNSET,
        data: Any = UNSET,
    ) -> None: ...
    def delete_class(self, class_id: int) -> bool:
        """Delete a class with its equipment and its devices. Returns whether there was one."""

    # Equipment; a change of it is a change of its class
    def equipment(self, class_id: int, equipment_id: int) -> Equipment | None: ...
    def insert_equipment(self, class_id: int, piece: SaveEquipment) -> Equipment: ...
    def update_equipment(
        self,
        class_id: int,
        equipment_id: int,
        *,
        name: str | Unset = UNSET,
        code: str | Unset = UNSET,
        type: str | Unset = UNSET,  # noqa: A002
        data: Any = UNSET,
    ) -> None: ...
    def delete_equipment(self, class_id: int, equipment_id: int) -> bool: ...
    def replace_equipment(self, class_id: int, equipment: Sequence[SaveEquipment]) -> None:
        """Replace the whole set; every piece gets a new id. Codes must be distinct (the caller checks)."""

    # Devices
    def device(self, guid: str) -> Device | None: ...
    def devices(self, *, after: str = "", limit: int = 1_000) -> list[Device]:
        """Devices in order of their guid, strictly after ``after``."""

    def list_devices(self, listing: Listing, reach: Sequence[Where] | None = None) -> list[Device]:
        """Devices; with ``reach``, only those that are in one of them. Who shares a class shares its object."""

    def device_key_matches(self, device_id: int, key: str) -> bool: ...
    def insert_device(
        self,
        *,
        guid: str,
        key: str,
        name: str,
        class_id: int,
        network_id: int | None = None,
        status: str | None = None,
        data: Any = None,
        is_blocked: bool = False,
    ) -> Device: ...
    def update_device(
        self,
        device_id: int,
        *,
        key: str | Unset = UNSET,
        name: str | Unset = UNSET,
        status: str | None | Unset = UNSET,
        data: Any = UNSET,
        network_id: int | None | Unset = UNSET,
        class_id: int | Unset = UNSET,
        is_blocked: bool | Unset = UNSET,
    ) -> None: ...
    def delete_device(self, guid: str) -> bool: ...
    def delete_devices(self, *, network_id: int | None = None, class_id: int | None = None, limit: int) -> int:
        """Delete up to ``limit`` devices of a network or of a class. Returns how many; as many as ``limit``: ask again.
        Many of them in one transaction would keep the writes of others waiting."""
        ...

    def equipment_states(self, device_id: int) -> list[EquipmentState]: ...
    def equipment_state(self, device_id: int, code: str) -> EquipmentState | None: ...
    def put_equipment_state(self, device_id: int, state: EquipmentState) -> None:
        """Insert or replace the state of one piece of equipment. Leaves no Change."""

    # Links: owner and target are (type, row id), as in ("user", 5) and ("device", 8).
    def add_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None:
        """Let the owner reach the target. Idempotent."""

    def remove_link(self, owner: tuple[str, int], target: tuple[str, int]) -> None: ...

    # Access keys
    def key(self, key_id: int) -> AccessKey | None: ...
    def key_by_label(self, user_id: int, label: str) -> AccessKey | None:
        """A user's first key with this label."""

    def keys(self, user_id: int | None = None) -> list[AccessKey]: ...
    def list_keys(self, user_id: int, listing: Listing) -> list[AccessKey]: ...
    def insert_key(
        self,
        *,
        user_id: int,
        label: str,
        permissions: Sequence[KeyPermission],
        type: KeyType = KeyType.DEFAULT,  # noqa: A002
        expires_ms: int | None = None,
    ) -> NewKey:
        """Make a key of 32 random bytes in base64. Only its keyed hash and its first six characters are stored, and a
        sealed copy where the store was told that keys are readable."""

    def update_key(
        self,
        key_id: int,
        *,
        label: str | Unset = UNSET,
        permissions: Sequence[KeyPermission] | Unset = UNSET,
        type: KeyType | Unset = UNSET,  # noqa: A002
        expires_ms: int | None | Unset = UNSET,
    ) -> None: ...
    def delete_key(self, key_id: int) -> bool: ...
    def readable_key(self, key_id: int) -> str | None:
        """The key itself, where a sealed copy was kept; None where not."""

    def has_pepper(self) -> bool:
        """Whether keys are hashed with the pepper that this database was made with. The first to ask decides."""
        ...

    # Secrets as they are kept, for a copy of an installation
    def pepper_mark(self) -> str:
        """A text that is the same only where keys are hashed with the same pepper."""
        ...

    def kept_secrets(self, entity: Keeper, row_id: int) -> dict[str, str | None]:
        """What is kept of the secrets of a user, a device or an access key: columns with hashes."""
        ...

    def put_secrets(self, entity: Keeper, row_id: int, secrets: Mapping[str, str | None]) -> None:
        """Put back what :meth:`kept_secrets` has given. Logins with another password end."""

    # Configuration rows that an administrator wrote
    def configuration(self) -> dict[str, str]: ...
    def configuration_value(self, name: str) -> str | None: ...
    def put_configuration(self, name: str, value: str) -> None: ...
    def delete_configuration(self, name: str) -> None: ...

    # Messages that belong to the change
    def append(self, message: Message, device: Device, idempotency: Idempotency | None = None) -> None:
        """Store a message in this transaction. Its id must have been given before the transaction was queued.

        ``device`` is its device as this transaction leaves it.
        """

    def message_device(self, kind: Kind, message_id: int) -> int | None:
        """Whose the message with an id is; None: there is none."""
        ...

    def delete_messages(self, device_ids: Sequence[int], *, limit: int) -> int:
        """Delete up to ``limit`` messages of devices that are about to be deleted: nothing remembers that they were.
        Returns how many; as many as ``limit``: ask again."""
        ...

    def repeated(self, device_id: int, idempotency: Idempotency) -> Message | None:
        """The message that an earlier insert with the same idempotency key has stored."""

    def appended(self) -> list[tuple[Message, Device]]:
        """The messages that this piece of work has stored, with their devices: whoever commits it publishes them."""

    def changes(self) -> "list[Change]":
        """The changes that this piece of work has left so far, in the order of their revisions."""

    # Activity
    def touch(self, activity: Sequence[tuple[int, int]]) -> None:
        """Remember (device id, milliseconds since 1970) as last activity; never moves it back. Leaves no Change."""

    def forget_activity(self, device_id: int) -> None: ...


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


Opener = Callable[[], Awaitable[Store]]
