"""OAuth 2: clients, what users grant them, and users by their identities elsewhere."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    entity(
        "oauth_client",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("domain", sa.String(128), nullable=False),
        sa.Column("subnet", sa.String(128)),
        sa.Column("redirect_uri", sa.String(128), nullable=False),
        sa.Column("oauth_id", sa.String(32), nullable=False, unique=True),
        sa.Column("secret_sealed", sa.String(256), nullable=False),
    )
    entity(
        "oauth_grant",
        sa.Column("timestamp_ms", sa.BigInteger, nullable=False),
        sa.Column("auth_code", sa.String(36), unique=True),
        sa.Column("type", sa.Integer, nullable=False),
        sa.Column("access_type", sa.Integer, nullable=False),
        sa.Column("redirect_uri", sa.String(128), nullable=False),
        sa.Column("scope", sa.String(256), nullable=False),
        sa.Column("network_ids", sa.String(128)),
        sa.Column("code_challenge", sa.String(43)),
        owner("client_id", "oauth_client"),
        owner("user_id", "user"),
        owner("key_id", "access_key"),
    )
    for columns in (["client_id"], ["key_id"], ["user_id", "client_id"]):
        op.create_index(f"ix_oauth_grant_{'_'.join(columns)}", "oauth_grant", columns)
    with_code = sa.text("auth_code IS NOT NULL")
    op.create_index(
        "ix_oauth_grant_codes", "oauth_grant", ["timestamp_ms"], sqlite_where=with_code, postgresql_where=with_code
    )
    for identity in ("google_login", "facebook_login", "github_login"):
        op.create_index(f"ix_user_{identity}_in_any_case", "user", [sa.text(f"lower({identity})")])


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


def owner(name: str, target: str) -> sa.Column[Any]:
    return sa.Column(name, RowId, sa.ForeignKey(f"{target}.id", ondelete="CASCADE"), nullable=False)
