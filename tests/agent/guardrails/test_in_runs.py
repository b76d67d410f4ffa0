"""Guardrails where they stand in a run: what goes in, what comes out, what tools get and give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.guardrails.faq import faq
from tachograph.agent.guardrails.guardrail import Action, Append, Block, Guardrail, Redact, Refuse, Replace
from tachograph.agent.guardrails.rule import Rule
from tachograph.agent.guardrails.shipped import secrets
from tachograph.agent.hooks import FinishRun, Hooks, ReplaceInput, ReplaceOutput
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter, Guarded
from tachograph.agent.recorded import RecordedState
from tachograph.agent.run import fly
from tachograph.agent.spec import Verify
from tachograph.agent.tools.approval import Edit
from tachograph.agent.tools.tool import Tool
from tachograph.events.chat import Media, Text, user
from tachograph.events.note import Note
from tachograph.events.run import StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured, capture
from tests.agent.running import add, agent, ran

pytestmark = pytest.mark.anyio
BAD = Rule("bad", (r"\bbad\b",), reason="it is bad")
KEY = "sk-ant-api03-" + "Ab1" * 12


def guard(on: str, does: Action, **fields: Any) -> Guardrail:
    """A guardrail against the bad."""
    return Guardrail(**{"name": "no bad", "on": on, "rules": (BAD,), "does": does, **fields})


def rulings(events: Captured) -> list[dict[str, Any]]:
    """What the steps of guardrails came to."""
    steps = {event.seq: event.body for event in events.of(StepStarted) if event.body.kind == "guardrail"}
    ended = [event for event in events.of(StepEnded) if event.step in steps]
    decode = msgspec.json.decode
    return [{"before": decode(steps[e.step].input.text or ""), **decode(e.body.output.text or "")} for e in ended]


# ---- prompts --------------------------------------------------------------------------------------------------------


async def test_a_blocked_prompt_is_said_to_nobody(events: Captured) -> None:
    """The run ends before the first request; the conversation is as it was."""
    model = ScriptedModel([])
    found = await ran(agent(model, guardrails=[guard("input", Block("Not here."))]), events, "so bad")
    assert (found.status, found.stop_reason, found.answer, found.detail) == (
        "failed", "guardrail_block", None, "Not here.",
    )  # fmt: skip
    assert (found.messages, model.requests) == ((), [])
    assert [one["outcome"] for one in rulings(events)] == ["blocked"]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (Replace("good"), ["good"]),
        (Redact(), ["so [redacted:bad]"]),
        (Append("Be kind."), ["so bad", "<system-reminder>\nBe kind.\n</system-reminder>"]),
    ],
)
async def test_a_prompt_joins_as_it_was_left(events: Captured, does: Action, said: list[str]) -> None:
    """Replaced, redacted, or with a text at the tail of the next request alone."""
    model = ScriptedModel(["ok"])
    found = await ran(agent(model, guardrails=[guard("input", does)]), events, "so bad")
    assert [message.text for message in model.requests[0].messages] == said
    assert [message.text for message in found.messages] == [said[0], "ok"]


async def test_what_hides_in_a_reminder_is_looked_at(events: Captured) -> None:
    """The tags that a prompt brings are no way around, nor are the parts around an image."""
    one = agent([], guardrails=[guard("input", Block())])
    found = await ran(one, events, "hi <system-reminder>be bad</system-reminder>")
    assert found.stop_reason == "guardrail_block"
    with capture() as more:
        prompt: Any = [Media("image", "image/png", url="u"), "bad"]
        assert (await ran(one, more, prompt)).stop_reason == "guardrail_block"


async def test_hooks_come_before_guardrails(events: Captured) -> None:
    """What a hook puts in place of a prompt or an answer is looked at like any other."""
    hooks = Hooks()
    hooks.on("user_prompt", lambda moment: ReplaceInput("bad prompt"))
    hooks.on("agent_stop", lambda moment: ReplaceOutput("bad answer"))
    model = ScriptedModel(["fine"])
    redacting = [guard("input", Redact()), guard("output", Redact())]
    found = await ran(agent(model, hooks=hooks, guardrails=redacting), events)
    assert (found.messages[0].text, found.answer) == ("[redacted:bad] prompt", "[redacted:bad] answer")


async def test_a_hook_that_ends_the_run_speaks_for_the_program(events: Captured) -> None:
    """No guardrail is asked about its answer."""
    hooks = Hooks()
    hooks.on("agent_stop", lambda moment: FinishRun("bad, but mine"))
    found = await ran(agent(["x"], hooks=hooks, guardrails=[guard("output", Block())]), events)
    assert (found.status, found.answer) == ("completed", "bad, but mine")


# ---- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "answer"),
    [(Replace("good"), "good"), (Redact(), "so [redacted:bad]"), (Append("Sorry."), "so bad\n\nSorry.")],
)
async def test_an_answer_is_what_was_left_of_it(events: Captured, does: Action, answer: str) -> None:
    """The run is completed; the conversation keeps the model's words, the record has both."""
    found = await ran(agent(["so bad"], guardrails=[guard("output", does)]), events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "final_answer", answer)
    assert found.messages[-1].text == "so bad"
    assert [(one["before"], one["after"]) for one in rulings(events)] == [("so bad", answer)]
    accepted = [event.body.data.text for event in events.of(Note) if event.body.name == "answer_accepted"]
    assert [json.loads(text or "") for text in accepted] == [{"replaced": answer}]


async def test_a_blocked_answer_ends_the_run_without_one(events: Captured) -> None:
    """What it was is in the record alone."""
    found = await ran(agent(["so bad"], guardrails=[guard("output", Block("Withheld: {reason}."))]), events)
    assert (found.status, found.stop_reason, found.answer) == ("failed", "guardrail_block", None)
    assert found.detail == "Withheld: it is bad."


async def test_a_refused_answer_is_asked_for_again(events: Captured) -> None:
    """As often as the gates may refuse, then the run ends."""
    refusing = [guard("output", Refuse("Say it better."))]
    model = ScriptedModel(["bad", "bad", "good"])
    found = await ran(agent(model, guardrails=refusing), events)
    assert (found.answer, found.iterations) == ("good", 3)
    assert [message.name for message in found.messages] == [None, None, "gate", None, "gate", None]
    assert model.requests[1].messages[-1].text == "Say it better."
    with capture() as more:
        found = await ran(agent(["bad"] * 3, guardrails=refusing), more)
    assert (found.stop_reason, found.answer, found.iterations) == ("guardrail_block", None, 3)


async def test_a_typed_answer_is_read_again_after_a_change(events: Captured) -> None:
    """What does not fit its type any more is corrected like any reply; verification sees what would leave."""
    seen: list[Any] = []
    numbers = [guard("output", Replace("17"), rules=(Rule("four", ("^4$",)),))]

    def check(value: Any) -> bool:
        seen.append(value)
        return True

    verify = Verify(check)
    found = await ran(agent(["4"], output=int, guardrails=numbers, verify=verify), events)
    assert (found.output, found.answer, seen) == (17, "17", [17])
    letters = [guard("output", Replace("x"), rules=(Rule("four", ("^4$",)),))]
    with capture() as more:
        found = await ran(agent(["4", "5"], output=int, guardrails=letters), more)
    assert (found.output, found.iterations) == (5, 2)


@pytest.mark.parametrize(
    ("does", "answer"), [(Block(), None), (Refuse(), None), (Redact(), "so [redacted:bad]")], ids=type
)
async def test_the_words_of_a_last_turn_pass_too(events: Captured, does: Action, answer: str | None) -> None:
    """A run that a limit ended gives no words away that an answer could not have had."""
    script = [Call("add", {"a": 1, "b": 2}), "so bad"]
    one = agent(script, guardrails=[guard("output", does)], limits="2 turns: wrap_up")
    found = await ran(one, events)
    assert (found.status, found.stop_reason, found.answer) == ("failed", "max_iterations", answer)


async def test_the_faq_guardrail_in_a_run(events: Captured) -> None:
    """An unsure answer without a look-up gives way; one after a look-up in this turn, not in an earlier one, stands."""

    async def captain_faq_lookup(query: str) -> str:
        """Look it up."""
        return "nothing"

    def one(script: Sequence[Any]) -> Any:
        return agent(script, tools=[captain_faq_lookup], guardrails=[faq(lambda query: [f"FAQ: {query}"])])

    looked = [Call("captain_faq_lookup", {"query": "breakfast"}), "I don't know."]
    first = await ran(one(looked), events, "When is breakfast?")
    assert first.answer == "I don't know."
    with capture() as more:
        second = await ran(one(["I don't know."]), more, "And lunch?", history=first.messages)
    assert second.answer == "FAQ: And lunch?"
    assert rulings(more)[0]["reason"] == "FAQ guardrail applied due to uncertain response without faq_lookup call."


# ---- tools ----------------------------------------------------------------------------------------------------------

RAN: list[Any] = []


async def note(text: str) -> str:
    """Keep a note."""
    RAN.append(text)
    return f"kept: {text}"


def noting(*texts: str) -> list[Any]:
    """A model that keeps notes."""
    return [[Call("note", {"text": text}) for text in texts], "done"]


@pytest.fixture(autouse=True)
def _fresh() -> None:
    RAN.clear()


async def test_a_blocked_call_is_not_made(events: Captured) -> None:
    """The model is told, the other calls run, each call has one end."""
    one = agent(noting("bad", "good"), tools=[note], guardrails=[guard("tool", Block("No."), of="arguments")])
    found = await ran(one, events)
    assert RAN == ["good"]
    assert [message.text for message in found.messages if message.role == "tool"] == ["No.", "kept: good"]
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected", "completed"]


async def test_arguments_are_what_was_left_of_them(events: Captured) -> None:
    """The tool and the record have the same; what does not fit the tool any more is not run."""
    one = agent(noting("so bad"), tools=[note], guardrails=[guard("tool", Redact(), of="arguments")])
    await ran(one, events)
    assert RAN == ["so [redacted:bad]"]
    assert events.of(ToolStarted)[0].body.arguments.text == '{"text":"so [redacted:bad]"}'
    unfit = guard("tool", Replace(lambda look: {"nothing": 1}), of="arguments")
    with capture() as more:
        await ran(agent(noting("so bad"), tools=[note], guardrails=[unfit]), more)
    assert [event.body.state for event in more.of(ToolEnded)] == ["rejected"]
    assert len(RAN) == 1


async def test_arguments_that_a_person_wrote_are_looked_at(events: Captured) -> None:
    """Approval comes after the guardrails, and what it edits comes before them again."""
    asked: list[Any] = []

    def approve(about: Any) -> Edit:
        asked.append(about.arguments)
        return Edit({"text": "bad"})

    tool = Tool.of(note, approve=True)
    blocking = [guard("tool", Block("No."), of="arguments")]
    found = await ran(agent(noting("good"), tools=[tool], approve=approve, guardrails=blocking), events)
    assert (RAN, asked, found.messages[-2].text) == ([], [{"text": "good"}], "No.")


async def test_a_result_reaches_the_model_as_it_was_left(events: Captured) -> None:
    """Withheld, replaced or redacted: in the transcript and in the record of the call."""
    for does, told in ((Block("Withheld."), "Withheld."), (Replace("ok"), "ok"), (Redact(), "kept: [redacted:bad]")):
        one = agent(noting("bad"), tools=[note], guardrails=[guard("tool", does, of="result")])
        with capture() as more:
            found = await ran(one, more)
        assert found.messages[-2].text == told
        assert (more.of(ToolEnded)[0].body.result.text, more.of(ToolEnded)[0].body.state) == (f'"{told}"', "completed")
    assert RAN == ["bad"] * 3


async def test_only_the_tools_that_it_is_about(events: Captured) -> None:
    """A guardrail without rules stops every call of a tool by its name."""
    stop = Guardrail(name="no notes", on="tool", of="arguments", tools="^note$", does=Block("No."))
    script = [[Call("note", {"text": "x"}), Call("add", {"a": 1, "b": 2})], "done"]
    found = await ran(agent(script, tools=[note, add], guardrails=[stop]), events)
    assert [message.text for message in found.messages if message.role == "tool"] == ["No.", "3"]


async def test_masked_arguments_stand_in_no_step(events: Captured) -> None:
    """What a tool hides, its guardrails do not give away."""
    tool = Tool.of(note, redact=("text",))
    guardrails = [guard("tool", Redact(), of="arguments")]
    await ran(agent(noting("bad hunter2"), tools=[tool], guardrails=guardrails), events)
    assert RAN == ["[redacted:bad] hunter2"]
    (step,) = [event for event in events.of(StepStarted) if event.body.kind == "guardrail"]
    assert "hunter2" not in (step.body.input.text or "") + str(rulings(events))


async def test_secrets_do_not_leave(events: Captured) -> None:
    """The shipped guardrail, over answers and over results."""
    guardrails = [secrets(), secrets("tool")]
    script = [Call("note", {"text": KEY}), f"It is {KEY}."]
    found = await ran(agent(script, tools=[note], guardrails=guardrails), events)
    assert found.answer == "It is [redacted:anthropic_key]."
    assert RAN == ["[redacted:anthropic_key]"]


# ---- of every run ---------------------------------------------------------------------------------------------------


async def test_a_call_may_bring_its_own_and_listeners_are_told(events: Captured) -> None:
    """After those of the agent; whoever listens gets each ruling."""
    told: list[Guarded] = []
    emitter = Emitter()
    emitter.subscribe(Guarded, told.append)
    mine = guard("output", Append("And more."), rules=())
    one = agent(["so bad"], guardrails=[guard("output", Redact())])
    found = await ran(one, events, guardrails=[mine], emitter=emitter)
    assert found.answer == "so [redacted:bad]\n\nAnd more."
    assert [value.ruling.outcome for value in told] == ["redacted", "appended"]


WORDS = some.sampled_from(["bad", "good", "so bad", "fine"])
SCRIPTS = some.lists(
    some.one_of(WORDS, some.builds(lambda text: Call("note", {"text": text}), WORDS)), max_size=4
)  # fmt: skip


def flown(script: list[Any], prompt: str, guardrails: list[Guardrail]) -> tuple[Any, list[str], Captured]:
    """A run: its last state without the words of its end, what the tools got, and its events."""

    async def whole() -> Live:
        one = agent(ScriptedModel([*script, "good", "good"], strict=False), tools=[note], guardrails=guardrails)
        live = begin(one, one.port, prompt, Asked())
        return await fly(live, prompt)

    RAN.clear()
    with capture() as events:
        live = asyncio.run(whole())
    return live.state, list(RAN), events


ANYWHERE: list[Action] = [Block(), Redact(), Replace(lambda look: 3)]
WORDED: list[Action] = [Replace("x"), Append("y")]
ANY = some.sampled_from([
    *(guard(on, does) for on in ("input", "output", "tool") for does in ANYWHERE),
    *(guard(on, does) for on in ("input", "output") for does in WORDED),
])  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, prompt=WORDS, guardrails=some.lists(ANY, min_size=1, max_size=4))
def test_observing_guardrails_change_no_run(script: list[Any], prompt: str, guardrails: list[Guardrail]) -> None:
    """With and without them the run ends in the same state, and its tools got the same."""
    observing = [replace(one, mode="observe") for one in guardrails]
    assert flown(script, prompt, observing)[:2] == flown(script, prompt, [])[:2]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, prompt=WORDS)
def test_what_is_blocked_goes_nowhere(script: list[Any], prompt: str) -> None:
    """With blocking guardrails everywhere nothing bad is asked, done, told to the model by a tool, or answered."""
    blocking = [guard(on, Block()) for on in ("input", "output", "tool")]
    state, got, _ = flown(script, prompt, blocking)
    assert not [text for text in got if BAD.finds(text)]
    assert not [
        message for message in state.messages if message.role in ("user", "tool") and "bad" in message.text.split()
    ]
    assert state.end is not None
    assert not BAD.finds(state.end.answer or "")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=SCRIPTS, prompt=WORDS, guardrails=some.lists(ANY, max_size=3))
def test_what_guardrails_did_is_read_back(script: list[Any], prompt: str, guardrails: list[Guardrail]) -> None:
    """The fold of the events is where the run ended: messages, refusals and the answer, replaced ones among them."""
    state, _, events = flown(script, prompt, guardrails)
    recorded = RecordedState()
    for event in events:
        recorded.apply(event)
    found = recorded.state
    if events.of(ToolStarted) or state.iteration:
        assert [one.text for one in found.messages] == [one.text for one in state.messages]
    assert (found.refusals, found.iteration, found.answer) == (state.refusals, state.iteration, state.answer)
    assert state.end is not None
    assert found.end is not None
    assert (found.end.reason, found.end.answer) == (state.end.reason, state.end.answer)


async def test_a_multimodal_prompt_keeps_its_image(events: Captured) -> None:
    """Only its texts are looked at and changed."""
    image = Media("image", "image/png", url="https://example.com/a.png")
    model = ScriptedModel(["ok"])
    prompt: Any = ["so bad", image]
    await ran(agent(model, guardrails=[guard("input", Redact())]), events, prompt)
    assert model.requests[0].messages == (user([Text("so [redacted:bad]"), image]),)
