from __future__ import annotations

from typing import Any

from tachograph.events.content import Content, inline
from tachograph.events.run import Failure
from tachograph.queries.logs.execution_rows import COLUMNS, ExecutionLog, execution_logs
from tachograph.store.ports import Reading, Store
from tachograph.store.query import Query, Where
from tests.queries.kept import batch
from tests.queries.logs.desk import PLAN, TOOL, as_json, planner
from tests.strategies import BEGAN, Tape


def _rows(store: Reading) -> Any:
    where = (Where("kind", "ne", "llm"),)
    return store.find(Query("steps", where, COLUMNS, order=("started_at",), limit=None)).rows


def _logs(store: Reading, each: int = 10_000) -> list[ExecutionLog]:
    return execution_logs(store, _rows(store), each)


def test_runs_and_tool_calls(store: Store) -> None:
    """A run has its own input, output and metadata, a tool call its arguments and what it returned."""
    store.append(batch(planner().events))
    assert as_json(_logs(store)) == [PLAN, TOOL]


def test_any_other_step(store: Store) -> None:
    """A step of a program has what it was given and what it gave, its parent, and the ids of the application."""
    tape = Tape("steps", tick=1_000_000_000)
    tape.begin(agent_type="desk")
    refs = {"report_id": "r", "completion_id": "c", "widget_id": "w", "step_id": "7", "region": "eu"}
    outer = tape.step("execute", kind="plan", input=inline("[1]"), metadata=inline('{"a":1}'), refs=refs, iteration=2)
    inner = tape.step("observe", parent=outer, agent_type="critic", action_type="observation")
    tape.done(outer, "failed", output=inline("null"), metadata=inline('{"b":2}'), error=Failure("", "no", "timeout"))
    store.append(batch(tape.events))
    _, found, still_open = as_json(_logs(store))
    own = {name: found[name] for name in ("report_id", "completion_id", "widget_id", "step_id", "refs")}
    assert own == {**{name: refs[name] for name in own if name != "refs"}, "refs": {"region": "eu"}}
    assert (found["execution_step"], found["kind"], found["name"], found["iteration"]) == (
        "execute", "plan", "execute", 2,
    )  # fmt: skip
    assert (found["input_data"], found["output_data"], found["metadata"]) == ([1], None, {"a": 1, "b": 2})
    assert found["error"] == {"type": "", "category": "timeout", "message": "no", "traceback": None}
    assert (still_open["id"], still_open["parent_id"]) == (f"{tape.run[:28]}{inner:08x}", found["id"])
    assert (still_open["status"], still_open["end_time"], still_open["duration_ms"]) == ("started", None, None)
    assert (still_open["agent_type"], still_open["action_type"]) == ("critic", "observation")
    assert still_open["updated_at"] == still_open["start_time"]


def test_a_run_that_a_step_started(store: Store) -> None:
    """The parent of a run is the step that started it, as far as that is known."""
    above, below, foreign = Tape("above"), Tape("below", at=BEGAN + 1), Tape("foreign", at=BEGAN + 2)
    above.begin()
    step = above.step()
    below.begin(parent_run=above.run, parent_step=step)
    foreign.begin(parent_run="up")
    store.append(batch(above.events, below.events, foreign.events))
    parents = {log.run_id: log.parent_id for log in _logs(store) if log.kind == "run"}
    assert parents == {above.run: None, below.run: f"{above.run[:28]}{step:08x}", foreign.run: "up"}


def test_a_result_that_stands_in_the_conversation(store: Store) -> None:
    """A result that was kept only as the message which carried it is that message."""
    tape = Tape("talk")
    tape.begin()
    call = tape.call()
    tool = tape.tool("look", '{"q":1}', requested_by=call)
    said = tape.say("tool", {"role": "tool", "content": "found"}, step=call)
    tape.result(tool, Content(level="message", size=7), message=said)
    other = tape.tool("look")
    tape.result(other)
    store.append(batch(tape.events))
    found = {log["kind"]: log["output_data"] for log in as_json(_logs(store)[:2])}
    assert found["tool"] == {"role": "tool", "content": "found"}
    assert as_json(_logs(store))[-1]["output_data"] is None


def test_contents_that_are_too_large(store: Store) -> None:
    """A content beyond the bound is a marker with its hash and size, and the row names it."""
    tape = Tape("large")
    text = '"' + "x" * 1_000 + '"'
    tape.begin(input=inline(text), metadata=inline('"short"'))
    kept = batch(tape.events)
    store.append(kept)
    (found,) = as_json(_logs(store, 1_001))
    marker = {"$payload": kept.events[0].body.input.hash, "size": 1_002}
    assert (found["input_data"], found["metadata"], found["cut"]) == (marker, "short", ["input_data"])
    (whole,) = as_json(_logs(store, 1_002))
    assert (whole["input_data"], whole["cut"]) == ("x" * 1_000, [])


def test_tracebacks(store: Store) -> None:
    """Where an error came from stands in its row when it is given."""
    store.append(batch(planner().events))
    rows = _rows(store)
    _, tool = execution_logs(store, rows, 0, {(rows[1]["run"], rows[1]["step"]): "Traceback: line 1"})
    assert tool.error is not None
    assert tool.error.traceback == "Traceback: line 1"


def test_nothing(store: Store) -> None:
    """No rows make no logs."""
    assert execution_logs(store, (), 10) == []
