from __future__ import annotations

from tachograph.agent.state import (
    Accepted,
    Answered,
    Compacted,
    Corrected,
    End,
    Ended,
    Iterated,
    Moved,
    Nudged,
    Recalled,
    Refused,
    Replied,
    State,
    Wrapped,
    advance,
)
from tachograph.events.chat import Message, ToolUse, assistant, result, system, user

CALL = ToolUse("c1", "look", "{}")
HI = user("hi")
START = State(messages=(HI,))


def runtime(text: str, kind: str) -> Message:
    """What the runtime says to the model."""
    return Message("user", text, name=kind)


def after(*facts: object, state: State = START) -> State:
    """The state after some facts."""
    for fact in facts:
        state = advance(state, fact)  # type: ignore[arg-type]  # facts of every kind
    return state


def test_a_turn_with_a_tool_leaves_a_whole_conversation() -> None:
    """A reply opens its calls, their results close them, and the tool counts as used."""
    asks = assistant("", CALL)
    state = after(Iterated(), Replied(asks, "tool_calls"))
    assert (state.open, state.iteration) == ((CALL,), 1)
    state = after(Answered((result(CALL, "seen"),), ("look",)), state=state)
    assert state == State(messages=(HI, asks, result(CALL, "seen")), iteration=1, succeeded=frozenset({"look"}))


def test_a_correction_takes_the_place_of_the_reply() -> None:
    """The reply that did not fit is not sent again, the next correction replaces the first, a fit leaves neither."""
    bad, good = assistant("bad"), assistant("good")
    state = after(Iterated(), Replied(bad, "stop"), Corrected("once"))
    assert (state.messages, state.schema_attempts) == ((HI, runtime("once", "correction")), 1)
    state = after(Iterated(), Replied(bad, "stop"), Corrected("twice"), state=state)
    assert (state.messages, state.schema_attempts) == ((HI, runtime("twice", "correction")), 2)
    assert after(Iterated(), Replied(good, "stop"), state=state).messages == (HI, good)


def test_a_smaller_conversation_takes_the_place_of_the_larger() -> None:
    """Where a corrective turn stands moves with it; everything else is as it was."""
    talk = (HI, assistant("a"), user("b"))
    state = after(Iterated(), Replied(assistant("bad"), "stop"), Corrected("once"), state=State(messages=talk))
    smaller = after(Compacted((user("b"), runtime("once", "correction"))), state=state)
    assert (smaller.base, smaller.messages) == (1, (user("b"), runtime("once", "correction")))
    assert after(Iterated(), Replied(assistant("good"), "stop"), state=smaller).messages == (
        user("b"), assistant("good"),
    )  # fmt: skip
    assert after(Compacted((HI,)), state=State(messages=talk, phase="plan")) == State(messages=(HI,), phase="plan")


def test_without_a_nudge_the_same_is_asked_again() -> None:
    """An empty correction leaves the prompt as it was."""
    assert after(Iterated(), Replied(assistant("bad"), "stop"), Corrected("")).messages == (HI,)


def test_a_gate_after_a_correction_keeps_the_answer_it_refused() -> None:
    """What was said after a corrected reply stands behind it."""
    state = after(Replied(assistant("bad"), "stop"), Corrected("fix"), Replied(assistant("good"), "stop"))
    state = after(Refused("gate", "no"), Replied(assistant("better"), "stop"), state=state)
    assert state.messages == (HI, assistant("good"), runtime("no", "gate"), assistant("better"))
    assert state.refusals == {"gate": 1}


def test_nudges_count_until_the_model_does_something() -> None:
    """Nudges in a row add up; a tool call begins anew."""
    state = after(Replied(assistant(""), "stop"), Nudged("go on"), Replied(assistant(""), "stop"), Nudged("go on"))
    assert state.nudges == 2
    assert after(Replied(assistant("", CALL), "tool_calls"), state=state).nudges == 0


def test_the_next_request_forgets_what_was_accepted() -> None:
    """Acceptance belongs to one reply."""
    state = after(Replied(assistant("x"), "stop"), Accepted("y"))
    assert (state.accepted, state.answer) == (True, "y")
    state = after(Iterated(), state=state)
    assert (state.accepted, state.answer, state.reply) == (False, None, None)


def test_phases_limits_and_the_end_are_kept() -> None:
    """A phase brings its text, a limit its metric, and the end stands last."""
    end = End("failed", "max_iterations")
    state = after(Moved("write", "Write it."), Wrapped("max_tool_calls"), Ended(end))
    assert state == State(
        messages=(HI, runtime("Write it.", "phase")), phase="write", wrap_up="max_tool_calls", end=end
    )


def test_a_corrective_turn_without_a_reply_goes_with_the_run() -> None:
    """What ended before the model replied to it is no part of the conversation; with a reply it is gone already."""
    asked = advance(State(messages=(user("a"),)), Iterated())
    corrected = advance(advance(asked, Replied(assistant("no"), "stop")), Corrected("A number, please."))
    end = Ended(End("failed", "provider_error"))
    assert advance(corrected, end).messages == (user("a"),)
    answered = advance(advance(corrected, Iterated()), Replied(assistant("5"), "stop"))
    assert advance(answered, end).messages == (user("a"), assistant("5"))


def test_what_is_remembered_ends_the_instructions() -> None:
    """Where there are none, or none of the agent's own, it stands first; what else is known of them stays."""
    told = State(messages=(system("Be kind.", cache=True), HI))
    assert after(Recalled("<m/>", joins=True), state=told).messages == (system("Be kind.\n\n<m/>", cache=True), HI)
    assert after(Recalled("<m/>", joins=False)).messages == (system("<m/>"), HI)
    assert after(Recalled("<m/>", joins=True), state=State()).messages == (system("<m/>"),)
