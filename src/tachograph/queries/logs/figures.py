"""Sums of steps and calls in the shapes of the analytics: how many, how they ended, how long, how much of what.

Durations are milliseconds, money is USD. What nobody knows is null, never 0; where some is unknown, a sum is a lower
bound and the count beside it says of how many calls.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from tachograph.queries import stats
from tachograph.queries.units import maybe_usd, ms, usd
from tachograph.store.rollup import STATUSES, Row

Statuses = Annotated[dict[str, int], Meta(description="How many have each status; what is 0 is absent.")]
Rate = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | None,
    Meta(description="Share of the ended that completed; null when none has ended."),
]
Duration = Annotated[float | None, Meta(description="Milliseconds; null when nothing has ended.")]
Sum = Annotated[int | None, Meta(description="Null when calls have ended and nobody counted for any of them.")]
Money = Annotated[float | None, Meta(description="USD; null when calls have ended and none of them has a price.")]


class DurationStats(Struct, frozen=True, kw_only=True):
    """How long the ended ones took. Mean, least and most are exact, quantiles within 10 %, mostly 0.2 %."""

    avg_duration_ms: Duration = None
    min_duration_ms: Duration = None
    max_duration_ms: Duration = None
    p50_duration_ms: Duration = None
    p90_duration_ms: Duration = None
    p95_duration_ms: Duration = None
    p99_duration_ms: Duration = None


class FirstToken(Struct, frozen=True, kw_only=True):
    """Time to the first content of those calls that told."""

    calls: Annotated[int, Meta(ge=0)] = 0
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class TokenStats(Struct, frozen=True, kw_only=True):
    """Tokens and money of model calls."""

    total_input_tokens: Annotated[Sum, Meta(description="Of all classes.")]
    total_output_tokens: Sum
    total_tokens: Sum
    total_cost: Money
    uncached_tokens: Sum
    cache_read_tokens: Sum
    cache_write_tokens: Sum
    reasoning_tokens: Annotated[Sum, Meta(description="A part of the output.")]
    input_cost: Money
    output_cost: Money
    reported_cost: Annotated[float, Meta(description="USD as other sides said, where they said anything.")]
    usage_missing: Annotated[int, Meta(ge=0, description="Ended calls whose usage nobody gave.")]
    unpriced: Annotated[int, Meta(ge=0, description="Ended calls without a price.")]


class CallFigures(Struct, frozen=True, kw_only=True):
    """The model calls of one provider, or of one of its models."""

    provider: str
    model_id: Annotated[str | None, Meta(description="Null for a provider as a whole.")]
    calls: Annotated[int, Meta(ge=0)]
    status_counts: Statuses
    success_rate: Rate
    duration_stats: DurationStats
    first_token: FirstToken
    token_stats: TokenStats


class AgentFigures(Struct, frozen=True, kw_only=True):
    """What one agent did."""

    agent_type: Annotated[str, Meta(description="Empty where nobody said.")]
    executions: Annotated[int, Meta(ge=0)]
    status_counts: Statuses
    success_rate: Rate
    avg_duration_ms: Duration
    min_duration_ms: Duration
    max_duration_ms: Duration
    llm_calls: Annotated[int, Meta(ge=0)]
    token_stats: TokenStats


def status_counts(row: Row | None, paused: int = 0) -> dict[str, int]:
    """How many of the steps in a row have each status; `paused` of those that have not ended."""
    if row is None:
        return {}
    ended = {status: row[status] for status in STATUSES}
    still_open = row["count"] - sum(ended.values()) - paused
    counts = {**ended, "started": still_open, "paused": paused}
    return {status: count for status, count in counts.items() if count}


def success_rate(row: Row | None) -> float | None:
    """Share of the ended that completed."""
    ended = 0 if row is None else sum(row[status] for status in STATUSES)
    return None if row is None or not ended else row["completed"] / ended


def duration_stats(row: Row | None) -> DurationStats:
    """How long the steps in a row took."""
    latency = stats.outcomes(row).latency
    if latency is None:
        return DurationStats()
    return DurationStats(
        avg_duration_ms=ms(latency.mean_ns),
        min_duration_ms=ms(latency.min_ns),
        max_duration_ms=ms(latency.max_ns),
        p50_duration_ms=ms(latency.p50_ns),
        p90_duration_ms=ms(latency.p90_ns),
        p95_duration_ms=ms(latency.p95_ns),
        p99_duration_ms=ms(latency.p99_ns),
    )


def first_token(row: Row | None) -> FirstToken:
    """Times to first token of the calls in a row."""
    found = stats.first_token(row)
    if found is None:
        return FirstToken()
    return FirstToken(
        calls=found.count,
        p50_ms=ms(found.p50_ns),
        p90_ms=ms(found.p90_ns),
        p95_ms=ms(found.p95_ns),
        p99_ms=ms(found.p99_ns),
    )


def token_stats(row: Row | None) -> TokenStats:
    """Tokens and money of the calls in a row."""
    ended = 0 if row is None else sum(row[status] for status in STATUSES)
    tokens, money = stats.tokens(row, ended), stats.money(row, ended)
    return TokenStats(
        total_input_tokens=tokens.input_total,
        total_output_tokens=tokens.output,
        total_tokens=tokens.total,
        total_cost=maybe_usd(money.total),
        uncached_tokens=tokens.input_uncached,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=tokens.cache_write,
        reasoning_tokens=tokens.reasoning,
        input_cost=maybe_usd(money.input),
        output_cost=maybe_usd(money.output),
        reported_cost=usd(money.reported),
        usage_missing=tokens.missing,
        unpriced=money.unpriced,
    )


def call_figures(row: Row, model: str | None) -> CallFigures:
    """The calls in a row, which is of one provider, and of one `model` unless that is None."""
    return CallFigures(
        provider=row["provider"],
        model_id=model,
        calls=row["count"],
        status_counts=status_counts(row),
        success_rate=success_rate(row),
        duration_stats=duration_stats(row),
        first_token=first_token(row),
        token_stats=token_stats(row),
    )


def agent_figures(agent: str, steps: Row | None, calls: Row | None, paused: int) -> AgentFigures:
    """What an agent did: its steps, and its model calls."""
    times: dict[str, Any] = dict.fromkeys(("avg_duration_ms", "min_duration_ms", "max_duration_ms"))
    if steps is not None and steps["timed"]:
        times = {
            "avg_duration_ms": ms(steps["duration_ns"] // steps["timed"]),
            "min_duration_ms": ms(steps["duration_min_ns"]),
            "max_duration_ms": ms(steps["duration_max_ns"]),
        }
    return AgentFigures(
        agent_type=agent,
        executions=0 if steps is None else steps["count"],
        status_counts=status_counts(steps, paused),
        success_rate=success_rate(steps),
        llm_calls=0 if calls is None else calls["count"],
        token_stats=token_stats(calls),
        **times,
    )
