from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.content import inline
from tachograph.queries.logs.execution_rows import ExecutionLog
from tachograph.queries.logs.executions import ExecutionLogs, ExecutionsAsked, executions
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import CALL, NOW, PLAN, SECOND, TOOL, Watched, as_json, planner
from tests.strategies import BEGAN, Tape


def _ask(store: Any, **asked: Any) -> ExecutionLogs:
    return executions(store, ExecutionsAsked(**asked), NOW)


def test_the_documented_answer(store: Store) -> None:
    """Each step is a row with every column, newest first; model calls are none of them."""
    store.append(batch(planner().events))
    found = as_json(_ask(store))
    assert found == {
        "execution_logs": [TOOL, PLAN],
        "total_count": 2,
        "limit": 50,
        "offset": 0,
        "next_cursor": None,
        "previous_cursor": None,
    }


def test_with_the_calls_of_each_step(store: Store) -> None:
    """Asked for, the calls directly below each step stand in its row."""
    store.append(batch(planner().events))
    found = as_json(_ask(store, include_llm_calls=True))
    assert found["execution_logs"] == [
        {**TOOL, "llm_calls": [], "llm_call_count": 0},
        {**PLAN, "llm_calls": [CALL], "llm_call_count": 1},
    ]


def test_an_empty_store(store: Store) -> None:
    """Nothing recorded is an empty list."""
    found = as_json(_ask(store, include_llm_calls=True))
    assert found == {
        "execution_logs": [],
        "total_count": 0,
        "limit": 50,
        "offset": 0,
        "next_cursor": None,
        "previous_cursor": None,
    }


def _many(store: Store) -> None:
    """Six steps in three runs, one of which still goes on."""
    store.append(batch(planner().events))
    second = Tape("second", at=BEGAN + 60 * SECOND, tick=SECOND)
    second.begin("answer", agent_type="answer", platform="web")
    second.done(second.step("observe", action_type="observation", agent_type="critic", refs={"report_id": "r2"}))
    second.done(second.step("tool", kind="custom"), "cancelled")
    second.finish("paused", stop_reason="approval")
    third = Tape("third", at=BEGAN + 120 * SECOND)
    third.begin("answer", agent_type="answer")
    store.append(batch(second.events, third.events))


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["answer", "tool", "observe", "answer", "create_widget", "plan"]),
        ({"report_id": "r1"}, ["plan"]),
        ({"report_id": "r2"}, ["observe"]),
        ({"agent_type": "answer"}, ["answer", "tool", "answer"]),
        ({"agent_type": "critic"}, ["observe"]),
        ({"execution_step": "plan"}, ["plan"]),
        ({"execution_step": "tool"}, ["create_widget"]),
        ({"execution_step": "create_widget"}, []),
        ({"action_type": "generate_plan"}, ["plan"]),
        ({"status": "started"}, ["answer"]),
        ({"status": "paused"}, ["answer"]),
        ({"status": "completed"}, ["observe", "plan"]),
        ({"status": "failed"}, ["create_widget"]),
        ({"status": "cancelled"}, ["tool"]),
        ({"status": "abandoned"}, []),
        ({"external_platform": "slack"}, ["create_widget", "plan"]),
        ({"external_platform": "web", "status": "paused"}, ["answer"]),
        ({"agent_type": "answer", "status": "started"}, ["answer"]),
        ({"agent_type": "nobody"}, []),
        ({"start_date": "2025-06-15T15:07:40Z"}, ["answer", "tool", "observe", "answer"]),
        ({"end_date": "2025-06-15T17:06:45+02:00"}, ["create_widget", "plan"]),
        ({"end_date": "2025-06-15T15:06:44.999999"}, ["plan"]),
        ({"start_date": "2025-06-15T15:06:45", "end_date": "2025-06-15T15:07:40"}, ["answer", "create_widget"]),
        ({"start_date": "2025-06-15", "end_date": "2025-06-15", "status": "failed"}, ["create_widget"]),
        ({"start_date": "2025-06-16"}, []),
        ({"start_date": "2025-06-17", "end_date": "2025-06-16"}, []),
    ],
    ids=str,
)
def test_every_filter(store: Store, refreshed: bool, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the rows that meet it, and the count is theirs, from roll-ups or without."""
    _many(store)
    if refreshed:
        assert store.refresh(NOW + 3_600 * SECOND)
    found = executions(store, ExecutionsAsked(**asked), NOW + 3_600 * SECOND)
    assert ([log.name for log in found.execution_logs], found.total_count) == (expected, len(expected))


def test_the_filters_of_a_row_find_it(store: Store) -> None:
    """What a row shows, given as conditions, finds it; but `tool` means tool calls, whatever a program calls a step."""
    _many(store)
    logs = _ask(store).execution_logs
    assert [log.kind for log in logs if log.execution_step == "tool"] == ["custom", "tool"]
    for log in (log for log in logs if log.name != "tool"):
        shown = {name: getattr(log, name) for name in ("agent_type", "action_type", "status", "report_id")}
        asked = {name: value for name, value in shown.items() if value}
        found = _ask(store, execution_step=log.execution_step, **asked)
        assert log in found.execution_logs


def test_pages(store: Store) -> None:
    """Limit and offset, or the cursor, lead through the same rows; every page knows the true count."""
    _many(store)
    every = _ask(store).execution_logs
    pages = [_ask(store, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [log for page in pages for log in page.execution_logs] == list(every)
    cursor: str | None = None
    seen: list[ExecutionLog] = []
    for page in pages:
        found = _ask(store, limit=2, cursor=cursor)
        assert (found.total_count, found.next_cursor) == (6, page.next_cursor)
        seen += found.execution_logs
        cursor = found.next_cursor
    assert (seen, cursor) == (list(every), None)


def test_as_many_questions_for_a_full_page(store: Store) -> None:
    """Contents and calls are fetched for the page as a whole: a hundred rows take no more questions than sixty."""
    for number in range(50):
        tape = Tape(f"run {number}", at=BEGAN + number)
        tape.begin(input=inline(f'"{number}{"x" * 600}"'))
        tape.reply(tape.call())
        tape.result(tape.tool(arguments='"' + "y" * 600 + f'{number}"'), '"ok"')
        store.append(batch(tape.events))
    counts = []
    for limit in (60, 100):
        watched = Watched(store)
        found = _ask(watched, limit=limit, include_llm_calls=True)
        assert all(log.llm_call_count == (log.kind == "run") for log in found.execution_logs)
        counts.append(len(watched.asked))
    assert counts[0] == counts[1] < 12


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name, and values out of bounds are no parameters at all."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter) as caught:
            _ask(store, **{name: "soon"})
        assert (caught.value.name, caught.value.value) == (name, "soon")
    for asked in ({"limit": 0}, {"limit": 501}, {"status": "done"}, {"agent_type": ""}, {"colour": "red"}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(asked, ExecutionsAsked)
