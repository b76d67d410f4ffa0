"""Columns that several tables of `schema` have, in their order."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Computed, Integer, LargeBinary, Text, text

Key = BigInteger().with_variant(Integer, "sqlite")
"""Integer keys: SQLite makes its row number of `INTEGER PRIMARY KEY` only."""

INPUT_TOTAL = "uncached_tokens + cache_read_tokens + cache_write_tokens"
INPUT_KNOWN = (
    "CASE WHEN coalesce(uncached_tokens, cache_read_tokens, cache_write_tokens) IS NOT NULL THEN "
    "coalesce(uncached_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) END"
)
"""All input tokens that somebody counted, NULL when nobody did."""

_TOKENS = ("uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")


def count(name: str) -> Column[int]:
    """A number that grows from 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


def content(name: str) -> tuple[Column[str], Column[int]]:
    """A recorded content: its JSON text, or the payload that holds it."""
    return Column(name, Text), Column(f"{name}_payload", BigInteger)


def ended() -> Column[int]:
    """When it was over: start and monotonic duration together."""
    return Column("ended_at", BigInteger, Computed("started_at + duration_ns"))


def tokens(total_input: str) -> tuple[Column[int], Column[int]]:
    """Input tokens and all tokens, worked out."""
    return (
        Column("input_tokens", BigInteger, Computed(total_input)),
        Column("total_tokens", BigInteger, Computed(f"{total_input} + output_tokens")),
    )


def totals() -> tuple[Column[int], ...]:
    """Sums over the attempts of a run or a session. What is missing adds nothing and is counted apart."""
    names = ("llm_calls", "tool_calls", "errors", "interventions", *_TOKENS, "usage_missing", "cost_nano", "unpriced")
    return tuple(map(count, (*names, "reported_cost_nano")))


def sums() -> tuple[Column[int] | Column[bytes], ...]:
    """Sums over the steps of an hour or a day, and their packed times."""
    steps = ("count", "completed", "failed", "cancelled", "abandoned", "timed", "duration_ns")
    money = ("cost_nano", "input_cost_nano", "output_cost_nano", "unpriced", "reported_cost_nano")
    return (
        *map(count, (*steps, *_TOKENS, "usage_missing", *money)),
        Column("duration_min_ns", BigInteger),
        Column("duration_max_ns", BigInteger),
        Column("hist", LargeBinary),
        Column("first_token_hist", LargeBinary),
    )
