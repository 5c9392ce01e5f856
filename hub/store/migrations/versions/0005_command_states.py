"""How far each command has come, as far as what was stored until now can tell."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("command", sa.Column("state", sa.Integer, nullable=False, server_default=sa.text("0")))
    # An update proves that the device has it, and with a status or a result that it is done.
    op.execute("UPDATE command SET state = CASE WHEN status IS NULL AND result = 'null' THEN 2 ELSE 3 END WHERE updated")


def downgrade() -> None:
    raise NotImplementedError("a database is never taken back; restore a backup")
