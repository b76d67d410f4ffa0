"""The first tables, as they were: written out, so that they stay what they are when `schema` moves on."""

from __future__ import annotations

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ENDED = "started_at + duration_ns"
INPUT = "uncached_tokens + cache_read_tokens + cache_write_tokens"
TOTAL = f"{INPUT} + output_tokens"
KNOWN_INPUT = (
    "CASE WHEN coalesce(uncached_tokens, cache_read_tokens, cache_write_tokens) IS NOT NULL THEN "
    "coalesce(uncached_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) END"
)
KNOWN_TOTAL = f"{KNOWN_INPUT} + output_tokens"


def upgrade() -> None:
    """From an empty database."""
    for create in (
        _runs, _steps, _calls, _tool_calls, _sessions, _limit_hits, _scores, _events, _payloads, _nodes,
        _dictionaries, _prices, _journals, _imports, _losses, _dirty_hours,
    ):  # fmt: skip
        create()
    _rollup("rollup_hour", "hour")
    _rollup("rollup_day", "day")


def _column(kind: Any, name: str, *, required: bool = False, default: Any = None) -> sa.Column[Any]:
    """A column; one with a default is never NULL."""
    if default is None:
        return sa.Column(name, kind, nullable=not required)
    said = default if isinstance(default, str) else sa.text(str(default))
    return sa.Column(name, kind, nullable=False, server_default=said)


text, big, whole = partial(_column, sa.Text), partial(_column, sa.BigInteger), partial(_column, sa.Integer)
small, real, blob = partial(_column, sa.SmallInteger), partial(_column, sa.Float), partial(_column, sa.LargeBinary)
count = partial(_column, sa.BigInteger, default=0)


def number(name: str) -> sa.Column[Any]:
    """An integer key, counted by the database unless it is given."""
    counted = name != "page"
    kind = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    return sa.Column(name, kind, primary_key=True, autoincrement="auto" if counted else False)


def flag(name: str) -> sa.Column[Any]:
    """True or false; false unless it is said."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def computed(name: str, expression: str) -> sa.Column[Any]:
    """A column that is worked out when it is read."""
    return sa.Column(name, sa.BigInteger, sa.Computed(expression))


def _runs() -> None:
    op.create_table(
        "runs",
        number("pk"), text("id", required=True), text("execution_id", required=True), text("name", required=True),
        text("agent_type"), text("tenant", default="default"), text("session"), text("user"), text("tags"),
        text("version"), text("environment"), text("platform"), text("source", default=""), text("parent_run"),
        big("parent_step"), text("trace_id"), text("trace_parent"), text("owner", default=""),
        whole("epoch", default=0), text("status", default="started"), text("stop_reason", default=""),
        big("started_at", required=True), big("duration_ns"), big("updated_at", required=True),
        big("next_seq", required=True), whole("loose_pages", default=0), flag("discarded"), flag("billable"),
        count("iterations"), count("steps"), count("llm_calls"), count("tool_calls"), count("errors"),
        count("interventions"), count("uncached_tokens"), count("cache_read_tokens"), count("cache_write_tokens"),
        count("output_tokens"), count("reasoning_tokens"), count("usage_missing"), count("cost_nano"),
        count("unpriced"), count("reported_cost_nano"), count("lost"), count("truncated"), count("redacted"),
        count("sanitized"), text("error_type"), text("error_category"), text("error_message"), text("input"),
        big("input_payload"), text("output"), big("output_payload"), text("metadata"), big("metadata_payload"),
        computed("ended_at", ENDED), computed("input_tokens", INPUT), computed("total_tokens", TOTAL),
    )  # fmt: skip
    op.create_index("runs_execution", "runs", ["execution_id"])
    op.create_index("runs_id", "runs", ["id"], unique=True)
    op.create_index("runs_open", "runs", ["owner"], sqlite_where=sa.text("status IN ('started', 'paused')"))
    op.create_index("runs_parent", "runs", ["parent_run"], sqlite_where=sa.text("parent_run IS NOT NULL"))
    op.create_index("runs_session", "runs", ["session", "tenant"], sqlite_where=sa.text("session IS NOT NULL"))
    op.create_index("runs_started", "runs", ["started_at"])
    op.create_index("runs_user", "runs", ["user"], sqlite_where=sa.text("user IS NOT NULL"))


def _steps() -> None:
    op.create_table(
        "steps",
        big("run", required=True), big("step", required=True), big("parent"), text("kind", required=True),
        text("name", required=True), text("agent_type"), text("action_type"), whole("iteration"),
        text("status", default="started"), big("started_at", required=True), big("duration_ns"), text("report_id"),
        text("completion_id"), text("widget_id"), text("step_ref"), text("refs"), text("error_type"),
        text("error_category"), text("error_message"), text("input"), big("input_payload"), text("output"),
        big("output_payload"), text("metadata"), big("metadata_payload"), computed("ended_at", ENDED),
        sa.PrimaryKeyConstraint("run", "step"), sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("steps_report", "steps", ["report_id"], sqlite_where=sa.text("report_id IS NOT NULL"))
    op.create_index("steps_started", "steps", ["started_at"])


def _calls() -> None:
    op.create_table(
        "calls",
        big("run", required=True), big("step", required=True), text("provider", required=True),
        text("model", required=True), text("operation", default="chat"), text("agent_type"), text("purpose"),
        text("status", default="started"), big("started_at", required=True), big("duration_ns"),
        whole("attempt", default=1), big("retry_of"), flag("streaming"), big("input_node"), big("output_node"),
        big("uncached_tokens"), big("cache_read_tokens"), big("cache_write_tokens"), big("cache_write_1h_tokens"),
        big("output_tokens"), big("reasoning_tokens"), text("usage_basis"), text("usage_extra"), text("cost_state"),
        big("cost_nano"), big("input_cost_nano"), big("output_cost_nano"), big("cache_read_cost_nano"),
        big("cache_write_cost_nano"), big("reported_cost_nano"), big("price"), text("unpriced_reason"),
        text("finish_reason"), text("served_model"), text("tier"), text("served_tier"), whole("http_status"),
        big("first_token_ns"), big("chunks"), text("response_id"), text("request_id"), text("tools"),
        big("tools_payload"), text("params"), big("params_payload"), text("timeline"), computed("ended_at", ENDED),
        computed("input_tokens", KNOWN_INPUT), computed("total_tokens", KNOWN_TOTAL),
        sa.PrimaryKeyConstraint("run", "step"), sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("calls_started", "calls", ["started_at"])


def _tool_calls() -> None:
    op.create_table(
        "tool_calls",
        big("run", required=True), big("step", required=True), text("name", required=True), text("agent_type"),
        text("state", default="started"), big("started_at", required=True), big("duration_ns"), text("call_id"),
        big("requested_by"), whole("position", default=0), text("classification", default="other"),
        big("arguments_hash"), big("result_hash"), big("result_node"), text("reason"), text("arguments"),
        big("arguments_payload"), text("result"), big("result_payload"), computed("ended_at", ENDED),
        sa.PrimaryKeyConstraint("run", "step"), sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("tool_calls_started", "tool_calls", ["started_at"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        text("tenant", required=True), text("session", required=True), text("user"),
        text("status", default="active"), big("started_at", required=True), big("updated_at", required=True),
        text("last_run", required=True), big("last_started_at", required=True), count("runs"), count("llm_calls"),
        count("tool_calls"), count("errors"), count("interventions"), count("uncached_tokens"),
        count("cache_read_tokens"), count("cache_write_tokens"), count("output_tokens"), count("reasoning_tokens"),
        count("usage_missing"), count("cost_nano"), count("unpriced"), count("reported_cost_nano"),
        computed("input_tokens", INPUT), computed("total_tokens", TOTAL),
        sa.PrimaryKeyConstraint("tenant", "session"), sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("sessions_updated", "sessions", ["updated_at"])


def _limit_hits() -> None:
    op.create_table(
        "limit_hits",
        big("run", required=True), big("seq", required=True), big("step", required=True), big("at", required=True),
        text("metric", required=True), text("scope", required=True), text("mode", required=True),
        real("used", required=True), real("requested", required=True), real("threshold", required=True),
        text("reason", required=True), text("refused_kind"), text("refused_name"), text("evidence"),
        sa.PrimaryKeyConstraint("run", "seq"), sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("limit_hits_at", "limit_hits", ["at"])


def _scores() -> None:
    op.create_table(
        "scores",
        big("run", required=True), big("seq", required=True), big("at", required=True), big("target", required=True),
        text("name", required=True), real("value"), text("label"), text("kind", required=True), text("author"),
        text("comment"), sa.PrimaryKeyConstraint("run", "seq"), sqlite_with_rowid=False,
    )  # fmt: skip


def _events() -> None:
    op.create_table(
        "events",
        number("page"), whole("count", required=True), small("codec", required=True), blob("body", required=True),
    )  # fmt: skip


def _payloads() -> None:
    op.create_table(
        "payloads",
        number("id"), blob("hash", required=True), big("canonical"), big("size", required=True),
        small("encoding", required=True), blob("body"),
    )  # fmt: skip
    op.create_index("payloads_hash", "payloads", [sa.text("substr(hash, 1, 8)")])


def _nodes() -> None:
    op.create_table(
        "nodes",
        number("id"), big("parent", required=True), big("payload", required=True), text("role", required=True),
    )  # fmt: skip
    op.create_index("nodes_key", "nodes", ["parent", "payload"])


def _dictionaries() -> None:
    op.create_table(
        "dictionaries",
        number("id"), text("kind", required=True), big("rows", required=True), blob("body"),
    )  # fmt: skip


def _prices() -> None:
    op.create_table(
        "prices",
        number("id"), text("price_id", required=True), text("price_date", required=True),
    )  # fmt: skip
    op.create_index("prices_key", "prices", ["price_id", "price_date"], unique=True)


def _journals() -> None:
    op.create_table(
        "journals",
        text("id", required=True), count("segment"), count("offset"), text("state", default="open"), big("seen_at"),
        sa.PrimaryKeyConstraint("id"), sqlite_with_rowid=False,
    )  # fmt: skip


def _imports() -> None:
    op.create_table(
        "imports",
        text("key", required=True), big("size", required=True), big("mtime_ns", required=True), blob("digest"),
        text("facts"), sa.PrimaryKeyConstraint("key"), sqlite_with_rowid=False,
    )  # fmt: skip


def _losses() -> None:
    op.create_table(
        "losses",
        number("id"), big("at", required=True), text("journal", required=True), text("reason", required=True),
        big("events", required=True), big("bytes", required=True), text("detail", required=True),
    )  # fmt: skip
    op.create_index("losses_key", "losses", ["journal", "reason", "detail"], unique=True)


def _rollup(name: str, period: str) -> None:
    op.create_table(
        name,
        text("facet", required=True), text("tenant", default=""), text("project", default=""),
        text("provider", default=""), text("model", default=""), text("agent", default=""), text("step", default=""),
        text("status", default=""), text("error", default=""), count("count"), count("completed"), count("failed"),
        count("cancelled"), count("abandoned"), count("timed"), count("duration_ns"), count("uncached_tokens"),
        count("cache_read_tokens"), count("cache_write_tokens"), count("output_tokens"), count("reasoning_tokens"),
        count("usage_missing"), count("cost_nano"), count("input_cost_nano"), count("output_cost_nano"),
        count("unpriced"), count("reported_cost_nano"), big("duration_min_ns"), big("duration_max_ns"), blob("hist"),
        blob("first_token_hist"), big(period, required=True),
        sa.PrimaryKeyConstraint(
            "facet", period, "tenant", "project", "provider", "model", "agent", "step", "status", "error"
        ),
        sqlite_with_rowid=False,
    )  # fmt: skip


def _dirty_hours() -> None:
    op.create_table(
        "dirty_hours",
        text("tenant", required=True), big("hour", required=True), big("ver", default=1),
        sa.PrimaryKeyConstraint("tenant", "hour"), sqlite_with_rowid=False,
    )  # fmt: skip
