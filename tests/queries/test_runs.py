from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.events import ids
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.queries.runs import Filter, Run, runs
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

SECOND = 1_000_000_000


def _run(store: Store, name: str, after: int = 0, end: str | None = "completed", **facts: Any) -> Tape:
    tape = Tape(name, at=BEGAN + after * SECOND)
    tape.begin(name, **facts)
    if end is not None:
        tape.finish(end, stop_reason="final_answer" if end == "completed" else "tool_loop")
    store.append(batch(tape.events))
    return tape


def _names(store: Store, **where: Any) -> list[str]:
    return [run.name for run in runs(store, Filter(**where)).runs]


def test_a_run_as_lists_show_it(store: Store) -> None:
    """Everything a list says of a run, from one run with two calls, a tool, a step and an error."""
    tape = Tape("whole")
    tape.begin(
        "desk", agent_type="planner", tenant="acme", session="s", user="u", tags=("project:shop", "x"), platform="chat",
        environment="prod", version="1.2", source="claude-code:a.jsonl", parent_run="up",
    )  # fmt: skip
    usage = Usage(100, 20, 3, 50, 10, basis="provider")
    tape.reply(tape.call(), usage=usage, cost=Cost("priced", total=6_000), reported_cost=7)
    tape.reply(tape.call(), "failed")
    tape.result(tape.tool())
    tape.done(tape.step())
    tape.finish("failed", stop_reason="provider_error", error=Failure("Timeout", "took too long"))
    store.append(batch(tape.events))
    page = runs(store, total=True)
    assert page.runs == (
        Run(
            id=tape.run, execution_id=ids.execution_id(BEGAN, tape.run),
            name="desk", agent="planner", tenant="acme", session="s", user="u", tags=("project:shop", "x"),
            project="shop", environment="prod", version="1.2", platform="chat", source="claude-code:a.jsonl",
            parent="up", status="failed", stop_reason="provider_error", started_at=BEGAN, duration_ns=9_000_000,
            events=10, iterations=2, steps=1, llm_calls=2, tool_calls=1, errors=1, interventions=0, input_uncached=100,
            cache_read=20, cache_write=3, output=50, reasoning=10, usage_missing=1, cost=6_000, unpriced=1,
            reported_cost=7, error_type="Timeout", error_message="took too long", lost=0, truncated=0, billable=False,
        ),
    )  # fmt: skip
    assert (page.after, page.total, page.runs[0].input_total, page.runs[0].is_open) == (None, 1, 123, False)


def test_unknown_is_not_zero(store: Store) -> None:
    """A run whose calls nobody counted or priced has no tokens and no cost; a run without calls has used 0."""
    tape = Tape("unknown")
    tape.begin()
    tape.reply(tape.call())
    store.append(batch(tape.events))
    _run(store, "none", after=1)
    none, unknown = runs(store).runs
    assert (none.cost, none.input_total, none.output) == (0, 0, 0)
    assert (unknown.cost, unknown.input_total, unknown.output, unknown.reasoning) == (None, None, None, None)


def test_filters(store: Store) -> None:
    """Each filter keeps exactly the runs that meet it, and several are met together."""
    parent = _run(store, "Parent run", 0, session="s1", tags=("project:shop", "red"), agent_type="a", source="codex:x")
    _run(store, "other", 1, "failed", tenant="t", user="u", environment="prod", tags=("project:shopping",))
    _run(store, "child", 2, None, parent_run=parent.run, parent_step=0)
    every: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["child", "other", "Parent run"]),
        ({"status": "failed"}, ["other"]),
        ({"stop_reason": "tool_loop"}, ["other"]),
        ({"agent": "a"}, ["Parent run"]),
        ({"session": "s1"}, ["Parent run"]),
        ({"tenant": "t"}, ["other"]),
        ({"user": "u"}, ["other"]),
        ({"environment": "prod"}, ["other"]),
        ({"tag": "red"}, ["Parent run"]),
        ({"project": "shop"}, ["Parent run"]),
        ({"source": "codex:"}, ["Parent run"]),
        ({"text": "pareNT"}, ["Parent run"]),
        ({"since": BEGAN + SECOND}, ["child", "other"]),
        ({"until": BEGAN + SECOND}, ["Parent run"]),
        ({"parent": parent.run}, ["child"]),
        ({"top": True}, ["other", "Parent run"]),
        ({"top": True, "status": "completed"}, ["Parent run"]),
    ]
    assert [(where, _names(store, **where)) for where, _ in every] == every


def test_audit_runs(store: Store) -> None:
    """Runs that say what was done to the records are left out of every list unless they are what is asked for."""
    _run(store, "work", source="aider:x.md")
    _run(store, "run_deleted", 1, source="audit")
    asked: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["work"]),
        ({"source": "a"}, ["work"]),
        ({"source": "audit"}, ["run_deleted"]),
        ({"status": "completed", "top": True}, ["work"]),
    ]
    assert [(where, _names(store, **where)) for where, _ in asked] == asked


@pytest.mark.parametrize("order", ["-started_at", "started_at", "-cost_nano", "duration_ns"])
def test_pages_are_the_whole_list(store: Store, order: str) -> None:
    """Following the cursor gives every run once, in the order of the whole list, ties included."""
    for number in range(7):
        _run(store, f"run {number}", number // 3)
    whole = runs(store, order=order, limit=100, total=True)
    assert whole.total == len(whole.runs) == 7
    pages: list[str] = []
    after = None
    while True:
        page = runs(store, order=order, limit=3, after=after)
        pages += [run.id for run in page.runs]
        after = page.after
        if after is None:
            break
    assert pages == [run.id for run in whole.runs]


def test_order_that_there_is_not(store: Store) -> None:
    """An unknown order is refused with the names there are, and values survive JSON."""
    with pytest.raises(ValueError, match="cannot order runs by 'colour'; one of started_at"):
        runs(store, order="colour")
    _run(store, "a")
    page = runs(store)
    assert msgspec.json.decode(msgspec.json.encode(page), type=type(page)) == page
