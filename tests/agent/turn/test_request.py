from __future__ import annotations

import pytest

from tachograph.agent.hooks import (
    AppendContext,
    Hooks,
)
from tachograph.agent.progress import (
    Retrying,
    RunBegan,
    RunDone,
    StreamReset,
)
from tachograph.agent.reminders import Reminder
from tachograph.agent.rules import Phase
from tachograph.agent.tools.tool import Tool
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import ToolUse, assistant
from tachograph.events.message import MessageAppended
from tachograph.providers.port import Reply, TextDelta
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import agent, names, ran, valid

pytestmark = pytest.mark.anyio


async def test_a_failed_request_is_made_again_and_told_of(events: Captured) -> None:
    """Two refusals, then a reply: three attempts, two waits, and the first attempt is named by the others."""
    busy = ModelError("overloaded", "busy", status=529, safe=True)
    told: list[object] = []
    one = agent([busy, busy, "done"])
    handle = one.start("go")
    handle.emitter.subscribe((Retrying, StreamReset), told.append)
    found = valid(await handle, events)
    assert found.completed
    assert [type(value) for value in told] == [Retrying, Retrying]
    calls = events.of(CallStarted)
    assert [(event.body.attempt, event.body.retry_of) for event in calls] == [
        (1, None),
        (2, calls[0].seq),
        (3, calls[0].seq),
    ]
    assert [event.body.status for event in events.of(CallEnded)] == ["failed", "failed", "completed"]
    assert names(events) == ["llm_retry_attempt", "llm_retry_attempt"]


async def test_a_stream_that_broke_is_marked_before_it_begins_anew(events: Captured) -> None:
    """Whoever shows the text knows that what came so far counts no more."""
    broke = Say("Hel", then=ModelError("overloaded", "busy", in_stream=True))
    values = [value async for value in agent([broke, "Hello"]).stream("go")]
    since: list[str] = []
    for value in values:
        if isinstance(value, StreamReset):
            since.clear()
        if isinstance(value, TextDelta):
            since.append(value.text)
    assert "".join(since) == "Hello"
    assert isinstance(values[0], RunBegan)
    assert isinstance(values[-1], RunDone)


async def test_reminders_go_with_one_request_and_leave_the_prefix_alone(events: Captured) -> None:
    """Reminders stand at the tail, also when the request is repeated; the conversation never holds them."""
    busy = ModelError("overloaded", "busy", status=529, safe=True)
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: AppendContext("mind the units"))
    model = ScriptedModel([busy, Call("add", {"a": 1, "b": 1}), "2"])
    one = agent(model, instructions="Add.", reminders=(Reminder("Be brief.", first=True),), hooks=hooks)
    found = await ran(one, events)
    tails = [request.messages[-1].text for request in model.requests]
    assert ["Be brief." in tail for tail in tails] == [True, True, False]
    assert "mind the units" in tails[2]
    assert all("<system-reminder>" not in message.text for message in found.messages)
    first, _, last = model.requests
    assert last.messages[: len(first.messages) - 1] == first.messages[:-1]
    assert [event.body.ephemeral for event in events.of(MessageAppended)].count(True) == 3


async def test_a_tool_that_must_be_used_is_asked_for_once(events: Captured) -> None:
    """`tool_choice` holds for the first request; with the whole conversation it would never end."""
    model = ScriptedModel([Call("same"), "done"])
    found = await ran(agent(model, tool_choice="required"), events)
    assert found.completed
    assert [request.tool_choice for request in model.requests] == ["required", "auto"]


async def test_instructions_may_be_marked_for_the_cache(events: Captured) -> None:
    """The first message says so, in the request and in the record."""
    model = ScriptedModel(["done"])
    await ran(agent(model, instructions="Be brief.", cache=True), events)
    assert model.requests[0].messages[0].cache
    assert '"cache":true' in (events.of(MessageAppended)[0].body.message.text or "")


async def test_half_a_reply_is_redacted_too(events: Captured) -> None:
    """What had come of a call before the connection broke is recorded without the arguments that shall not be."""

    async def login(motto: str) -> str:
        return f"in, {motto}"

    half = Reply(message=assistant("", ToolUse("1", "login", '{"motto": "ever onw')), finish="tool_calls")
    script = [ModelError("network", "cut off", in_stream=True, partial=half)]
    found = await ran(agent(script, tools=[Tool.of(login, redact=("motto",))]), events)
    assert found.stop_reason == "provider_error"
    assert all("ever onw" not in str(event.body) for event in events)


async def test_a_tool_that_is_not_offered_cannot_be_demanded(events: Captured) -> None:
    """`tool_choice` names a tool of another phase: the model may choose."""
    model = ScriptedModel(["ok"])
    phases = (Phase("plan", tools=("same",)), Phase("work"))
    await ran(agent(model, tool_choice="add", phases=phases), events)
    assert model.requests[0].tool_choice == "auto"


async def test_every_call_of_a_reply_has_an_id_of_its_own(events: Captured) -> None:
    """Also where a model repeats an id that looks like ours, or gives none."""
    ids = ["call_1_1", "call_1_1", "", "call_1_2"]
    script = [[Call("add", {"a": n, "b": n}, id=one) for n, one in enumerate(ids)], "ok"]
    found = await ran(agent(script), events)
    calls = [call.id for message in found.messages for call in message.tool_calls]
    assert calls[0] == "call_1_1"
    assert len(set(calls)) == 4
    assert [message.tool_call_id for message in found.messages if message.role == "tool"] == calls


async def test_a_flood_of_calls_is_no_reply(events: Captured) -> None:
    """Twenty thousand calls at once end the run long before its time, their tokens counted, none of them recorded."""
    model = ScriptedModel([[Call("same")] * 20_000])
    found = await ran(agent(model, limits="20s"), events)
    assert found.seconds < 15
    assert (found.stop_reason, found.spent.tool_calls) == ("provider_error", 0)
    assert "20000 tool calls" in found.detail
    assert found.usage.output


async def test_a_stream_without_end_is_broken_off(events: Captured) -> None:
    """At sixteen million characters, long before its time is over."""
    found = await ran(agent([Endless("x" * 1_000_000)], limits="20s"), events)
    assert found.stop_reason == "provider_error"
    assert "16000000 characters" in found.detail
    assert found.seconds < 15
