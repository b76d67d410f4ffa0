from __future__ import annotations

from typing import Any

from tachograph.fold import histogram
from tachograph.queries.logs.figures import (
    AgentFigures,
    CallFigures,
    DurationStats,
    FirstToken,
    TokenStats,
    agent_figures,
    call_figures,
    duration_stats,
    first_token,
    status_counts,
    success_rate,
    token_stats,
)
from tachograph.store.rollup import VALUES

NO_TOKENS = TokenStats(
    total_input_tokens=0, total_output_tokens=0, total_tokens=0, total_cost=0.0, uncached_tokens=0,
    cache_read_tokens=0, cache_write_tokens=0, reasoning_tokens=0, input_cost=0.0, output_cost=0.0, reported_cost=0.0,
    usage_missing=0, unpriced=0,
)  # fmt: skip


def _row(**values: Any) -> dict[str, Any]:
    packed = {"hist": None, "first_token_hist": None, "duration_min_ns": None, "duration_max_ns": None}
    return {**dict.fromkeys(VALUES, 0), **packed, **values}


def _calls() -> dict[str, Any]:
    return _row(
        provider="openai", model="gpt-4", count=5, completed=2, failed=1, timed=3, duration_ns=6_000_000,
        duration_min_ns=1_000_000, duration_max_ns=3_000_000, first_token_hist=histogram.of((500_000,)).pack(),
        hist=histogram.of((1_000_000, 2_000_000, 3_000_000)).pack(), uncached_tokens=100, cache_read_tokens=20,
        cache_write_tokens=3, output_tokens=50, reasoning_tokens=10, usage_missing=1, cost_nano=6_000,
        input_cost_nano=4_000, output_cost_nano=2_000, unpriced=2, reported_cost_nano=7_000,
    )  # fmt: skip


def test_how_they_ended() -> None:
    """Every status that occurs has its number; what has not ended is started or paused. The rate is of the ended."""
    row = _row(count=10, completed=3, failed=1, abandoned=2)
    assert status_counts(row, 1) == {"completed": 3, "failed": 1, "abandoned": 2, "started": 3, "paused": 1}
    assert (success_rate(row), success_rate(_row(count=2)), success_rate(None)) == (0.5, None, None)
    assert (status_counts(None), status_counts(_row(count=1, failed=1))) == ({}, {"failed": 1})


def test_how_long_they_took() -> None:
    """Mean, least and most are exact; quantiles lie between least and most. Nothing ended: all null, and 0 is 0."""
    found = duration_stats(_calls())
    assert (found.avg_duration_ms, found.min_duration_ms, found.max_duration_ms) == (2.0, 1.0, 3.0)
    assert found.p50_duration_ms is not None
    assert abs(found.p50_duration_ms - 2.0) < 0.2
    assert found.p99_duration_ms is not None
    assert 2.7 < found.p99_duration_ms <= 3.0
    assert duration_stats(None) == duration_stats(_row(count=1)) == DurationStats()
    at_once = _row(count=1, completed=1, timed=1, duration_min_ns=0, duration_max_ns=0, hist=histogram.of((0,)).pack())
    assert duration_stats(at_once) == DurationStats(**dict.fromkeys(DurationStats.__struct_fields__, 0.0))


def test_time_to_first_token() -> None:
    """Calls that told when their first content came have quantiles; without any there are none."""
    found = first_token(_calls())
    assert (found.calls, found.p50_ms) == (1, found.p99_ms)
    assert found.p50_ms is not None
    assert abs(found.p50_ms - 0.5) < 0.05
    assert first_token(_row(count=3)) == first_token(None) == FirstToken()


def test_tokens_and_money() -> None:
    """Sums by class; null when calls ended and nothing is known of any of them."""
    assert token_stats(_calls()) == TokenStats(
        total_input_tokens=123, total_output_tokens=50, total_tokens=173, total_cost=6e-6, uncached_tokens=100,
        cache_read_tokens=20, cache_write_tokens=3, reasoning_tokens=10, input_cost=4e-6, output_cost=2e-6,
        reported_cost=7e-6, usage_missing=1, unpriced=2,
    )  # fmt: skip
    unknown = token_stats(_row(count=2, completed=2, usage_missing=2, unpriced=2))
    assert unknown == TokenStats(
        **dict.fromkeys(TokenStats.__struct_fields__[:10]), reported_cost=0.0, usage_missing=2, unpriced=2
    )
    assert token_stats(None) == token_stats(_row(count=3)) == NO_TOKENS


def test_calls_of_a_model() -> None:
    """A model's calls, or those of a provider, with everything that is known of them."""
    row = _calls()
    assert call_figures(row, "gpt-4") == CallFigures(
        provider="openai", model_id="gpt-4", calls=5, status_counts={"completed": 2, "failed": 1, "started": 2},
        success_rate=2 / 3, duration_stats=duration_stats(row), first_token=first_token(row),
        token_stats=token_stats(row),
    )  # fmt: skip
    assert call_figures(row, None).model_id is None


def test_what_an_agent_did() -> None:
    """An agent's steps and calls; either may be missing, and so may times."""
    steps = _row(
        count=3, completed=1, timed=2, duration_ns=5_000_000, duration_min_ns=1_000_000, duration_max_ns=4_000_000
    )
    assert agent_figures("desk", steps, _calls(), 1) == AgentFigures(
        agent_type="desk", executions=3, status_counts={"completed": 1, "started": 1, "paused": 1}, success_rate=1.0,
        avg_duration_ms=2.5, min_duration_ms=1.0, max_duration_ms=4.0, llm_calls=5, token_stats=token_stats(_calls()),
    )  # fmt: skip
    assert agent_figures("", None, None, 0) == AgentFigures(
        agent_type="", executions=0, status_counts={}, success_rate=None, avg_duration_ms=None, min_duration_ms=None,
        max_duration_ms=None, llm_calls=0, token_stats=NO_TOKENS,
    )  # fmt: skip
