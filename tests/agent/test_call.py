from __future__ import annotations

import pytest

from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.limits.limit import Limits
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


async def test_what_was_open_in_a_history_is_closed(events: Captured) -> None:
    """A conversation that was cut off in the middle of a call can go on."""
    first = await agent([[Call("same")], "x"]).run("go")
    cut = first.messages[:2]
    found = await agent(["fine"]).run("and?", history=cut)
    assert found.completed
    assert "interrupted" in found.messages[2].text


async def test_children_draw_from_their_parents_budget(events: Captured) -> None:
    """An agent inside a tool of another is stopped by the outer limit on tool calls."""
    inner = agent(lambda request: Call("add", {"a": len(request.messages), "b": 0}), name="inner")

    async def delegate() -> str:
        return (await inner.run("work")).stop_reason

    outer = agent([Call("delegate"), "done"], tools=[delegate], limits="5 tool calls")
    found = await outer.run("go")
    assert found.messages[2].text == "max_tool_calls"
    assert len([e for e in events.of(ToolEnded) if e.body.state == "completed"]) <= 5
    runs = events.of(RunStarted)
    assert runs[1].body.parent_run == runs[0].run


async def test_thirty_runs_of_a_session_and_no_more(events: Captured) -> None:
    """The run after the last is refused before any request, and says so."""
    one = agent(lambda request: "hi", limits=Limits(session_runs=3))
    found = [await one.run("go", session="s") for _ in range(4)]
    assert [outcome.stop_reason for outcome in found] == ["final_answer"] * 3 + ["session_limit"]
    assert (await one.run("go", session="other")).completed
