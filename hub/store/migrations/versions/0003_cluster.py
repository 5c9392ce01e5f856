"""Several workers: who holds which lane, who leads, by which updates of commands are found, and which pepper is used."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    none = sa.text("0")
    op.add_column("command", sa.Column("update_id", sa.BigInteger, nullable=False, server_default=none))
    op.create_index(
        "ix_command_update_id",
        "command",
        ["update_id"],
        sqlite_where=sa.text("update_id > 0"),
        postgresql_where=sa.text("update_id > 0"),
    )
    op.add_column("lane", sa.Column("owner", sa.String(64)))
    op.add_column("lane", sa.Column("safe", sa.BigInteger, nullable=False, server_default=none))
    op.add_column("lane", sa.Column("seen_us", sa.BigInteger, nullable=False, server_default=none))
    lanes = ", ".join(f"({number})" for number in range(64))
    op.execute(
        f"WITH lanes (number) AS (VALUES {lanes}) INSERT INTO lane (number, mark, queued, is_open) "  # noqa: S608
        "SELECT number, 0, false, false FROM lanes WHERE number NOT IN (SELECT number FROM lane)"
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "lead",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("a database is never taken back; restore a backup")
