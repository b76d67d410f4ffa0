from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from tachograph.agent.loop import Act, Ask, Check, Correct, Finish, Move, Nudge, Refuse, decide
from tachograph.agent.rules import Phase
from tachograph.agent.spec import Spec
from tachograph.agent.state import Accepted, Answered, End, Iterated, Refused, Replied, State, Wrapped, advance
from tachograph.events.chat import ToolUse, assistant, result, user

CALL = ToolUse("c1", "look", "{}")


@dataclass
class Sum:
    """A type for answers."""

    total: int


def spec(**fields: Any) -> Spec:
    """An agent that is never run."""
    return Spec(name="a", model="scripted", **fields)


def replied(text: str = "", *calls: ToolUse, finish: Any = "stop", state: State | None = None) -> State:
    """A state after one reply."""
    begun = advance(state or State(messages=(user("hi"),)), Iterated())
    return advance(begun, Replied(assistant(text, *calls), finish))


def failed(reason: str, detail: str, answer: str | None = None) -> Finish:
    """The end of a run that failed."""
    return Finish(End("failed", reason, answer, None, detail))


def test_a_conversation_that_waits_for_the_model_is_asked() -> None:
    """A state without a reply asks, with tools."""
    assert decide(spec(), State(messages=(user("hi"),))) == Ask(tools=True)


def test_calls_of_a_reply_are_run() -> None:
    """A reply with tool calls leads to all of them, in its order."""
    other = ToolUse("c2", "look", '{"a": 1}')
    assert decide(spec(), replied("", CALL, other, finish="tool_calls")) == Act((CALL, other))


def test_an_answer_is_checked_and_then_is_the_end() -> None:
    """A text is an answer after it was accepted, and not before."""
    state = replied("42")
    assert decide(spec(), state) == Check("42", "42")
    assert decide(spec(), advance(state, Accepted())) == Finish(End("completed", "final_answer", "42", "42"))


@pytest.mark.parametrize(
    ("finish", "text", "wanted"),
    [
        ("length", "half", failed("output_truncated", "the reply was cut at its most tokens")),
        ("content_filter", "", failed("content_filter", "")),
        ("refusal", "I cannot.", failed("content_filter", "I cannot.")),
    ],
    ids=["cut", "filtered", "refused"],
)
def test_what_is_no_answer_never_completes(finish: str, text: str, wanted: Finish) -> None:
    """A cut, filtered or refused reply ends the run as failed."""
    assert decide(spec(), replied(text, finish=finish)) == wanted


def test_calls_of_a_cut_reply_are_not_run() -> None:
    """Arguments of a reply that was cut may be half: nothing of it runs."""
    wanted = failed("output_truncated", "a reply with tool calls was cut")
    assert decide(spec(), replied("", CALL, finish="length")) == wanted


def test_an_empty_reply_is_nudged_so_often_and_no_more() -> None:
    """Two nudges are allowed by default; the third empty reply in a row ends the run."""
    state = replied(" ")
    found = decide(spec(), state)
    assert isinstance(found, Nudge)
    assert found.kind == "empty_reply"
    worn = msgspec.structs.replace(state, nudges=2)
    assert decide(spec(), worn) == failed("empty_reply", "empty_reply")


def test_without_the_word_that_it_is_done_the_model_goes_on() -> None:
    """With `done` a text without that word is nudged, then ends as no_progress; with it, the word is taken out."""
    agent = spec(done="##DONE##", nudges=0)
    assert decide(agent, replied("thinking")) == failed("no_progress", "not_done")
    assert decide(agent, replied("42 ##DONE##")) == Check("42", "42")
    assert isinstance(decide(spec(done="##DONE##"), replied("thinking")), Nudge)


def test_a_reply_that_does_not_fit_is_corrected_so_often_and_no_more() -> None:
    """A misfit gives a correction that spells the shape out, and fails when the corrections are used up."""
    agent = spec(output=Sum, schema_retries=1)
    found = decide(agent, replied("no json"))
    assert isinstance(found, Correct)
    assert "total" in found.text
    worn = msgspec.structs.replace(replied("no json"), schema_attempts=1)
    assert decide(agent, worn) == failed("schema_failed", found.errors[0], "no json")
    assert decide(agent, replied('```json\n{"total": 3}\n```')) == Check('```json\n{"total": 3}\n```', Sum(3))


def test_a_required_tool_stands_before_the_answer() -> None:
    """Without the tool the answer is sent back twice, then the run fails; with it the answer is checked."""
    agent = spec(required_tools=("look",))
    found = decide(agent, replied("42"))
    assert isinstance(found, Refuse)
    assert found.gate == "required_tools"
    assert "look" in found.text
    state = State(messages=(user("hi"),))
    for _ in range(2):
        state = advance(replied("42", state=state), Refused("required_tools", found.text))
    end = decide(agent, replied("42", state=state))
    assert isinstance(end, Finish)
    assert end.end.reason == "required_tool_missing"
    used = advance(replied("", CALL, finish="tool_calls"), Answered((result(CALL, "seen"),), ("look",)))
    assert decide(agent, replied("42", state=used)) == Check("42", "42")


def test_phases_follow_the_last_line_that_names_one() -> None:
    """A named phase is begun, the present one is not begun again, an unknown one is told what there is."""
    agent = spec(phases=(Phase("plan"), Phase("write", "Write it.")))
    begun = State(messages=(user("hi"),), phase="plan")
    assert decide(agent, replied("next_phase: plan\nnext_phase: write", state=begun)) == Move(agent.phases[1])
    assert isinstance(decide(agent, replied("next_phase: plan", state=begun)), Check)
    unknown = decide(agent, replied("next_phase: sing", state=begun))
    assert isinstance(unknown, Nudge)
    assert "plan, write" in unknown.text


def test_wrapping_up_is_one_turn_without_tools() -> None:
    """After a limit of mode wrap_up tools are off, and what is said then is the answer of a failed run."""
    wrapped = advance(State(messages=(user("hi"),)), Wrapped("max_tool_calls"))
    assert decide(spec(), wrapped) == Ask(tools=False)
    assert decide(spec(), replied("what I know", state=wrapped)) == Finish(
        End("failed", "max_tool_calls", "what I know", "what I know", "wrapped up")
    )
    asks = decide(spec(), replied("", CALL, finish="tool_calls", state=wrapped))
    assert asks == failed("max_tool_calls", "the model asked for tools in its last turn")


def test_the_words_of_the_last_turn_are_an_answer_as_good_as_they_are() -> None:
    """An empty or ill-fitting last turn ends the run by the limit's name all the same."""
    wrapped = advance(State(messages=(user("hi"),)), Wrapped("max_iterations"))
    assert decide(spec(), replied(" ", state=wrapped)) == failed("max_iterations", "the last turn said nothing")
    misfit = decide(spec(output=Sum), replied("no json", state=wrapped))
    assert isinstance(misfit, Finish)
    assert (misfit.end.reason, misfit.end.answer, misfit.end.value) == ("max_iterations", "no json", None)


def test_an_end_is_final() -> None:
    """Once there is an end, nothing else is decided."""
    end = End("cancelled", "user_cancel")
    assert decide(spec(), msgspec.structs.replace(replied("42"), end=end)) == Finish(end)


def test_a_filtered_reply_asks_for_nothing() -> None:
    """Its calls may be half of what was meant."""
    for finish in ("content_filter", "refusal"):
        ended = failed("content_filter", "a reply with tool calls was filtered")
        assert decide(spec(), replied("", CALL, finish=finish)) == ended


def test_words_of_a_hook_are_an_answer() -> None:
    """A replaced answer need not hold the word for `done`, and moves to no phase."""
    rules = spec(done="DONE", phases=(Phase("plan"), Phase("work")))
    state = advance(replied("It is 4. DONE"), Accepted("Four.\nnext_phase: work"))
    assert decide(rules, state) == Finish(End("completed", "final_answer", state.answer, state.answer))
