"""The choices of an installation that actions depend on, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protocol.version import API_VERSION


class Registration(StrEnum):
    """Which new devices an anonymous caller may register."""

    OFF = "off"
    NETWORK_KEY = "network-key"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is allowed, and how strict the hub is. Each value is a setting (``HUB_…``) of the same meaning.

    Attributes:
        bus_address: of the bus between workers, without credentials; None: there is none.
        seeded: configuration rows that are as good as stored where nobody has written others, by name.
        keys_attenuate: a key made or changed with a key gets no right that its maker lacks.
        durable_notifications: answer and push a notification only when it is committed. Commands always are.
        lifetime_enforced: whether a command's ``lifetime`` ends it.
        login_lockout_after: wrong passwords until a user is locked out; 0: never, attempts are slowed down instead.
        login_last_timeout_ms: the least distance between two updates of a user's last login.
        devices_self_unblock: whether anonymous callers and devices may set ``blocked``.
        offline_check_s: seconds between checks of offline timeouts; None: 1 s + 10 % of the shortest.
        hold_bytes: what a connection's subscriptions may hold back during a replay, or queue for a slow reader; well
            below what its outbox takes.
        accepts_per_key_per_s, accept_burst_per_key: how often one key may authenticate; 0: no limit.
        connections_per_address, connections_per_user, connections_per_device: 0: no limit; a device's newest win.
        database_wait_s: how long a peer waits for the store before it hears that it is not available.
        pending_writes, pending_write_bytes: writes that may wait for the log, and the memory that they may take.
        open_commands: commands of one device that are neither answered nor expired.
        equipment: pieces of equipment of one device class.
        heartbeat_s: how often a worker tells the others that it is there.
        lease_s: how long a worker that has died still counts as leading, if it led.
        bus_poll_s: how often the log is read while the bus is away.
        bus_wait_s: how long what was committed may wait for its place among what other workers commit; 0: not at all.
        idle_topic_s: for how long the others are still listened to for what no socket needs any more.
        replay_overlap_s: how far behind its cursor a replay begins where there is a bus, for messages that were
            committed or heard late; further, where this has taken longer within the last hour.
        poll_wait_s, poll_wait_most_s: how long a long poll waits that does not say, and how long it may ask for.
        polls, polls_per_key: long polls under way, in all and of one key, user or device; 0 per key: no limit.
        messages_per_list: messages that one list shows at most; 0: no limit.
        provider_logins: logins that wait for an identity provider at the same time.
        retention_*_s: seconds that a message is kept; retention_rows: how many of a kind per device.
    """

    api_version: str = API_VERSION
    public_url: str | None = None
    bus_address: str | None = None
    seeded: Mapping[str, str] = field(default_factory=dict)
    keys_attenuate: bool = True
    durable_notifications: bool = True
    anonymous_registration: Registration = Registration.NETWORK_KEY
    network_auto_create: bool = False
    devices_gateway_mode: bool = True
    devices_notify_offline: bool = True
    devices_self_unblock: bool = False
    cross_endpoint: bool = False
    lifetime_enforced: bool = True
    login_lockout_after: int = 0
    login_last_timeout_ms: int = 1_000
    session_timeout_ms: int = 1_200_000
    offline_check_s: float | None = None
    retention_notifications_s: int = 86_400
    retention_commands_s: int = 604_800
    retention_rows: int = 10_000
    devices_per_subscription: int = 1_000
    hold_bytes: int = 262_144
    device_cache: int = 100_000
    replays_at_once: int = 16
    replay_page: int = 1_000
    change_poll_s: float = 0.5
    password_workers: int = 2
    password_queue: int = 64
    failed_logins: int = 5
    failed_logins_per_block: int = 60
    accepts_per_key_per_s: float = 2.0
    accept_burst_per_key: int = 10
    connections_per_address: int = 1_000
    connections_per_user: int = 1_000
    connections_per_device: int = 2
    database_wait_s: float = 5.0
    pending_writes: int = 100_000
    pending_write_bytes: int = 67_108_864
    open_commands: int = 10_000
    equipment: int = 256
    poll_wait_s: int = 30
    poll_wait_most_s: int = 60
    polls: int = 2_000
    polls_per_key: int = 4
    messages_per_list: int = 1_000
    provider_logins: int = 16
    heartbeat_s: float = 1.0
    lease_s: float = 10.0
    bus_poll_s: float = 1.0
    bus_wait_s: float = 0.1
    idle_topic_s: float = 30.0
    replay_overlap_s: float = 5.0
