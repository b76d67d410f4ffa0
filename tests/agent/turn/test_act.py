from __future__ import annotations

import asyncio
import time

import pytest

from tachograph.agent.hooks import (
    FinishAgent,
    Hooks,
    Moment,
)
from tachograph.agent.rules import Phase
from tachograph.agent.tools.tool import Tool
from tachograph.events.chat import Media, Text
from tachograph.events.limit import LimitHit
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import add, agent, ran

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
    assert list(stop.evidence) == [event.seq for event in events.of(ToolStarted)][:-1]


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


@pytest.mark.parametrize("event", ["pre_tool_use", "post_tool_use"])
async def test_hooks_around_a_tool_keep_the_deadline(events: Captured, event: str) -> None:
    """A hook that takes longer than the run may is left, and a call that nobody authorised does not run."""

    async def slow(moment: Moment) -> None:
        await asyncio.sleep(5)

    hooks = Hooks()
    hooks.on(event, slow)
    began = time.monotonic()
    found = await ran(agent([Call("same"), "done"], hooks=hooks), events, limits="0.3s")
    assert time.monotonic() - began < 0.3 + 0.25
    assert found.stop_reason == "deadline"
    assert events.of(ToolEnded)[0].body.state == ("rejected" if event == "pre_tool_use" else "completed")


@pytest.mark.parametrize("written", ['{"motto": "ever onward"}', '{"motto": "ever onward"', '"ever onward"'])
async def test_arguments_that_do_not_fit_are_redacted_too(events: Captured, written: str) -> None:
    """A call that is refused for its arguments is recorded without those that shall not be."""

    async def login(name: str, motto: str) -> str:
        return f"in, {name}, {motto}"

    tool = Tool.of(login, redact=("motto",))
    found = await ran(agent([Call("login", written), "done"], tools=[tool]), events)
    assert found.completed
    assert events.of(ToolEnded)[0].body.state == "rejected"
    assert all("ever onward" not in str(event.body.arguments) for event in events.of(ToolStarted))


async def test_a_warning_stands_behind_media_too(events: Captured) -> None:
    """What a limit has to say of a call is a part of its own, where the result has parts."""
    picture = Media("image", "image/png", data=b"1")

    async def look() -> Media:
        return picture

    found = await ran(agent([Call("look"), Call("look"), "done"], tools=[look]), events)
    first, second = (message.content for message in found.messages if message.role == "tool")
    assert first == (picture,)
    assert second[0] == picture
    assert isinstance(second[1], Text)


async def test_tools_one_by_one_end_with_the_work(events: Captured) -> None:
    """After a hook finished the work behind the first call, the second does not run."""
    hooks, calls = Hooks(), list[int]()

    async def note(n: int) -> str:
        calls.append(n)
        return "noted"

    hooks.on("post_tool_use", lambda moment: FinishAgent("enough"))
    tools = [Tool.of(note, sequential=True)]
    found = await ran(agent([[Call("note", {"n": 1}), Call("note", {"n": 2})]], tools=tools, hooks=hooks), events)
    assert (found.answer, calls) == ("enough", [1])
    assert [event.body.state for event in events.of(ToolEnded)] == ["completed", "rejected"]


async def test_a_phase_has_its_own_tools_and_no_others(events: Captured) -> None:
    """A call of a tool of another phase is one of an unknown tool; the rest of a long result can be had in any."""

    async def look() -> str:
        return "x" * 50_000

    model = ScriptedModel([[Call("look"), Call("add", {"a": 1, "b": 2})], Call("expand", {"handle": "result_1"}), "ok"])
    phases = (Phase("plan", tools=("look",)), Phase("work"))
    found = await ran(agent(model, tools=[look, add], phases=phases), events)
    assert found.completed
    said = [message.text[:20] for message in found.messages if message.role == "tool"]
    assert [text.partition(" ")[0] for text in said] == ["x" * 20, "There", "x" * 20]
    assert [[tool.name for tool in request.tools] for request in model.requests[:2]] == [["look"], ["look", "expand"]]
