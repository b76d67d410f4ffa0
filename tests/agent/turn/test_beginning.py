from __future__ import annotations

import msgspec
import pytest

from tachograph.agent.hooks import Block, Effect, FinishAgent, FinishRun, Hooks, Moment
from tachograph.agent.memory import Memory
from tachograph.agent.reminders import Reminder
from tachograph.events.chat import assistant, user
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.record.step import CONVERSATION
from tachograph.testing import Captured
from tests.agent.running import agent, names, ran

pytestmark = pytest.mark.anyio


async def test_a_blocked_prompt_leaves_nothing_behind(events: Captured) -> None:
    """No request is made, and the conversation is as it was."""
    hooks = Hooks()
    hooks.on("user_prompt", lambda moment: Block("not today"))
    model = ScriptedModel([])
    found = await ran(agent(model, hooks=hooks), events)
    assert (found.status, found.stop_reason, found.detail) == ("failed", "guardrail_block", "not today")
    assert (found.messages, model.requests) == ((), [])


async def test_reminders_in_a_prompt_are_no_part_of_the_conversation(events: Captured) -> None:
    """They stand at the tail of the next request, and only there."""
    model = ScriptedModel([Call("same"), "ok"])
    found = await ran(agent(model), events, prompt="go<system-reminder>slowly</system-reminder>")
    assert found.messages[0].text == "go"
    assert model.requests[0].messages[-1].text == "<system-reminder>\nslowly\n</system-reminder>"
    assert "slowly" not in str(model.requests[1].messages)


async def test_where_a_run_begins_is_on_record(events: Captured) -> None:
    """Earlier messages and the state they stand in, then the prompt: before anything is asked."""
    said: list[tuple[str, str]] = []

    def model(request: Request) -> str:
        for event in events:
            match event.body:
                case MessageAppended(message=message):
                    said.append(("message", msgspec.json.decode(message.text or "")["content"]))
                case Note(name=name, data=data):
                    said.append((name, msgspec.json.decode(data.text or "")["by"]))
        return "ok"

    await ran(agent(model), events, history=[user("hello"), assistant("hi")])
    assert said == [
        ("message", "hello"), ("message", "hi"), (CONVERSATION, "begun"), ("message", "go"), (CONVERSATION, "prompted"),
    ]  # fmt: skip


async def test_a_conversation_has_one_first_message(events: Captured) -> None:
    """Hooks hear that a run starts, of a person's first words, of each prompt, in this order."""
    heard, hooks = list[str](), Hooks()
    for event in ("run_start", "first_message", "user_prompt"):
        hooks.on(event, lambda moment: heard.append(moment.event))
    one = agent(["a", "b"], hooks=hooks)
    found = await ran(one, events)
    await one.run("and?", history=found.messages)
    assert heard == ["run_start", "first_message", "user_prompt", "run_start", "user_prompt"]


@pytest.mark.parametrize(
    ("effect", "came"),
    [
        (FinishAgent("enough"), ("completed", "tool_stop", "enough")),
        (FinishRun("all"), ("completed", "tool_stop", "all")),
    ],
)
async def test_a_hook_can_end_a_run_before_it_asks(events: Captured, effect: Effect, came: tuple[str, ...]) -> None:
    """Its answer is the run's; the prompt joins no conversation, and nothing is remembered for it."""
    hooks, asked = Hooks(), list[str]()
    hooks.on("user_prompt", lambda moment: effect)
    model = ScriptedModel([])
    found = await ran(agent(model, hooks=hooks, memory=Memory(recall=asked.append)), events)
    assert (found.status, found.stop_reason, found.answer) == came
    assert (found.messages, model.requests, asked) == ((), [], [])


async def test_a_reminder_that_was_due_and_one_that_fails_are_recorded(events: Captured) -> None:
    """They wait for the request at hand, and a run that goes on knows what was said."""

    def broken(moment: Moment) -> str:
        raise LookupError("no list")

    model = ScriptedModel(["ok"])
    reminders = (Reminder("Plan first.", first=True), Reminder(broken))
    await ran(agent(model, reminders=reminders), events)
    assert "Plan first." in model.requests[0].messages[-1].text
    notes = {event.body.name: msgspec.json.decode(event.body.data.text or "") for event in events.of(Note)}
    assert list(notes["reminded"]["given"]) == ["Plan first."]
    assert "LookupError: no list" in notes["reminder_failed"]["problem"]


async def test_a_doubtful_model_is_told_of_before_anything_else(events: Captured) -> None:
    """The warning is recorded ahead of the prompt; without one there is none."""
    model = ScriptedModel(["ok"])
    model.warning = {"model": "scriptd", "suggestions": ["scripted"]}
    await ran(agent(model), events)
    assert names(events) == ["model_lookup_warning"]
    warned = next(event.seq for event in events.of(Note) if event.body.name == "model_lookup_warning")
    assert warned < min(event.seq for event in events.of(MessageAppended))
