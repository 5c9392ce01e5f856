"""An index over the commands that nobody has answered; the places of notifications in a table of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_index(
        "ix_command_open",
        "command",
        ["device_id", "expires_ms", "updated"],
        sqlite_where=sa.text("updated = 0"),
        postgresql_where=sa.text("NOT updated"),
    )
    op.create_table(
        "notification_place",
        sa.Column("device_id", RowId, primary_key=True, autoincrement=False),
        sa.Column("id", RowId, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.drop_index("ix_notification_device_id", "notification")
    op.execute("INSERT INTO notification_place SELECT device_id, id FROM notification ORDER BY device_id, id")
    op.execute("INSERT INTO notification_place SELECT 0, coalesce(max(id), 0) FROM notification")


def downgrade() -> None:
    raise NotImplementedError("a database is never taken back; restore a backup")
