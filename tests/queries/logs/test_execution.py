from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.queries.logs import execution as module
from tachograph.queries.logs.execution import Execution, ExecutionAsked, execution
from tachograph.store.ports import Store
from tachograph.store.query import Query
from tests.queries.kept import batch
from tests.queries.logs.desk import CALL, EXECUTION, PLAN, TOOL, as_json, planner
from tests.strategies import BEGAN, Tape

TOLD = {**CALL, "prompt": "Create a sales dashboard", "response": "Here it is."}
FAILED = {**TOOL, "error": {**TOOL["error"], "traceback": "Traceback: line 1"}}


def _ask(store: Store, name: str = EXECUTION, **asked: Any) -> Execution:
    return execution(store, name, ExecutionAsked(**asked))


def test_the_documented_answer(store: Store) -> None:
    """All steps, oldest first, with their calls and the words of these, and with where errors came from."""
    store.append(batch(planner().events))
    assert as_json(_ask(store)) == {
        "execution_id": EXECUTION,
        "steps": [
            {**PLAN, "llm_calls": [TOLD], "llm_call_count": 1}, {**FAILED, "llm_calls": [], "llm_call_count": 0},
        ],
        "total_count": 2, "limit": 1_000, "offset": 0,
    }  # fmt: skip
    assert as_json(_ask(store, include_llm_calls=False))["steps"] == [PLAN, FAILED]


def test_several_runs_of_one_execution(store: Store) -> None:
    """Steps of all runs with the id stand together, in the order they began."""
    tapes = []
    for number, start in enumerate((0, 5, 2)):
        tape = Tape(f"run {number}", at=BEGAN + start * 1_000_000_000)
        tape.begin(str(number))
        tape.wait(4_000_000_000).step(f"late {number}")
        first = msgspec.structs.replace(tape.events[0].body, execution_id="shared")
        tape.events[0] = msgspec.structs.replace(tape.events[0], body=first)
        tapes.append(tape)
    store.append(batch(*(tape.events for tape in tapes)))
    found = _ask(store, "shared")
    assert [step.name for step in found.steps] == ["0", "2", "late 0", "1", "late 2", "late 1"]
    page = _ask(store, "shared", limit=2, offset=3)
    assert (page.steps, page.total_count, page.limit, page.offset) == (found.steps[3:5], 6, 2, 3)
    assert _ask(store, "shared", offset=6).steps == ()


@pytest.mark.parametrize("name", ["exec_unknown", "", "exec_30c8c180624"])
def test_no_such_execution(store: Store, name: str) -> None:
    """An id that no run has is not found, and neither are first digits of one; audit runs are no executions."""
    store.append(batch(planner().events))
    with pytest.raises(NotFound, match=f"no execution has the id '{name}'"):
        _ask(store, name)


def test_an_audit_run(store: Store) -> None:
    """What was done to the records is no execution."""
    tape = Tape("audit")
    tape.begin("run_deleted", source="audit")
    tape.add(Note(name="run_deleted", data=inline("{}")))
    tape.finish()
    store.append(batch(tape.events))
    if store.find(Query("steps")).rows:
        pytest.skip("audit runs still have a row of their own among the steps")
    with pytest.raises(NotFound):
        _ask(store, tape.events[0].body.execution_id)


def test_bounds() -> None:
    """Steps of an execution can be asked for by pages of up to 5,000."""
    for asked in ({"limit": 0}, {"limit": 5_001}, {"offset": -1}, {"cursor": "x"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(asked, ExecutionAsked)


def test_large_contents_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Contents beyond the bound of the details are cut, and every row says which of its fields are."""
    monkeypatch.setattr(module, "DETAIL_BYTES", 100)
    tape = planner()
    started = msgspec.structs.replace(tape.events[0].body, input=inline('"' + "x" * 600 + '"'))
    tape.events[0] = msgspec.structs.replace(tape.events[0], body=started)
    said = msgspec.structs.replace(tape.events[1].body, message=inline('"' + "y" * 600 + '"'))
    tape.events[1] = msgspec.structs.replace(tape.events[1], body=said)
    store.append(batch(tape.events))
    plan, _ = as_json(_ask(store))["steps"]
    (call,) = plan["llm_calls"]
    assert (plan["input_data"]["size"], plan["cut"]) == (602, ["input_data"])
    assert (call["prompt"], call["response"], call["cut"]) == ("y" * 100 + "…", "Here it is.", ["prompt"])
