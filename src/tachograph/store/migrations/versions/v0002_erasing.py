"""Erasing: who names which payload, tombstones, the feed of what came in, and the keys of the API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From the first tables. Payloads that are there keep an unknown owner until a rebuild."""
    op.add_column("payloads", sa.Column("run", sa.BigInteger))
    op.add_column("dictionaries", sa.Column("learned_from", sa.Text))
    op.create_table(
        "shares",
        sa.Column("payload", sa.BigInteger, nullable=False),
        sa.Column("run", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("payload", "run"),
        sqlite_with_rowid=False,
    )
    _erased()
    op.create_table(
        "feed",
        _number(),
        sa.Column("run", sa.BigInteger, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
    )
    _access_keys()
    op.create_index("runs_audit", "runs", ["started_at"], sqlite_where=sa.text("source = 'audit'"))
    op.create_index("runs_tenant", "runs", ["tenant", "started_at"])


def _number() -> sa.Column[int]:
    """A key that the database counts."""
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _erased() -> None:
    op.create_table(
        "erased",
        _number(),
        sa.Column("run", sa.Text, nullable=False),
        sa.Column("pk", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("last_run", sa.BigInteger, nullable=False),
        sa.Column("last_payload", sa.BigInteger, nullable=False),
        sa.Column("last_node", sa.BigInteger, nullable=False),
    )
    op.create_index("erased_run", "erased", ["run"], unique=True)


def _access_keys() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("scope", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text, nullable=False, server_default="default"),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
