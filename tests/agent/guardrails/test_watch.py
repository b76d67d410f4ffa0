from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tachograph.agent.guardrails.guardrail import (
    Action,
    Append,
    Block,
    Guardrail,
    Look,
    Redact,
    Refuse,
    Replace,
    Replacement,
)
from tachograph.agent.guardrails.rule import Rule
from tachograph.agent.guardrails.watch import Passed, watched
from tachograph.events.chat import Media, Text
from tachograph.events.run import StepEnded, StepStarted
from tachograph.limits.limit import Limits
from tachograph.record.run import run
from tachograph.testing import Captured, capture

pytestmark = pytest.mark.anyio
BAD = Rule("bad", (r"\bbad\b",), reason="it is bad")
PROMPT = (Text("a bad one"), Media("image", "image/png", url="u"))


def guard(does: Action, **fields: Any) -> Guardrail:
    """A guardrail over answers."""
    return Guardrail(**{"name": "one", "on": "output", "rules": (BAD,), "does": does, **fields})


async def shown(content: Any, *guardrails: Guardrail, **facts: Any) -> Passed:
    """What guardrails make of something."""
    return await watched(guardrails, Look(guardrails[0].on, content, **facts))


@pytest.mark.parametrize(
    ("does", "outcome", "content", "text"),
    [
        (Block("No: {reason}!"), "blocked", "so bad", "No: it is bad!"),
        (Block(), "blocked", "so bad", "This is not possible here: it is bad."),
        (Refuse(), "refused", "so bad", "This answer was not accepted: it is bad. Answer again without that."),
        (Replace("better"), "replaced", "better", ""),
        (Replace(lambda look: look.text.upper()), "replaced", "SO BAD", ""),
        (Replace(lambda look: None), "allowed", "so bad", ""),
        (Append("Sorry."), "appended", "so bad\n\nSorry.", "Sorry."),
        (Redact(), "redacted", "so [redacted:bad]", ""),
    ],
)
async def test_each_action_does_what_it_says(does: Action, outcome: str, content: str, text: str) -> None:
    """What is left, what whoever asked is told, and by which rule and why."""
    passed = await shown("so bad", guard(does))
    (ruling,) = passed.rulings
    assert (ruling.outcome, passed.content, ruling.text) == (outcome, content, text)
    assert (ruling.rule, ruling.reason, ruling.before) == ("bad", "it is bad", "so bad")
    assert ruling.after == (None if outcome in ("blocked", "refused") else content)
    assert passed.ended == (ruling if outcome in ("blocked", "refused") else None)


async def test_what_holds_nothing_passes_unrecorded(events: Captured) -> None:
    """The very same object, and no step."""
    assert await shown("good", guard(Block())) == Passed("good")
    assert len(events) == 0


async def test_a_prompt_keeps_its_media() -> None:
    """Whatever happens to its texts; what is appended waits for the request."""
    image = PROMPT[1]
    for does, left in (
        (Replace("ok"), (Text("ok"), image)),
        (Redact(), (Text("a [redacted:bad] one"), image)),
        (Append("more"), PROMPT),
    ):
        passed = await shown(PROMPT, guard(does, on="input"))
        assert passed.content == left
        assert passed.appended == (("more",) if isinstance(does, Append) else ())


async def test_each_sees_what_those_before_it_left() -> None:
    """And after one that blocks nobody is asked."""
    redact, look_again = guard(Redact(), name="first"), guard(Block(), name="second")
    passed = await shown("bad", redact, look_again)
    assert [ruling.guardrail for ruling in passed.rulings] == ["first"]
    passed = await shown("bad", guard(Block(), name="first"), guard(Redact(), name="second"))
    assert [ruling.guardrail for ruling in passed.rulings] == ["first"]


async def test_a_triggered_guardrail_is_a_step(events: Captured) -> None:
    """With what it saw, what it made of it, why and how; another one leaves no trace."""
    await shown("bad", guard(Replace("good")), guard(Block(), rules=(Rule("never", ("never",)),)), agent="ana")
    (started,), (ended,) = events.of(StepStarted), events.of(StepEnded)
    assert (started.body.kind, started.body.name, started.body.agent_type) == ("guardrail", "one", "ana")
    assert started.body.input.text == '"bad"'
    assert started.body.metadata.text == '{"on":"output"}'
    assert ended.body.status == "completed"
    assert ended.body.output.text == (
        '{"outcome":"replaced","mode":"enforce","rule":"bad","reason":"it is bad","after":"good","text":""}'
    )


ACTIONS: list[Action] = [
    Block(), Refuse(), Replace("x"), Append("y"), Redact(), Replace(lambda look: 1 / 0), Replace(lambda look: 3),
]  # fmt: skip


@settings(max_examples=60)
@given(
    text=some.text(some.sampled_from("bad good\n")) | some.just("so bad"),
    actions=some.lists(some.sampled_from(ACTIONS), max_size=4),
    on_error=some.sampled_from([None, "block", "allow"]),
)
def test_observing_changes_nothing(text: str, actions: list[Action], on_error: Any) -> None:
    """Whatever it would do and whatever it raises, the content is the same; what would have been is recorded."""
    guardrails = [guard(does, mode="observe", on_error=on_error) for does in actions]
    with capture():
        passed = asyncio.run(watched(guardrails, Look("output", text)))
    assert (passed.content, passed.ended, passed.appended) == (text, None, ())
    assert passed.content is text
    assert len(passed.rulings) == (len(actions) if BAD.finds(text) else 0)
    assert {ruling.mode for ruling in passed.rulings} <= {"observe"}


@settings(max_examples=60)
@given(
    text=some.text(some.sampled_from("bad good\n")) | some.just("so bad"),
    before=some.lists(some.sampled_from([Append("y"), Replace(lambda look: 1 / 0)]), max_size=3),
)
def test_blocking_always_prevents(text: str, before: list[Action]) -> None:
    """Also behind others that add something, fail, or only observe: what has it does not pass, the rest does."""
    others = [guard(does, mode=mode) for does in before for mode in ("enforce", "observe")]
    with capture():
        passed = asyncio.run(watched([*others, guard(Block())], Look("output", text)))
    assert (passed.ended is not None) is BAD.finds(text)


# ---- functions of the program's own ---------------------------------------------------------------------------------


async def wrong(look: Look) -> str | None:
    """Says what is wrong."""
    await asyncio.sleep(0)
    return "too loud" if look.text.isupper() else None


async def test_a_check_says_what_is_wrong() -> None:
    """Its words are the reason; rules are asked first."""
    one = guard(Block("{reason}"), check=wrong)
    assert (await shown("LOUD", one)).ended.text == "too loud"
    assert (await shown("quiet", one)).ended is None
    assert (await shown("BAD", one)).ended.text == "it is bad"


async def test_without_rules_and_check_the_gates_decide() -> None:
    """It triggers whenever it looks."""
    one = guard(Append("A disclaimer."), rules=(), when=lambda look: look.query == "tax")
    assert (await shown("a", one, query="tax")).content == "a\n\nA disclaimer."
    assert (await shown("a", one, query="tea")).content == "a"


def broken(look: Look) -> Any:
    """Fails."""
    raise OSError("no line")


async def late(look: Look) -> None:
    """Takes its time."""
    await asyncio.sleep(5)


FAULTS: dict[str, dict[str, Any]] = {
    "when": {"when": broken},
    "check": {"rules": (), "check": broken},
    "late": {"rules": (), "check": late, "seconds": 0.05},
    "no text": {"rules": (), "check": lambda look: True},
    "replace": {"does": Replace(broken)},
    "unfit": {"does": Replace(lambda look: 3)},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("on_error", [None, "block", "allow"])
async def test_a_guardrail_that_fails_does_what_it_declares(events: Captured, fault: str, on_error: Any) -> None:
    """It blocks or allows, and its error is recorded, as a failed step."""
    passed = await shown("bad", guard(**{"does": Block(), "on_error": on_error, **FAULTS[fault]}))
    (ruling,) = passed.rulings
    assert ruling.error
    assert passed.content == "bad"
    assert (passed.ended is not None) is (on_error == "block")
    assert ruling.outcome == ("blocked" if on_error == "block" else "allowed")
    assert events.of(StepEnded)[0].body.status == "failed"


@pytest.mark.parametrize("said", [(), "", (1,), {}, None])
async def test_a_prompt_is_replaced_by_something_that_is_said(said: Any) -> None:
    """What is no prompt is the function's error: nothing begins. None leaves it as it is."""
    passed = await shown("bad", guard(Replace(lambda look: said), on="input"))
    assert (passed.ended is not None) is (said is not None)


async def test_a_replacement_may_know_why() -> None:
    """Its reason goes before the rule's; an error on the way is told, and it stands."""
    passed = await shown("bad", guard(Replace(lambda look: Replacement("ok", "because", "half broken"))))
    (ruling,) = passed.rulings
    assert (passed.content, ruling.reason, ruling.error) == ("ok", "because", "half broken")


async def test_one_field_of_a_structured_answer(events: Captured) -> None:
    """It sees and changes that field alone; without it, the whole."""
    one = guard(Replace("good"), field="response")
    assert (await shown('{"response":"so bad","n":1}', one)).content == '{"response":"good","n":1}'
    assert (await shown('{"response":"fine","n":"bad"}', one)).content == '{"response":"fine","n":"bad"}'
    assert (await shown('{"other":"bad"}', one)).content == "good"
    assert [event.body.input.text for event in events.of(StepStarted)] == ['"so bad"', '"{\\"other\\":\\"bad\\"}"']


async def test_a_run_without_time_is_guarded_all_the_same(events: Captured) -> None:
    """The door refuses the step; the ruling stands, and is a note."""
    notes: list[tuple[str, Any]] = []
    with run("over", limits=Limits(seconds=0.2)):
        await asyncio.sleep(0.25)
        look = Look("output", "bad")
        passed = await watched([guard(Block())], look, note=lambda name, data: notes.append((name, data)))
    assert passed.ended is not None
    ((name, data),) = notes
    assert (name, data["before"], data["outcome"]) == ("guardrail", "bad", "blocked")
    assert not [event for event in events.of(StepStarted) if event.body.kind == "guardrail"]
