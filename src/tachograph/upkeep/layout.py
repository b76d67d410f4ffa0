"""What the files of an archive hold: for each table its columns, their kinds, and where their values come from.

Names are those of the views of the same name, in so far as they have them (docs/schema.md). What was said stands once,
in `events.parquet`; the other files are figures and names, for statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from tachograph.events import ids

Kind: TypeAlias = Literal["text", "int", "time", "money", "ms", "flag", "texts"]
"""`time` is UTC with microseconds, `money` decimal USD, `ms` milliseconds, `texts` a list."""
Row = Mapping[str, Any]


class Column(NamedTuple):
    """A column of a file."""

    name: str
    kind: Kind
    needs: tuple[str, ...]
    """Columns of the store's table that it is made of."""
    value: Callable[[Row], Any]


class File(NamedTuple):
    """A file with one row for each row of a table of the store."""

    name: str
    table: str
    columns: tuple[Column, ...]

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of the store's table that are read."""
        return tuple(dict.fromkeys(("run", *(name for column in self.columns for name in column.needs))))


EVENTS: Mapping[str, Kind] = {
    "run": "text", "seq": "int", "at": "time", "step": "int", "type": "text", "event": "text",
}  # fmt: skip
"""Columns of `events.parquet`. `event` is the line of JSON that `tachograph export` writes."""


def micros(ns: int | None) -> int | None:
    """UTC microseconds."""
    return None if ns is None else ns // 1_000


def usd(nano: int | None) -> Decimal | None:
    """Nano-USD as USD, exactly."""
    return None if nano is None else Decimal(nano).scaleb(-9)


def _same(kind: Kind, *names: str, **renamed: str) -> tuple[Column, ...]:
    """Columns that the store's table has, some under another name (`theirs="ours"`)."""
    convert = _CONVERT.get(kind, lambda value: value)
    pairs = {**{name: name for name in names}, **{ours: theirs for theirs, ours in renamed.items()}}
    return tuple(
        Column(name, kind, (source,), lambda row, source=source: convert(row[source]))  # type: ignore[misc] # a lambda's default has no type to state
        for name, source in pairs.items()
    )


_CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "time": micros,
    "money": usd,
    "ms": lambda ns: None if ns is None else ns / 1e6,
    "texts": lambda text: msgspec.json.decode(text) if text else [],
}


def _step(name: str, of: str) -> Column:
    return Column(
        name, "text", ("run_id", of), lambda row: None if row[of] is None else ids.step_id(row["run_id"], row[of])
    )


def _kind_or_name(row: Row) -> str:
    return str(row["kind"] if row["kind"] in ("run", "tool") else row["name"])


_TIMES = (*_same("time", started_at="start_time", ended_at="end_time"), *_same("ms", duration_ns="duration_ms"))
_WHOSE = (*_same("text", "run_id", "execution_id", "tenant", "session"),)
_ERROR = _same("text", "error_type", "error_category", "error_message")
_TOKENS = _same(
    "int", "input_tokens", "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens",
    "reasoning_tokens", "total_tokens",
)  # fmt: skip

RUNS = (
    *_same("text", "id", "execution_id", "name", "agent_type", "tenant", "session", "user"),
    *_same("texts", "tags"),
    *_same(
        "text", "version", "environment", "platform", "source", "parent_run", "trace_id", "status", "stop_reason",
    ),
    *_same("int", "parent_step"),
    *_same("time", "updated_at", started_at="start_time", ended_at="end_time"),
    *_same("ms", duration_ns="duration_ms"),
    *_same("int", "iterations", "steps", "llm_calls", "tool_calls", "errors", "interventions", next_seq="events"),
    *_TOKENS,
    *_same("int", "usage_missing", "unpriced"),
    *_same("money", cost_nano="cost", reported_cost_nano="reported_cost"),
    *_same("int", "lost", "truncated", "redacted", "sanitized"),
    *_same("flag", "discarded", "billable"),
    *_ERROR,
)  # fmt: skip
"""Columns of `runs.parquet`; `events` is how many of the run are in `events.parquet`."""

FILES = (
    File(
        "execution_logs",
        "steps",
        (
            _step("id", "step"),
            _step("parent_id", "parent"),
            *_WHOSE,
            Column("execution_step", "text", ("kind", "name"), _kind_or_name),
            *_same("text", "kind", "name", "agent_type", "action_type", "status"),
            *_TIMES,
            *_same("int", "iteration"),
            *_ERROR,
            *_same("text", "report_id", "completion_id", "widget_id", step_ref="step_id"),
            *_same("text", platform="external_platform", user="external_user_id"),
        ),
    ),
    File(
        "llm_call_logs",
        "calls",
        (
            _step("id", "step"),
            _step("execution_log_id", "parent"),
            *_WHOSE,
            *_same("text", "provider", "operation", "agent_type", "purpose", "status", model="model_id"),
            *_TIMES,
            *_same("int", "iteration", "attempt"),
            _step("retry_of", "retry_of"),
            *_TOKENS,
            *_same("text", "usage_basis"),
            *_same(
                "money", input_cost_nano="input_cost", output_cost_nano="output_cost", cost_nano="total_cost",
                reported_cost_nano="reported_cost",
            ),
            *_same("text", "cost_state", "unpriced_reason", "price_id", "price_date"),
            *_same("flag", streaming="is_streaming"),
            *_same("int", chunks="chunks_count"),
            *_same("ms", first_token_ns="first_token_ms"),  # noqa: S106 - a time, not a password
            *_same("text", "finish_reason", "served_model", "tier", "served_tier", "response_id", "request_id"),
            *_same("int", "http_status"),
            *_ERROR,
            *_same("text", "report_id", "completion_id"),
        ),
    ),
    File(
        "tool_call_logs",
        "tool_calls",
        (
            _step("id", "step"),
            _step("execution_log_id", "parent"),
            *_WHOSE,
            *_same("text", "call_id", "state", "agent_type", "classification", "reason", name="tool_name"),
            *_TIMES,
            _step("requested_by", "requested_by"),
            *_same("int", "iteration", "position"),
            *_ERROR,
        ),
    ),
)  # fmt: skip
"""Files made of rows; steps of model calls have a file of their own and are not in `execution_logs`."""
