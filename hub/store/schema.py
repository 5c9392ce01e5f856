"""The tables, for SQLite and PostgreSQL alike. ``migrations/`` builds the same schema step by step; a test compares.

Free JSON values are text. Times are milliseconds since 1970. Enumerations are stored by their number on the wire.
Row ids of entities are never given twice, so that a cache, a link or a message can never mean the next owner of an id.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

REVISION = "0006"
"""The newest migration."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite makes a column the row's own number only when its type is INTEGER to the letter.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def _entity(name: str, *columns: Any, number: str = "id") -> Table:
    """A table whose rows have an id that is never given again, and count their updates."""
    return Table(
        name,
        metadata,
        Column(number, RowId, primary_key=True, autoincrement=True),
        *columns,
        Column("entity_version", BigInteger, nullable=False, server_default=text("0")),
        sqlite_autoincrement=True,
    )


def _owner(name: str, target: str, **options: Any) -> Column[Any]:
    """A reference whose row goes when the row that it points to goes."""
    return Column(name, RowId, ForeignKey(f"{target}.id", ondelete="CASCADE"), **options)


IDENTITIES = ("google_login", "facebook_login", "github_login")

# --- entities ---------------------------------------------------------------------------------------------------------

user = _entity(
    "user",
    Column("login", String(64), nullable=False, unique=True),
    Column("password_hash", String(128)),
    Column("password_salt", String(64)),
    Column("password_changes", Integer, nullable=False, server_default=text("0")),
    Column("login_attempts", Integer, nullable=False, server_default=text("0")),
    Column("role", Integer, nullable=False),
    Column("status", Integer, nullable=False),
    Column("last_login_ms", BigInteger),
    Column("google_login", String(64), unique=True),
    Column("facebook_login", String(64), unique=True),
    Column("github_login", String(64), unique=True),
    Column("data", Text),
    # By which whoever logs in with an identity provider is found, in whatever case the provider writes it.
    *(Index(f"ix_user_{name}_in_any_case", text(f"lower({name})")) for name in IDENTITIES),
)

network = _entity(
    "network",
    Column("name", String(128), nullable=False, unique=True),
    Column("key", String(64)),
    Column("description", String(128)),
)

user_network = Table(
    "user_network",
    metadata,
    _owner("user_id", "user", primary_key=True),
    _owner("network_id", "network", primary_key=True, index=True),
)

device_class = _entity(
    "device_class",
    Column("name", String(128), nullable=False),
    Column("version", String(32), nullable=False),
    Column("is_permanent", Boolean, nullable=False, server_default=false()),
    Column("offline_timeout_s", Integer),
    Column("data", Text),
    UniqueConstraint("name", "version"),
)

equipment = _entity(
    "equipment",
    Column("name", String(128), nullable=False),
    Column("code", String(128), nullable=False),
    Column("type", String(128), nullable=False),
    Column("data", Text),
    _owner("device_class_id", "device_class", nullable=False),
    UniqueConstraint("device_class_id", "code"),
)

device = _entity(
    "device",
    Column("guid", String(48), nullable=False, unique=True),
    Column("name", String(128), nullable=False),
    Column("key", String(64), nullable=False),  # a keyed hash
    Column("status", String(128)),
    Column("data", Text),
    Column("is_blocked", Boolean, nullable=False, server_default=false()),
    _owner("network_id", "network", index=True),
    _owner("device_class_id", "device_class", nullable=False, index=True),
    Column("group_id", RowId),
)

device_equipment = _entity(
    "device_equipment",
    Column("code", String(128), nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("parameters", Text),
    _owner("device_id", "device", nullable=False),
    UniqueConstraint("device_id", "code"),
)

access_key = _entity(
    "access_key",
    Column("label", String(64), nullable=False),
    Column("key", String(48), nullable=False, unique=True),  # a keyed hash
    Column("key_start", String(6), nullable=False),
    Column("key_sealed", String(256)),  # only where keys are readable
    Column("expires_ms", BigInteger),
    Column("type", Integer, nullable=False, server_default=text("0")),
    _owner("user_id", "user", nullable=False, index=True),
)

access_key_permission = _entity(
    "access_key_permission",
    Column("domains", Text),
    Column("subnets", Text),
    Column("actions", Text),
    Column("network_ids", Text),
    Column("device_guids", Text),
    _owner("access_key_id", "access_key", nullable=False, index=True),
)

configuration = _entity(
    "configuration",
    Column("name", String(32), nullable=False, unique=True),
    Column("value", String(128), nullable=False),
)

oauth_client = _entity(
    "oauth_client",
    Column("name", String(128), nullable=False),
    Column("domain", String(128), nullable=False),
    Column("subnet", String(128)),
    Column("redirect_uri", String(128), nullable=False),
    Column("oauth_id", String(32), nullable=False, unique=True),
    Column("secret_sealed", String(256), nullable=False),
)

oauth_grant = _entity(
    "oauth_grant",
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("auth_code", String(36), unique=True),
    Column("type", Integer, nullable=False),
    Column("access_type", Integer, nullable=False),
    Column("redirect_uri", String(128), nullable=False),
    Column("scope", String(256), nullable=False),
    Column("network_ids", String(128)),
    Column("code_challenge", String(43)),
    _owner("client_id", "oauth_client", nullable=False, index=True),
    _owner("user_id", "user", nullable=False),
    _owner("key_id", "access_key", nullable=False, index=True),
    # A client may have very many grants, a user of it has few.
    Index(None, "user_id", "client_id"),
    # The codes that are still to be exchanged, for those that nobody has exchanged in time.
    Index(
        "ix_oauth_grant_codes",
        "timestamp_ms",
        sqlite_where=text("auth_code IS NOT NULL"),
        postgresql_where=text("auth_code IS NOT NULL"),
    ),
)

# A link has no foreign keys, since its ends may be of several types: deleting an end deletes its links by hand.
link = _entity(
    "link",
    Column("owner_type", String(16), nullable=False),
    Column("owner_id", RowId, nullable=False),
    Column("target_type", String(16), nullable=False),
    Column("target_id", RowId, nullable=False),
    UniqueConstraint("owner_type", "owner_id", "target_type", "target_id"),
    Index(None, "target_type", "target_id"),
)

# --- the trace of changes, for other processes ------------------------------------------------------------------------

change = Table(
    "change",
    metadata,
    Column("revision", RowId, primary_key=True, autoincrement=True),
    Column("entity", String(16), nullable=False),
    Column("entity_id", RowId),
    Column("guid", String(48)),
    Column("time_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

# --- the message log --------------------------------------------------------------------------------------------------
# No foreign key to the device: deleting one must not touch a million messages. Reads join the device instead, so its
# messages are out of reach at once, and retention removes them in time.


def _log(name: str, *columns: Any, index: bool) -> Table:
    return Table(
        name,
        metadata,
        Column("id", RowId, primary_key=True, autoincrement=False),
        Column("device_id", RowId, nullable=False, index=index),
        Column("name", Text, nullable=False),
        Column("timestamp_ms", BigInteger, nullable=False),
        Column("parameters", Text, nullable=False),
        *columns,
    )


notification = _log("notification", index=False)

# Where the notifications of a device are. An index would be kept with every batch, and with many devices each message
# touched a page of its own: three times the cost of writing it. This is brought up to date once in thousands of
# messages, in the order of devices. Device 0 tells how far: whoever reads looks through the messages after that.
notification_place = Table(
    "notification_place",
    metadata,
    Column("device_id", RowId, primary_key=True, autoincrement=False),
    Column("id", RowId, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

command = _log(
    "command",
    Column("user_id", RowId),
    Column("lifetime_s", Integer),
    # By when it has to be received. 0 of one that is cancelled: whoever asks what is still to be done passes over it.
    Column("expires_ms", BigInteger),
    Column("status", Text),
    Column("result", Text, nullable=False),
    Column("updated", Boolean, nullable=False, server_default=false()),
    # All that counting the open commands of a device takes; those that are answered leave it.
    Index(
        "ix_command_open",
        "device_id",
        "expires_ms",
        "updated",
        sqlite_where=text("updated = 0"),
        postgresql_where=text("NOT updated"),
    ),
    # By which other workers find what has been updated; 0: there were none.
    Column("update_id", BigInteger, nullable=False, server_default=text("0")),
    Index(
        "ix_command_update_id",
        "update_id",
        sqlite_where=text("update_id > 0"),
        postgresql_where=text("update_id > 0"),
    ),
    # What the hub knows of it; see hub.core.states.
    Column("state", Integer, nullable=False, server_default=text("0")),
    index=True,
)

REPEATABLE_MS = 24 * 3_600_000
"""How long a repetition with the same idempotency key is recognised."""

# Which message an idempotency key made.
idempotency = Table(
    "idempotency",
    metadata,
    Column("principal", String(64), primary_key=True),
    Column("device_id", RowId, primary_key=True, autoincrement=False),
    Column("action", String(32), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("message_id", RowId, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False, index=True),
)

# Up to which id retention has removed messages: by age (device 0), and by number (per device).
retention = Table(
    "retention",
    metadata,
    Column("kind", Integer, primary_key=True, autoincrement=False),
    Column("device_id", RowId, primary_key=True, autoincrement=False),
    Column("pruned_to", RowId, nullable=False),
)

# --- ids and activity -------------------------------------------------------------------------------------------------

lane = Table(
    "lane",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("mark", BigInteger, nullable=False),
    Column("queued", Boolean, nullable=False),  # the present run may show ids before they are stored …
    Column("is_open", Boolean, nullable=False),  # … and has not ended yet
    Column("owner", String(64)),  # the present run, if there is one
    Column("safe", BigInteger, nullable=False, server_default=text("0")),  # up to here nothing is still to come
    Column("seen_us", BigInteger, nullable=False, server_default=text("0")),  # when the run said so
)

# What is known of the installation itself, and is nobody's to change.
installation = Table(
    "installation",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

# Who does what only one worker must do, and until when it has it.
lead = Table(
    "lead",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("owner", String(64), nullable=False),
    Column("until_us", BigInteger, nullable=False),
)

lost = Table(
    "lost",
    metadata,
    Column("after", BigInteger, primary_key=True, autoincrement=False),
    Column("before", BigInteger, primary_key=True, autoincrement=False),
)

activity = Table(
    "activity",
    metadata,
    _owner("device_id", "device", primary_key=True, autoincrement=False),
    Column("last_active_ms", BigInteger, nullable=False, index=True),
)
