from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import InvalidParameter
from tachograph.queries.answers.runs import RunsAsked, listed, overview
from tachograph.queries.runs import runs
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape

PLANNED: dict[str, Any] = {
    "id": RUN, "execution_id": EXECUTION, "name": "plan", "agent_type": "planner", "tenant": "default",
    "session_id": "s1", "user": "u1", "tags": ["project:sales"], "project": "sales", "environment": None,
    "version": None, "external_platform": "slack", "source": "", "parent_run_id": None, "status": "completed",
    "stop_reason": "", "start_time": "2025-06-15T15:06:40Z", "end_time": "2025-06-15T15:06:47Z", "duration_ms": 7_000,
    "events": 8, "iterations": 1, "steps": 0, "llm_calls": 1, "tool_calls": 1, "errors": 1, "interventions": 0,
    "input_tokens": 1_500, "uncached_tokens": 1_500, "cache_read_tokens": 0, "cache_write_tokens": 0,
    "output_tokens": 500, "reasoning_tokens": 0, "usage_missing": 0, "total_cost": 0.075, "unpriced": 0,
    "reported_cost": 0.0, "error_type": None, "error_message": None, "lost": 0, "truncated": 0, "billable": True,
}  # fmt: skip
"""The planner's run as answers show it."""


def test_a_page_of_runs(store: Store) -> None:
    """A run stands in a list with all its facts and totals; an empty store has none."""
    page = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}
    assert as_json(listed(store, RunsAsked())) == {"runs": [], "total_count": 0, **page}
    store.append(batch(planner().events))
    assert as_json(listed(store, RunsAsked())) == {"runs": [PLANNED], "total_count": 1, **page}


def test_what_nobody_knows(store: Store) -> None:
    """An open run has neither end nor duration; tokens and cost that nobody knows are null."""
    tape = Tape("open")
    tape.begin()
    tape.reply(tape.call())
    store.append(batch(tape.events))
    (run,) = runs(store).runs
    found = overview(run)
    assert (found.end_time, found.duration_ms, found.input_tokens, found.total_cost) == (None, None, None, None)
    assert (found.usage_missing, found.unpriced) == (1, 1)


def _many(store: Store) -> None:
    facts: list[dict[str, Any]] = [
        {"agent_type": "a", "session": "s2", "user": "u2", "environment": "prod", "source": "codex:x.jsonl"},
        {"parent_run": RUN, "tags": ("x",)},
        {"source": "audit"},
    ]
    tapes = [planner()]
    for number, more in enumerate(facts, 1):
        tape = Tape(f"run {number}", at=BEGAN + number * 60 * SECOND)
        tape.begin(f"run {number}", **more)
        if number == 1:
            tape.wait(90 * SECOND).finish("failed", stop_reason="tool_loop")
        tapes.append(tape)
    store.append(batch(*(tape.events for tape in tapes)))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["run 2", "run 1", "plan"]),
        ({"order": "oldest"}, ["plan", "run 1", "run 2"]),
        ({"order": "longest"}, ["run 1", "plan", "run 2"]),
        ({"order": "dearest", "limit": 1}, ["plan"]),
        ({"order": "most_tokens", "limit": 1}, ["plan"]),
        ({"order": "most_errors", "limit": 1}, ["plan"]),
        ({"status": "failed"}, ["run 1"]),
        ({"stop_reason": "tool_loop"}, ["run 1"]),
        ({"agent_type": "planner"}, ["plan"]),
        ({"session_id": "s2"}, ["run 1"]),
        ({"user": "u1"}, ["plan"]),
        ({"environment": "prod"}, ["run 1"]),
        ({"tag": "x"}, ["run 2"]),
        ({"project": "sales"}, ["plan"]),
        ({"source": "codex"}, ["run 1"]),
        ({"source": "audit"}, ["run 3"]),
        ({"name": "RUN"}, ["run 2", "run 1"]),
        ({"parent_run_id": RUN}, ["run 2"]),
        ({"top": True}, ["run 1", "plan"]),
        ({"start_date": "2025-06-15T15:07:40Z", "end_date": "2025-06-15T15:07:40Z"}, ["run 1"]),
    ],
    ids=str,
)
def test_filters_and_orders(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the runs that meet it, in the order asked for; audit runs only when they are meant."""
    _many(store)
    found = listed(store, RunsAsked(**asked))
    assert [run.name for run in found.runs] == expected
    assert found.total_count == (3 if "limit" in asked else len(expected))


@pytest.mark.parametrize("order", ["newest", "longest", "dearest"])
def test_pages_in_any_order(store: Store, order: Any) -> None:
    """A cursor leads through every order, also where values are equal or not known."""
    _many(store)
    whole = listed(store, RunsAsked(order=order)).runs
    cursor, seen = None, list(whole[:0])
    for _ in whole:
        page = listed(store, RunsAsked(order=order, limit=1, cursor=cursor))
        seen += page.runs
        cursor = page.next_cursor
    assert (tuple(seen), cursor) == (whole, None)


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name, an unknown order is no parameter."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon'"):
            listed(store, RunsAsked(**{name: "soon"}))  # type: ignore[arg-type]
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"order": "random"}, RunsAsked)
