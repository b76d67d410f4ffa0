"""Lists: an index for each, which holds what the list can be limited by. And indexes that other tools can read back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """The indexes that were in the order of time alone give way to those of the lists."""
    for index, table in (
        ("steps_started", "steps"), ("calls_started", "calls"), ("tool_calls_started", "tool_calls"),
        ("sessions_updated", "sessions"), ("runs_tenant", "runs"), ("runs_user", "runs"),
    ):  # fmt: skip
        op.drop_index(index, table)
    op.create_index(
        "steps_list", "steps",
        ["started_at", "run", "step", "kind", "status", "agent_type", "name", "action_type", "report_id"],
        sqlite_where=sa.text("kind != 'llm'"),
    )  # fmt: skip
    op.create_index("calls_list", "calls", ["started_at", "run", "step", "provider", "model", "status", "streaming"])
    op.create_index("tool_calls_list", "tool_calls", ["started_at", "run", "step", "name", "state", "agent_type"])
    op.create_index("sessions_list", "sessions", ["updated_at", "tenant", "session", "user", "status"])
    op.create_index("runs_list", "runs", ["tenant", "started_at", "status", "agent_type", "platform", "source", "tags"])
    op.create_index("runs_user", "runs", ["user", "started_at"], sqlite_where=sa.text("user IS NOT NULL"))
    _payloads()


def _payloads() -> None:
    """An index on an expression cannot be compared by the migrations of an application; one on a column can."""
    op.drop_index("payloads_hash", "payloads")
    op.add_column("payloads", sa.Column("prefix", sa.LargeBinary, sa.Computed("substr(hash, 1, 8)")))
    op.create_index("payloads_prefix", "payloads", ["prefix"])
