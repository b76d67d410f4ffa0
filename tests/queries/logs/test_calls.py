from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.run import Failure
from tachograph.queries.logs import calls
from tachograph.queries.logs.calls import LlmCallLogs, LlmCallsAsked, below, llm_calls
from tachograph.store.ports import Store
from tachograph.store.query import Query
from tests.queries.kept import batch
from tests.queries.logs.desk import CALL, EXECUTION, NOW, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape


def _ask(store: Store, **asked: Any) -> LlmCallLogs:
    return llm_calls(store, LlmCallsAsked(**asked), NOW)


def test_the_documented_answer(store: Store) -> None:
    """Each attempt is a row with every column; its words come when they are asked for."""
    store.append(batch(planner().events))
    expected = {
        "llm_call_logs": [CALL],
        "total_count": 1,
        "limit": 50,
        "offset": 0,
        "next_cursor": None,
        "previous_cursor": None,
    }
    assert as_json(_ask(store)) == expected
    words = {"prompt": "Create a sales dashboard", "response": "Here it is."}
    assert as_json(_ask(store, include_content=True)) == {**expected, "llm_call_logs": [{**CALL, **words}]}


def test_an_empty_store(store: Store) -> None:
    """Nothing recorded is an empty list."""
    expected = {
        "llm_call_logs": [],
        "total_count": 0,
        "limit": 50,
        "offset": 0,
        "next_cursor": None,
        "previous_cursor": None,
    }
    assert as_json(_ask(store, include_content=True)) == expected


def _many(store: Store) -> Tape:
    """Four more calls: one below a step that streams, its failed attempt and the next one, and one that is open."""
    tape = Tape("second", at=BEGAN + 60 * SECOND, tick=SECOND)
    tape.begin("answer")
    step = tape.step("think")
    tape.reply(tape.call("anthropic", "claude", parent=step, streaming=True, refs={"report_id": "r2"}))
    first = tape.call("anthropic", "claude")
    tape.reply(first, "failed", error=Failure("Overloaded", "busy", "overloaded", "Traceback"))
    tape.reply(tape.call("anthropic", "claude", attempt=2, retry_of=first), "cancelled")
    tape.call("google", "gemini")
    store.append(batch(planner().events, tape.events))
    return tape


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [8, 6, 4, 2, 2]),
        ({"provider": "anthropic"}, [6, 4, 2]),
        ({"provider": "nobody"}, []),
        ({"model_id": "gpt-4"}, [2]),
        ({"provider": "anthropic", "model_id": "claude", "status": "failed"}, [4]),
        ({"call_type": "inference_stream"}, [2]),
        ({"call_type": "inference"}, [8, 6, 4, 2]),
        ({"status": "started"}, [8]),
        ({"status": "completed"}, [2, 2]),
        ({"status": "cancelled"}, [6]),
        ({"status": "abandoned"}, []),
        ({"report_id": "r2"}, [2]),
        ({"execution_log_id": RUN}, [2]),
        ({"execution_log_id": EXECUTION}, [2]),
        ({"execution_log_id": "exec_unknown"}, []),
        ({"execution_log_id": f"{RUN[:28]}00000005"}, []),
        ({"start_date": "2025-06-15T15:07:44"}, [8, 6, 4]),
        ({"end_date": "2025-06-15T15:06:42Z"}, [2]),
    ],
    ids=str,
)
def test_every_filter(store: Store, refreshed: bool, asked: dict[str, Any], expected: list[int]) -> None:
    """Every condition chooses the rows that meet it, and the count is theirs, from roll-ups or without."""
    _many(store)
    if refreshed:
        assert store.refresh(NOW + 3_600 * SECOND)
    found = llm_calls(store, LlmCallsAsked(**asked), NOW + 3_600 * SECOND)
    assert [int(log.id[28:], 16) for log in found.llm_call_logs] == expected
    assert found.total_count == len(expected)


def test_the_calls_of_a_step(store: Store) -> None:
    """The id of an execution log means the calls directly below it, that of an execution all of them."""
    tape = _many(store)
    execution = tape.events[0].body.execution_id
    run, step = tape.run, f"{tape.run[:28]}00000001"
    found = {name: _ask(store, execution_log_id=name) for name in (run, step, execution)}
    parents = {name: {log.execution_log_id for log in logs.llm_call_logs} for name, logs in found.items()}
    assert parents == {run: {run}, step: {step}, execution: {run, step}}
    assert [logs.total_count for logs in found.values()] == [3, 1, 4]


def test_an_execution_id_that_looks_like_a_step(store: Store) -> None:
    """A program may group its runs by a UUID of its own: that is an execution's id and not a step's."""
    tape = Tape("own id")
    own = "0b54c2ba-3e2e-4f0a-9b6e-0c2d1a5a7d11"
    tape.begin()
    tape.reply(tape.call())
    named = msgspec.structs.replace(tape.events[0].body, execution_id=own)
    store.append(batch([msgspec.structs.replace(tape.events[0], body=named), *tape.events[1:]]))
    assert [log.execution_id for log in _ask(store, execution_log_id=own).llm_call_logs] == [own]


def test_calls_below_some_steps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls come with their number for each step; in a very large answer the first ones, and the numbers stay true."""
    tape = _many(store)
    store.append(batch())
    pk = next(row["pk"] for row in store.find(Query("runs", columns=("pk", "id"))).rows if row["id"] == tape.run)
    found = below(store, [(pk, 0), (pk, 1), (pk, 99)])
    assert ([row["step"] for row in found.rows], found.counts) == ([2, 4, 6, 8], {(pk, 0): 3, (pk, 1): 1})
    monkeypatch.setattr(calls, "MOST", 2)
    found = below(store, [(pk, 0), (pk, 1)])
    assert ([row["step"] for row in found.rows], found.counts) == ([2, 4], {(pk, 0): 3, (pk, 1): 1})
    assert below(store, []) == below(store, [(pk, 99)]) == calls.NONE_BELOW


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name, and values out of bounds are no parameters at all."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon' cannot be used"):
            _ask(store, **{name: "soon"})
    for asked in ({"limit": 501}, {"call_type": "batch"}, {"status": "paused"}, {"model": "gpt-4"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(asked, LlmCallsAsked)
