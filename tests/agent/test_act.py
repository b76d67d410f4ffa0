from __future__ import annotations

import asyncio
import time

import pytest

from tachograph.agent.hooks import (
    Block,
    FinishAgent,
    Hooks,
)
from tachograph.agent.tools.approval import Allow, Deny, Edit
from tachograph.agent.tools.tool import Tool
from tachograph.events.limit import LimitHit
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import add, agent, names, ran

pytestmark = pytest.mark.anyio


async def test_results_stand_in_call_order_whatever_ends_first(events: Captured) -> None:
    """Three tools with reversed delays answer in the order in which they were asked for, at the same time."""

    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return f"{seconds}"

    calls = [Call("wait", {"seconds": seconds}) for seconds in (0.15, 0.1, 0.05)]
    began = time.monotonic()
    found = await ran(agent([calls, "done"], tools=[wait]), events)
    assert time.monotonic() - began < 0.29
    assert [message.text for message in found.messages[2:5]] == ["0.15", "0.1", "0.05"]
    assert [event.body.result.text for event in events.of(ToolEnded)] == ['"0.05"', '"0.1"', '"0.15"']


async def test_repeating_oneself_is_warned_blocked_skipped_and_stopped(events: Captured) -> None:
    """The ladder of equal calls with equal results: it runs twice, is refused after that, then the run ends."""
    found = await ran(agent(lambda request: Call("same")), events)
    assert (found.status, found.stop_reason) == ("failed", "tool_loop")
    modes = [event.body.mode for event in events.of(LimitHit) if event.body.metric == "tool_loop"]
    assert modes == ["warn", "block", "skip", "skip", "stop"]
    states = [event.body.state for event in events.of(ToolEnded)]
    assert states == ["completed", "completed", "rejected", "skipped", "skipped", "rejected"]
    texts = [message.text for message in found.messages if message.role == "tool"]
    assert texts[0] == "the same"
    assert texts[1].startswith("the same\n\n")
    stop = [event.body for event in events.of(LimitHit)][-1]
    assert len(stop.evidence) >= 2
    assert set(stop.evidence) <= {event.seq for event in events.of(ToolStarted)}


async def test_bad_calls_come_back_as_words_and_count(events: Captured) -> None:
    """An unknown tool, malformed JSON and a missing argument: each is rejected once and answered helpfully."""
    calls = [Call("sub", {}), Call("add", "{oops"), Call("add", {"a": 1})]
    found = await ran(agent([calls, "sorry"]), events)
    texts = [message.text for message in found.messages if message.role == "tool"]
    assert "add" in texts[0]
    assert "same" in texts[0]
    assert "JSON" in texts[1]
    assert "b" in texts[2]
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"] * 3


async def test_a_failing_tool_is_an_observation(events: Captured) -> None:
    """The model is told, without a stack trace, and the run goes on."""

    async def fail() -> str:
        raise ValueError("no such order")

    found = await ran(agent([Call("fail"), "I see"], tools=[fail]), events)
    assert found.completed
    assert found.messages[2].text == "ValueError: no such order"
    assert events.of(ToolEnded)[0].body.state == "failed"


@pytest.mark.parametrize("event", ["pre_tool_use", "post_tool_use"])
@pytest.mark.parametrize("calls", [1, 3])
async def test_a_hook_ends_the_work_beside_parallel_tools(events: Captured, event: str, calls: int) -> None:
    """FinishAgent gives its answer, no further request is made, and every call has one end and one result."""
    hooks = Hooks()
    hooks.on(event, lambda moment: FinishAgent("enough"))
    model = ScriptedModel([[Call("add", {"a": n, "b": n}) for n in range(calls)]])
    found = await ran(agent(model, hooks=hooks), events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "tool_stop", "enough")
    assert len(model.requests) == 1
    assert len(events.of(ToolEnded)) == calls


async def test_a_blocked_tool_is_told_why(events: Captured) -> None:
    """The tool does not run; its one end is `rejected`."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: Block("not that"))
    found = await ran(agent([Call("same"), "ok"], hooks=hooks), events)
    assert found.messages[2].text == "not that"
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]


async def test_results_that_are_too_large_can_be_expanded(events: Captured) -> None:
    """The model gets the beginning and a handle, and can read on with it."""

    async def read() -> str:
        return "x" * 50_000

    model = ScriptedModel([Call("read"), Call("expand", {"handle": "result_1", "start": 49_990}), "long"])
    found = await ran(agent(model, tools=[read]), events)
    told, rest = found.messages[2].text, found.messages[4].text
    assert len(told) < 31_000
    assert 'handle="result_1"' in told
    assert rest.startswith("x" * 10 + "\n[result_1:")
    assert [[tool.name for tool in request.tools] for request in model.requests[:2]] == [["read"], ["read", "expand"]]
    assert len(events.of(ToolEnded)[0].body.result.text or "") > 50_000


async def test_loops_of_three_equal_calls_can_be_forbidden(events: Captured) -> None:
    """The third equal call of a run ends it, whatever the results were."""
    count = iter(range(10))

    async def tick() -> int:
        return next(count)

    one = agent(lambda request: Call("tick"), tools=[tick], limits=Limits(loops=Loops(same_calls=3)))
    found = await ran(one, events)
    assert found.stop_reason == "tool_loop"
    assert [event.body.state for event in events.of(ToolEnded)] == ["completed", "completed", "rejected"]


async def test_what_needs_approval_is_asked_for(events: Captured) -> None:
    """Allowed, denied and edited: recorded with the decision, and the edit is checked like the model's own words."""
    decisions = iter([Allow(), Deny("too dear"), Edit({"a": 5, "b": 5}), Edit({"a": "many"})])
    tool = Tool.of(add, approve=True)
    calls = [Call("add", {"a": n, "b": n}) for n in range(4)]
    found = await ran(agent([calls, "done"], tools=[tool], approve=lambda asked: next(decisions)), events)
    texts = [message.text for message in found.messages if message.role == "tool"]
    assert texts[:3] == ["0", "Not allowed: too dear", "10"]
    assert "a" in texts[3]
    assert names(events) == ["approval"] * 4


async def test_nobody_to_ask_is_a_no(events: Captured) -> None:
    """A tool that needs approval does not run without somebody who gives it."""
    found = await ran(agent([Call("add", {"a": 1, "b": 1}), "done"], tools=[Tool.of(add, approve=True)]), events)
    assert found.messages[2].text.startswith("Not allowed")
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]
