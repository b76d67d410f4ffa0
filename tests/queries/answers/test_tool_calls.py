from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import InvalidParameter
from tachograph.events.content import Content
from tachograph.queries.answers.tool_calls import ToolCallsAsked, tool_calls
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, SECOND, as_json, planner
from tests.strategies import BEGAN, Tape

PAGE = {"limit": 50, "offset": 0, "next_cursor": None, "previous_cursor": None}


def test_a_page_of_tool_calls(store: Store) -> None:
    """A tool call says what was asked for, by which model call, and how it ended; an empty store has none."""
    assert as_json(tool_calls(store, ToolCallsAsked())) == {"tool_calls": [], "total_count": 0, **PAGE}
    store.append(batch(planner().events))
    expected = {
        "id": f"{RUN[:28]}00000005", "parent_id": RUN, "run_id": RUN, "execution_id": EXECUTION, "session_id": "s1",
        "tool_name": "create_widget", "call_id": None, "state": "failed", "reason": None, "classification": "other",
        "agent_type": "planner", "start_time": "2025-06-15T15:06:45Z", "end_time": "2025-06-15T15:06:46Z",
        "duration_ms": 1_000, "requested_by": f"{RUN[:28]}00000002", "position": 0, "iteration": 1,
        "arguments": '{"kind": "chart"}', "result": None,
        "error": {"type": "ValueError", "category": "bug", "message": "no data", "traceback": None},
    }  # fmt: skip
    assert as_json(tool_calls(store, ToolCallsAsked())) == {"tool_calls": [expected], "total_count": 1, **PAGE}


def test_previews(store: Store) -> None:
    """Arguments and results are shown up to so many characters, wherever they are kept; at 0 they are not fetched."""
    tape = Tape("previews")
    tape.begin()
    tape.result(tape.tool(arguments='"' + "a" * 700 + '"'), '"ok"')
    said = tape.say("tool", '{"role":"tool"}')
    tape.result(tape.tool(arguments="[1]"), Content(level="message", size=9), message=said)
    store.append(batch(tape.events))

    def shown(preview: int) -> list[tuple[str | None, str | None]]:
        found = tool_calls(store, ToolCallsAsked(preview=preview)).tool_calls
        return [(call.arguments, call.result) for call in found]

    assert shown(6) == [("[1]", '{"role…'), ('"aaaaa…', '"ok"')]
    assert shown(15) == [("[1]", '{"role":"tool"}'), ('"' + "a" * 14 + "…", '"ok"')]
    assert shown(0) == [(None, None), (None, None)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["pay", "search", "create_widget"]),
        ({"tool_name": "search"}, ["search"]),
        ({"state": "rejected"}, ["pay"]),
        ({"state": "started"}, ["search"]),
        ({"classification": "read"}, ["search"]),
        ({"agent_type": "desk"}, ["pay", "search"]),
        ({"execution_id": EXECUTION}, ["create_widget"]),
        ({"session_id": "s2"}, ["pay", "search"]),
        ({"start_date": "2025-06-15T15:07:00Z"}, ["pay", "search"]),
        ({"end_date": "2025-06-15T15:07:00Z"}, ["create_widget"]),
        ({"limit": 1, "offset": 2}, ["create_widget"]),
    ],
    ids=str,
)
def test_filters(store: Store, asked: dict[str, Any], expected: list[str]) -> None:
    """Every condition chooses the calls that meet it, newest first."""
    tape = Tape("second", at=BEGAN + 60 * SECOND)
    tape.begin(agent_type="desk", session="s2")
    tape.tool("search", classification="read")
    tape.result(tape.tool("pay", classification="write"), state="rejected", reason="not allowed")
    store.append(batch(planner().events, tape.events))
    found = tool_calls(store, ToolCallsAsked(**asked))
    assert [call.tool_name for call in found.tool_calls] == expected
    assert found.total_count == (3 if "limit" in asked else len(expected))
    reasons = {call.tool_name: call.reason for call in found.tool_calls}
    assert reasons.get("pay") == ("not allowed" if "pay" in expected else None)


def test_what_cannot_be_asked(store: Store) -> None:
    """A bad date or cursor is refused by name."""
    for name in ("start_date", "end_date", "cursor"):
        with pytest.raises(InvalidParameter, match=f"{name}='soon'"):
            tool_calls(store, ToolCallsAsked(**{name: "soon"}))  # type: ignore[arg-type]
