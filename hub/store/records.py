"""What a store keeps beside entities and messages, and how it is asked for rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from protocol.entities import AccessKey, Device, User

Provider = Literal["google", "facebook", "github"]
"""Who else vouches for logins."""

Keeper = Literal["user", "device", "key", "oauth_client"]
"""Who has secrets of which hashes are kept."""

LOST_RANGES = 1_000
"""How many ranges of lost ids are kept."""


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
            ``configuration``, ``oauth_client``, ``oauth_grant``.
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
