from __future__ import annotations

import tempfile
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tachograph.errors import InvalidParameter
from tachograph.events.run import Failure
from tachograph.queries.logs import analytics
from tachograph.queries.logs.analytics import ErrorCount, Summary, SummaryAsked, summary
from tachograph.queries.logs.calls import LlmCallsAsked, llm_calls
from tachograph.queries.logs.executions import ExecutionsAsked, executions
from tachograph.queries.logs.figures import TokenStats
from tachograph.queries.units import time
from tachograph.store.memory import MemoryStore
from tachograph.store.open import open_store
from tachograph.store.ports import Reading, Store
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, NOW, RUN, as_json, moved, planner
from tests.strategies import BEGAN, Tape, runs

DAY = 24 * HOUR
NO_TIMES = dict.fromkeys(f"{name}_duration_ms" for name in ("avg", "min", "max", "p50", "p90", "p95", "p99"))
NO_TOKENS = {
    "total_input_tokens": 0, "total_output_tokens": 0, "total_tokens": 0, "total_cost": 0.0, "uncached_tokens": 0,
    "cache_read_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "input_cost": 0.0, "output_cost": 0.0,
    "reported_cost": 0.0, "usage_missing": 0, "unpriced": 0,
}  # fmt: skip
TOKENS = {
    **NO_TOKENS, "total_input_tokens": 1_500, "total_output_tokens": 500, "total_tokens": 2_000, "total_cost": 0.075,
    "uncached_tokens": 1_500, "input_cost": 0.045, "output_cost": 0.03,
}  # fmt: skip
PLANNER = {
    "agent_type": "planner", "executions": 2, "status_counts": {"completed": 1, "failed": 1}, "success_rate": 0.5,
    "avg_duration_ms": 4_000.0, "min_duration_ms": 1_000.0, "max_duration_ms": 7_000.0, "llm_calls": 1,
    "token_stats": TOKENS,
}  # fmt: skip
SLOWEST = [
    {
        "id": RUN, "execution_id": EXECUTION, "run_id": RUN, "kind": "run", "name": "plan", "agent_type": "planner",
        "status": "completed", "start_time": "2025-06-15T15:06:40Z", "duration_ms": 7_000.0,
    },
    {
        "id": f"{RUN[:28]}00000005", "execution_id": EXECUTION, "run_id": RUN, "kind": "tool", "name": "create_widget",
        "agent_type": "planner", "status": "failed", "start_time": "2025-06-15T15:06:45Z", "duration_ms": 1_000.0,
    },
]  # fmt: skip
NO_FIRST = {"calls": 0, "p50_ms": None, "p90_ms": None, "p95_ms": None, "p99_ms": None}


def _times(ms: float, **other: float) -> dict[str, float]:
    return {**dict.fromkeys(NO_TIMES, ms), **other}


def _point(start: str, **values: Any) -> dict[str, Any]:
    return {
        "start": start, "executions": 0, "failed_executions": 0, "llm_calls": 0, "failed_llm_calls": 0,
        "input_tokens": 0, "output_tokens": 0, "total_cost": 0.0, "unpriced": 0, "usage_missing": 0, **values,
    }  # fmt: skip


def test_an_empty_store(store: Store) -> None:
    """Nothing recorded: zero sums, null durations, null rates, and a point for each day of the thirty before now."""
    found = as_json(summary(store, SummaryAsked(), NOW))
    points = found["series"].pop("points")
    assert (len(points), points[0], points[-1]) == (
        31, _point("2025-05-16T00:00:00Z"), _point("2025-06-15T00:00:00Z"),
    )  # fmt: skip
    assert found == {
        "date_range": {"start_date": "2025-05-16T00:00:00Z", "end_date": "2025-06-15T15:16:40Z"},
        "execution_analytics": {
            "total_executions": 0, "status_counts": {}, "success_rate": None, "agent_type_counts": {},
            "kind_counts": {}, "duration_stats": NO_TIMES, "agents": [],
        },
        "llm_call_analytics": {
            "total_calls": 0, "status_counts": {}, "success_rate": None, "provider_counts": {}, "model_counts": {},
            "duration_stats": NO_TIMES, "first_token": NO_FIRST, "token_stats": NO_TOKENS, "providers": [],
            "models": [],
        },
        "series": {"interval": "day"}, "slowest_steps": [], "error_groups": [], "error_count": 0,
        "as_of": "2025-06-15T15:16:40Z", "source": "rollups",
    }  # fmt: skip


@pytest.mark.parametrize("refreshed", [False, True])
def test_the_documented_answer(store: Store, refreshed: bool) -> None:
    """One planner's run gives exactly this, whether its hour has a roll-up or not."""
    store.append(batch(planner().events))
    if refreshed:
        assert store.refresh(NOW + HOUR) == 1
    asked = SummaryAsked(start_date="2025-06-15T15:00:00Z", end_date="2025-06-15T16:29:59+00:00")
    found = as_json(summary(store, asked, NOW + HOUR))
    first = found["llm_call_analytics"]["first_token"]
    steps = found["execution_analytics"]["duration_stats"]
    assert abs(first["p50_ms"] - 250) < 25
    assert 1_000 < steps["p50_duration_ms"] <= steps["p99_duration_ms"] <= 7_000
    calls = {
        "status_counts": {"completed": 1}, "success_rate": 1.0, "duration_stats": _times(2_000.0), "first_token": first,
        "token_stats": TOKENS,
    }  # fmt: skip
    assert found == {
        "date_range": {"start_date": "2025-06-15T15:00:00Z", "end_date": "2025-06-15T16:29:59Z"},
        "execution_analytics": {
            "total_executions": 2, "status_counts": {"completed": 1, "failed": 1}, "success_rate": 0.5,
            "agent_type_counts": {"planner": 2}, "kind_counts": {"run": 1, "tool": 1},
            "duration_stats": {
                **steps, "avg_duration_ms": 4_000.0, "min_duration_ms": 1_000.0, "max_duration_ms": 7_000.0,
            },
            "agents": [PLANNER],
        },
        "llm_call_analytics": {
            "total_calls": 1, "provider_counts": {"openai": 1}, "model_counts": {"gpt-4": 1}, **calls,
            "providers": [{"provider": "openai", "model_id": None, "calls": 1, **calls}],
            "models": [{"provider": "openai", "model_id": "gpt-4", "calls": 1, **calls}],
        },
        "series": {
            "interval": "hour",
            "points": [
                _point(
                    "2025-06-15T15:00:00Z", executions=2, failed_executions=1, llm_calls=1, input_tokens=1_500,
                    output_tokens=500, total_cost=0.075,
                ),
                _point("2025-06-15T16:00:00Z"),
            ],
        },
        "slowest_steps": SLOWEST,
        "error_groups": [{"kind": "tool", "error_type": "ValueError", "count": 1}], "error_count": 1,
        "as_of": "2025-06-15T16:16:40Z", "source": "rollups",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "since", "until"),
    [
        ({}, "2025-05-16T00:00:00Z", "2025-06-15T15:16:40Z"),
        ({"start_date": "2025-06-15"}, "2025-06-15T00:00:00Z", "2025-06-15T15:16:40Z"),
        ({"end_date": "2025-03-31"}, "2025-03-01T00:00:00Z", "2025-03-31T23:59:59.999999Z"),
        ({"end_date": "2025-03-31T00:00:00Z"}, "2025-03-01T00:00:00Z", "2025-03-31T00:00:00Z"),
        ({"start_date": "2025-06-20", "end_date": "2025-06-10"}, "2025-06-20T00:00:00Z", "2025-06-10T23:59:59.999999Z"),
    ],
)
def test_periods(store: Store, asked: dict[str, Any], since: str, until: str) -> None:
    """Without bounds a period is the thirty days before its end, from midnight on, and its end is now."""
    store.append(batch(planner().events))
    found = as_json(summary(store, SummaryAsked(**asked), NOW))
    assert found["date_range"] == {"start_date": since, "end_date": until}
    inside = since <= "2025-06-15T15:06:40Z" <= until
    assert found["execution_analytics"]["total_executions"] == 2 * inside


def _two_agents(store: Store) -> None:
    for number, agent in enumerate(("a", "b")):
        tape = Tape(agent, at=BEGAN + number, tick=1_000_000_000)
        tape.begin(agent_type=agent, session=f"s{number}", tags=(f"t{number}",), refs={"report_id": f"r{number}"})
        tape.reply(tape.call(model=f"m{number}", refs={"report_id": f"r{number}"}))
        tape.wait(number * 5_000_000_000).finish()
        store.append(batch(tape.events))


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ({"agent_type": "b"}, "rollups"),
        ({"report_id": "r1"}, "rows"),
        ({"session_id": "s1"}, "rows"),
        ({"tag": "t1"}, "rows"),
    ],
    ids=str,
)
@pytest.mark.parametrize("interval", ["day", "hour"])
def test_conditions(store: Store, asked: dict[str, Any], source: str, interval: Any) -> None:
    """A condition limits every part of the answer, which says whether every step had to be read for it."""
    _two_agents(store)
    for _ in range(2):
        found = summary(store, SummaryAsked(**asked, interval=interval, start_date="2025-06-14"), NOW + HOUR)
        assert found.source == source
        steps, calls = found.execution_analytics, found.llm_call_analytics
        assert (steps.agent_type_counts, calls.model_counts) == ({"b": 1}, {"m1": 1})
        assert [step.duration_ms for step in found.slowest_steps] == [8_000.0]
        assert sum(point.executions for point in found.series.points) == 1
        store.refresh(NOW + HOUR)


def test_what_waits_for_a_person(store: Store) -> None:
    """Runs that are paused are told from those that go on, by agent too, with roll-ups and without."""
    for number, agent in enumerate(("a", "b")):
        tape = Tape(agent, at=BEGAN + number)
        tape.begin(agent_type=agent)
        tape.step()
        if agent == "b":
            tape.finish("paused", stop_reason="approval")
        store.append(batch(tape.events))
    for _ in range(2):
        found = summary(store, SummaryAsked(), NOW + HOUR).execution_analytics
        assert found.status_counts == {"started": 3, "paused": 1}
        assert {each.agent_type: each.status_counts for each in found.agents} == {
            "a": {"started": 2}, "b": {"started": 1, "paused": 1},
        }  # fmt: skip
        store.refresh(NOW + HOUR)


def test_most_frequent_errors(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors come most frequent first, up to a number of groups; the count is of all of them."""
    tape = Tape("errors")
    tape.begin()
    for name in ("Late", "Early", "Late"):
        tape.reply(tape.call(), "failed", error=Failure(name))
    store.append(batch(tape.events))
    assert summary(store, SummaryAsked(), NOW).error_groups == (
        ErrorCount("llm", "Late", 2),
        ErrorCount("llm", "Early", 1),
    )
    monkeypatch.setattr(analytics, "MOST_ERRORS", 1)
    found = summary(store, SummaryAsked(), NOW)
    assert (found.error_groups, found.error_count) == ((ErrorCount("llm", "Late", 2),), 3)


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date is refused by name, and so are hours of a long period; other values are no parameters at all."""
    for asked in ({"start_date": "soon"}, {"end_date": "soon"}, {"start_date": "2025-01-01", "interval": "hour"}):
        with pytest.raises(InvalidParameter) as caught:
            summary(store, SummaryAsked(**asked), NOW)  # type: ignore[arg-type]
        assert caught.value.name == list(asked)[-1]
    for wrong in ({"interval": "week"}, {"limit": 1}, {"report_id": ""}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, SummaryAsked)


# --- sums ---


def _adds_up(store: Reading, asked: SummaryAsked, found: Summary, now: int) -> None:
    """All sums of an answer agree with each other, and with the lists for the same bounds."""
    steps, calls = found.execution_analytics, found.llm_call_analytics
    bounds: dict[str, Any] = {
        "start_date": found.date_range.start_date.isoformat(),
        "end_date": found.date_range.end_date.isoformat(),
    }
    listed = executions(store, ExecutionsAsked(**bounds, agent_type=asked.agent_type, limit=1), now).total_count
    for counts in (steps.status_counts, steps.agent_type_counts, steps.kind_counts):
        assert sum(counts.values()) == steps.total_executions == listed
    assert sum(each.executions for each in steps.agents) == steps.total_executions
    by_status: Counter[str] = Counter()
    for each in steps.agents:
        by_status.update(each.status_counts)
    assert by_status == steps.status_counts
    if asked.agent_type is None:
        assert llm_calls(store, LlmCallsAsked(**bounds, limit=1), now).total_count == calls.total_calls
    for counts in (calls.provider_counts, calls.model_counts, calls.status_counts):
        assert sum(counts.values()) == calls.total_calls
    for parts in (calls.models, calls.providers):
        assert sum(part.calls for part in parts) == calls.total_calls
        _same_tokens([part.token_stats for part in parts], calls.token_stats)
    _same_tokens([each.token_stats for each in steps.agents], calls.token_stats)
    assert sum(each.llm_calls for each in steps.agents) == calls.total_calls
    points = found.series.points
    assert sum(point.executions for point in points) == steps.total_executions
    assert sum(point.llm_calls for point in points) == calls.total_calls
    assert sum(point.failed_llm_calls for point in points) == calls.status_counts.get("failed", 0)
    assert sum(point.failed_executions for point in points) == steps.status_counts.get("failed", 0)
    assert sum(point.input_tokens for point in points) == (calls.token_stats.total_input_tokens or 0)
    assert sum(point.unpriced for point in points) == calls.token_stats.unpriced
    assert sum(_nano(point.total_cost) for point in points) == _nano(calls.token_stats.total_cost)
    assert sum(group.count for group in found.error_groups) == found.error_count
    longest = steps.duration_stats.max_duration_ms
    assert longest == (found.slowest_steps[0].duration_ms if found.slowest_steps else None)


def _nano(usd: float | None) -> int:
    return round((usd or 0) * 1e9)


def _same_tokens(parts: list[TokenStats], whole: TokenStats) -> None:
    for name in TokenStats.__struct_fields__:
        values = [getattr(part, name) or 0 for part in parts]
        total = getattr(whole, name) or 0
        if name.endswith("cost"):
            assert sum(map(_nano, values)) == _nano(total)
        else:
            assert sum(values) == total


_minutes = st.integers(0, 60 * 24 * 4)
_logs = st.lists(st.tuples(runs(max_size=12), _minutes), max_size=4, unique_by=lambda log: log[0][0].run)
_bounds = st.none() | _minutes


def _agrees(store: Store, data: st.DataObject) -> None:
    now = BEGAN + data.draw(_minutes) * 60_000_000_000 + HOUR
    for events, minutes in data.draw(_logs):
        store.append(batch(moved(events, minutes * 60_000_000_000)))
        if data.draw(st.booleans()):
            store.refresh(now)
        since, until = (
            None if bound is None else time(BEGAN + bound * 60_000_000_000).isoformat()
            for bound in (data.draw(_bounds), data.draw(_bounds))
        )
        asked = SummaryAsked(
            start_date=since, end_date=until, agent_type=data.draw(st.sampled_from((None, None, "a"))),
            interval=data.draw(st.sampled_from((None, "day"))),
        )  # fmt: skip
        _adds_up(store, asked, summary(store, asked, now), now)


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_all_sums_add_up(data: st.DataObject) -> None:
    """Whatever was recorded, refreshed or not, for any period: every way to add up gives the totals and the lists."""
    _agrees(MemoryStore(), data)


@given(st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_same_in_a_file(data: st.DataObject) -> None:
    """The same holds for a store in a file."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:{folder}/sums.db")
        try:
            _agrees(store, data)
        finally:
            store.close()
