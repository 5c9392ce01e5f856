"""On PostgreSQL, indexes that tell where the messages of a device are; SQLite has a table for that."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in ("notification", "command"):
        op.create_index(f"ix_{table}_place", table, ["device_id", "id"])
    op.drop_index("ix_command_device_id", "command")  # the new one begins with the same


def downgrade() -> None:
    raise NotImplementedError("a database is never taken back; restore a backup")
