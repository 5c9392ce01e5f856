"""The first schema: entities, the trace of changes, the message log, ids and activity."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    create_entities()
    create_changes()
    create_log()
    create_ids_and_activity()


def downgrade() -> None:
    raise NotImplementedError("a database is never taken back; restore a backup")


def entity(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("id", RowId, primary_key=True, autoincrement=True),
        *columns,
        sa.Column("entity_version", sa.BigInteger, nullable=False, server_default=sa.text("0")),
        sqlite_autoincrement=True,
    )


def owner(name: str, target: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, RowId, sa.ForeignKey(f"{target}.id", ondelete="CASCADE"), **options)


def index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def create_entities() -> None:
    entity(
        "user",
        sa.Column("login", sa.String(64), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(128)),
        sa.Column("password_salt", sa.String(64)),
        sa.Column("password_changes", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("login_attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("role", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("last_login_ms", sa.BigInteger),
        sa.Column("google_login", sa.String(64), unique=True),
        sa.Column("facebook_login", sa.String(64), unique=True),
        sa.Column("github_login", sa.String(64), unique=True),
        sa.Column("data", sa.Text),
    )
    entity(
        "network",
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("key", sa.String(64)),
        sa.Column("description", sa.String(128)),
    )
    op.create_table(
        "user_network",
        owner("user_id", "user", primary_key=True),
        owner("network_id", "network", primary_key=True),
    )
    index("user_network", "network_id")
    entity(
        "device_class",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("is_permanent", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("offline_timeout_s", sa.Integer),
        sa.Column("data", sa.Text),
        sa.UniqueConstraint("name", "version"),
    )
    entity(
        "equipment",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("data", sa.Text),
        owner("device_class_id", "device_class", nullable=False),
        sa.UniqueConstraint("device_class_id", "code"),
    )
    entity(
        "device",
        sa.Column("guid", sa.String(48), nullable=False, unique=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("status", sa.String(128)),
        sa.Column("data", sa.Text),
        sa.Column("is_blocked", sa.Boolean, nullable=False, server_default=sa.false()),
        owner("network_id", "network"),
        owner("device_class_id", "device_class", nullable=False),
        sa.Column("group_id", RowId),
    )
    index("device", "network_id")
    index("device", "device_class_id")
    entity(
        "device_equipment",
        sa.Column("code", sa.String(128), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("parameters", sa.Text),
        owner("device_id", "device", nullable=False),
        sa.UniqueConstraint("device_id", "code"),
    )
    entity(
        "access_key",
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("key", sa.String(48), nullable=False, unique=True),
        sa.Column("key_start", sa.String(6), nullable=False),
        sa.Column("key_sealed", sa.String(256)),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("type", sa.Integer, nullable=False, server_default=sa.text("0")),
        owner("user_id", "user", nullable=False),
    )
    index("access_key", "user_id")
    entity(
        "access_key_permission",
        sa.Column("domains", sa.Text),
        sa.Column("subnets", sa.Text),
        sa.Column("actions", sa.Text),
        sa.Column("network_ids", sa.Text),
        sa.Column("device_guids", sa.Text),
        owner("access_key_id", "access_key", nullable=False),
    )
    index("access_key_permission", "access_key_id")
    entity(
        "configuration",
        sa.Column("name", sa.String(32), nullable=False, unique=True),
        sa.Column("value", sa.String(128), nullable=False),
    )
    entity(
        "link",
        sa.Column("owner_type", sa.String(16), nullable=False),
        sa.Column("owner_id", RowId, nullable=False),
        sa.Column("target_type", sa.String(16), nullable=False),
        sa.Column("target_id", RowId, nullable=False),
        sa.UniqueConstraint("owner_type", "owner_id", "target_type", "target_id"),
    )
    index("link", "target_type", "target_id")


def create_changes() -> None:
    op.create_table(
        "change",
        sa.Column("revision", RowId, primary_key=True, autoincrement=True),
        sa.Column("entity", sa.String(16), nullable=False),
        sa.Column("entity_id", RowId),
        sa.Column("guid", sa.String(48)),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def create_log() -> None:
    log("notification")
    log(
        "command",
        sa.Column("user_id", RowId),
        sa.Column("lifetime_s", sa.Integer),
        sa.Column("expires_ms", sa.BigInteger),
        sa.Column("status", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("updated", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(64), primary_key=True),
        sa.Column("device_id", RowId, primary_key=True, autoincrement=False),
        sa.Column("action", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("message_id", RowId, nullable=False),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    index("idempotency", "created_ms")
    op.create_table(
        "retention",
        sa.Column("kind", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("device_id", RowId, primary_key=True, autoincrement=False),
        sa.Column("pruned_to", RowId, nullable=False),
    )


def log(name: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("id", RowId, primary_key=True, autoincrement=False),
        sa.Column("device_id", RowId, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("parameters", sa.Text, nullable=False),
        *columns,
    )
    index(name, "device_id")


def create_ids_and_activity() -> None:
    op.create_table(
        "lane",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("queued", sa.Boolean, nullable=False),
        sa.Column("is_open", sa.Boolean, nullable=False),
    )
    op.create_table(
        "lost",
        sa.Column("after", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("before", sa.BigInteger, primary_key=True, autoincrement=False),
    )
    op.create_table(
        "activity",
        owner("device_id", "device", primary_key=True, autoincrement=False),
        sa.Column("last_active_ms", sa.BigInteger, nullable=False),
    )
    index("activity", "last_active_ms")
