from __future__ import annotations

import pytest

from tachograph.agent.tools.tool import Tool
from tachograph.errors import InvalidTranscript, SettingsError
from tachograph.events.chat import ToolUse, assistant, result, user
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.limits.limit import Limits
from tachograph.limits.text import parse
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


async def test_what_was_open_in_a_history_is_closed(events: Captured) -> None:
    """A conversation that was cut off in the middle of a call can go on."""
    first = await agent([[Call("same")], "x"]).run("go")
    cut = first.messages[:2]
    found = await agent(["fine"]).run("and?", history=cut)
    assert found.completed
    assert "interrupted" in found.messages[2].text


@pytest.mark.parametrize("item", ["hi", 5, {"role": "wizard", "content": ""}, {"role": "user", "content": 5}])
async def test_a_history_of_what_is_no_message_is_refused_in_words(item: object) -> None:
    """With its place, before anything begins."""
    with pytest.raises(InvalidTranscript, match=r"^message 1: "):
        await agent(["x"]).run("go", history=[user("hi"), item])


async def test_a_keyword_that_there_is_not_is_answered_with_those_of_a_program() -> None:
    """Not with those by which parts of the package talk to each other."""
    with pytest.raises(SettingsError, match="sesion='t'") as refused:
        await agent(["x"]).run("go", sesion="t")
    assert " session, " in str(refused.value)
    assert not any(name in str(refused.value) for name in ("onward", "gauge", "shelf"))


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


async def test_a_history_has_no_instructions_where_the_agent_has_its_own(events: Captured) -> None:
    """Two system messages would be one too many; an agent without instructions takes them as they are."""
    history = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "a"}]
    with pytest.raises(InvalidTranscript, match="message 0"):
        await agent(["ok"], instructions="Be brief.").run("b", history=history)
    found = await agent(["ok"]).run("b", history=history)
    assert [message.role for message in found.messages] == ["system", "user", "user", "assistant"]


async def test_redacted_arguments_of_a_history_are_not_recorded(events: Captured) -> None:
    """A conversation that was kept elsewhere holds them in clear; the model gets them, the record does not."""

    async def login(motto: str) -> str:
        return f"in, {motto}"

    model = ScriptedModel(["ok"])
    call = ToolUse("1", "login", '{"motto":"ever onward"}')
    history = [user("a"), assistant("", call), result(call, "in")]
    await agent(model, tools=[Tool.of(login, redact=("motto",))]).run("b", history=history)
    assert model.requests[0].messages[1].tool_calls[0].arguments == call.arguments
    assert all("ever onward" not in str(event.body) for event in events)


async def test_limits_of_the_process_bound_agents_too() -> None:
    """`configure(limits=…)` states two tool calls: an agent with wider limits of its own gets no more."""
    with capture(clock=SYSTEM, limits=parse("2 tool calls, $9")) as found:
        one = agent(lambda request: Call("add", {"a": len(request.messages), "b": 0}), limits="9 tool calls, 40 turns")
        assert (await one.run("go")).stop_reason == "max_tool_calls"
        assert (
            await agent(lambda request: Call("add", {"a": len(request.messages), "b": 0})).run("go")
        ).stop_reason == ("max_tool_calls")
    assert [event.body.state for event in found.of(ToolEnded)].count("completed") == 4


async def test_sessions_whose_ids_look_like_secrets_are_counted_apart(events: Captured) -> None:
    """The record masks both; their limits do not take one for the other."""
    one = agent(lambda request: "hi", limits="1 runs/session")
    first, second = ("sk-proj-aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5cE7gI9" + letter for letter in "ab")
    assert (await one.run("go", session=first)).completed
    assert (await one.run("go", session=second)).completed
    assert (await one.run("go", session=first)).stop_reason == "session_limit"
    assert first not in str([event.body for event in events])
