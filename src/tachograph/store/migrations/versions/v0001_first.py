"""The first schema."""

from __future__ import annotations

from alembic import op

from tachograph.store import schema, views

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    schema.metadata.create_all(op.get_bind())
    for statement in views.statements():
        op.execute(statement)
