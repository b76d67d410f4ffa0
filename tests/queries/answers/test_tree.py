from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import Ambiguous, NotFound
from tachograph.events.limit import LimitHit
from tachograph.events.note import Score
from tachograph.queries.answers.receipts import receipt_of
from tachograph.queries.answers.tree import RunTreeAsked, run_tree
from tachograph.store.ports import Store
from tests.queries.answers.test_runs import PLANNED
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape

NO_SUMS: dict[str, Any] = {
    "llm_calls": 0, "tool_calls": 0, "input_tokens": 0, "output_tokens": 0, "usage_missing": 0, "total_cost": 0.0,
    "unpriced": 0,
}  # fmt: skip
SPENT = {"llm_calls": 1, "input_tokens": 1_500, "output_tokens": 500, "total_cost": 0.075}


def _step(step: int, **facts: Any) -> dict[str, Any]:
    return {
        "id": f"{RUN[:28]}{step:08x}", "run_id": RUN, "step": step, "depth": 1, "stop_reason": "",
        "agent_type": None, "iteration": 1, "start_time": f"2025-06-15T15:06:4{step}Z", "begin_ms": step * 1_000.0,
        "error": None, "reason": None, "orphan": False, "provider": None, "attempt": None, "retry_of": None,
        "finish_reason": None, "first_token_ms": None, "input_tokens": None, "output_tokens": None,
        "cache_read_tokens": None, "cache_write_tokens": None, "reasoning_tokens": None, "total_cost": None,
        "cost_state": None, "repeat": None, "input": None, "output": None, "below": NO_SUMS, **facts,
    }  # fmt: skip


def test_a_run_as_a_tree(store: Store) -> None:
    """Every step with its depth, its times, its figures, the beginning of its contents, and what is below it."""
    tape = planner()
    tape.add(LimitHit(metric="cost", mode="warn", used=0.075, threshold=0.05))
    tape.add(Score(name="thumbs", value=1.0, kind="user", target=5))
    store.append(batch(tape.events))
    found = as_json(run_tree(store, EXECUTION, RunTreeAsked(preview=20)))
    steps = [
        _step(
            0, depth=0, kind="run", name="plan", status="completed", agent_type="planner", iteration=None,
            duration_ms=7_000.0, input='{"prompt": "Create a…', output='{"plan": [{"action":…',
            below={**NO_SUMS, **SPENT, "tool_calls": 1},
        ),
        _step(
            2, kind="llm", name="gpt-4", status="completed", duration_ms=2_000.0, provider="openai", attempt=1,
            finish_reason="stop", first_token_ms=250.0, input_tokens=1_500, output_tokens=500, cache_read_tokens=0,
            cache_write_tokens=0, total_cost=0.075, cost_state="priced", below={**NO_SUMS, **SPENT},
        ),
        _step(
            5, kind="tool", name="create_widget", status="failed", duration_ms=1_000.0, input='{"kind": "chart"}',
            error={"type": "ValueError", "category": "bug", "message": "no data", "traceback": "Traceback: line 1"},
            below={**NO_SUMS, "tool_calls": 1},
        ),
    ]  # fmt: skip
    assert found == {
        "run": {**PLANNED, "events": 10}, "steps": steps, "total_count": 3, "limit": 2_000, "offset": 0, "children": [],
        "repeats": {
            "tool_calls": 1, "distinct_calls": 1, "max_identical": 1, "max_same_call_and_result": 1,
            "consecutive": {"steps": [5], "tools": ["create_widget"]},
            "consecutive_outcomes": {"steps": [5], "tools": ["create_widget"]}, "cycle": {"steps": [], "tools": []},
            "repeated": [],
        },
        "receipt": as_json(receipt_of(store, RUN)),
        "limits": [
            {
                "metric": "cost", "scope": "run", "mode": "warn", "used": 0.075, "requested": 0.0, "threshold": 0.05,
                "reason": "", "refused_kind": None, "refused_name": None, "evidence": [],
            },
        ],
        "scores": [
            {
                "name": "thumbs", "value": 1.0, "label": None, "kind": "user", "comment": None, "author": None,
                "scope": "step", "step": 5,
            },
        ],
    }  # fmt: skip


def test_runs_below(store: Store) -> None:
    """Runs that it started stand below the step that did, and among its children."""
    top, below = Tape("top"), Tape("below", at=BEGAN + SECOND)
    top.begin("top")
    delegation = top.step("ask", kind="delegation")
    below.begin("below", parent_run=top.run, parent_step=delegation)
    store.append(batch(top.events, below.events))
    found = run_tree(store, top.run, RunTreeAsked())
    assert [(step.depth, step.run_id, step.name, step.begin_ms) for step in found.steps] == [
        (0, top.run, "top", 0.0), (1, top.run, "ask", 1.0), (2, below.run, "below", 1_000.0),
    ]  # fmt: skip
    assert [child.name for child in found.children] == ["below"]


def test_a_part_of_the_steps(store: Store) -> None:
    """Steps can be asked for in parts; their number is told."""
    store.append(batch(planner().events))
    found = run_tree(store, RUN, RunTreeAsked(limit=1, offset=1, preview=0))
    assert ([step.kind for step in found.steps], found.total_count, found.steps[0].input) == (["llm"], 3, None)


def test_which_run(store: Store) -> None:
    """A run is found as everywhere; a name that none has, or several, is an error."""
    store.append(batch(planner().events, Tape("planner 2").events))
    assert run_tree(store, "last", RunTreeAsked()).run.id == RUN
    with pytest.raises(NotFound):
        run_tree(store, "nobody", RunTreeAsked())
    other = Tape("other")
    other.begin()
    store.append(batch(other.events))
    with pytest.raises(Ambiguous):
        run_tree(store, "0197", RunTreeAsked())
