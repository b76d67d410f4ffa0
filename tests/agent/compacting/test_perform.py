from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tachograph.agent.compact.exchanges import SUMMARY
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.recorded import RecordedState, state_of
from tachograph.agent.state import State
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded
from tachograph.events.chat import Message, ToolUse, assistant, result, user
from tachograph.events.limit import LimitHit
from tachograph.events.run import StepEnded, StepStarted
from tachograph.fold import transcript
from tachograph.providers.scripted import Answer, Say, Silent
from tachograph.testing import Captured
from tests.agent.compact.conversations import conversations, turn
from tests.agent.compacting.running import Summary, holds, made_smaller, summaries

LONG = "0123456789" * 300
TALK = [message for n in range(8) for message in turn(f"question {n}", LONG, "short")]
POLICIES = some.builds(
    Compaction,
    keep=some.integers(1, 3),
    rounds=some.integers(1, 3),
    keep_first=some.booleans(),
    prune_above=some.sampled_from([500, 2000]),
    steps=some.permutations(["prune", "summarise", "window"]).flatmap(
        lambda steps: some.integers(1, 3).map(lambda most: tuple(steps[:most]))
    ),
    pinned=some.sampled_from([("pinned",), (), lambda message: message.role == "tool" and "x" in message.text]),
)
SUMMARIES: some.SearchStrategy[Summary] = some.sampled_from(
    ["All that was.", "", lambda: ModelError("bug", "broken"), Say("cut", finish="length"), "long " * 4000]
)


def facts(events: Captured) -> dict[str, Any]:
    """What the one compaction of some events says at its end."""
    (start,) = [event.body for event in events.of(StepStarted) if event.body.kind == "compaction"]
    (end,) = [event.body for event in events.of(StepEnded)]
    told: dict[str, Any] = {}
    for body in (start, end):
        told |= msgspec.json.decode(body.metadata.text or "")
    return {"status": end.status, **told}


def as_recorded(state: State) -> tuple[Any, ...]:
    """What of a state compactions change, in recorded form."""
    return [message.plain() for message in state.messages], state.base, state.open, state.iteration


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(talk=conversations(), policy=POLICIES, target=some.integers(1, 6000), summary=SUMMARIES)
def test_any_compaction_of_any_conversation_keeps_what_must_stay(
    talk: tuple[Message, ...], policy: Compaction, target: int, summary: Summary
) -> None:
    """Valid, with all that must stay in it, small enough or smaller, the same when repeated, and read back as it is."""
    first, live, (done, *more), events = made_smaller(talk, policy, target, summary=summary, times=2)
    holds(first.messages, live.state.messages, policy)
    assert done.compressed_tokens <= target or done.compressed_tokens < done.original_tokens or not done.changed
    assert done.changed == (done.compressed_tokens < done.original_tokens)
    assert done.changed or live.state.messages == first.messages
    assert done.original_tokens > target or not done.changed
    assert [one.changed for one in more] == [False]
    assert as_recorded(state_of(events, state=first)) == as_recorded(live.state)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(talk=conversations(), policy=POLICIES, target=some.integers(1, 3000))
def test_the_originals_are_in_the_log(talk: tuple[Message, ...], policy: Compaction, target: int) -> None:
    """The step names the conversation before and the one after, and both can be read."""
    first, live, _, events = made_smaller(talk, policy, target)
    told, found = facts(events), transcript.collect(events)

    def at(node: int) -> list[Any]:
        return transcript.read(found.path(node))

    assert at(told["before"]) == [message.plain() for message in first.messages]
    if told["status"] == "completed":
        assert at(told["after"]) == [message.plain() for message in live.state.messages]
        gone = [place for start, end in told["archived"] for place in range(start, end + 1)]
        stays = [message for place, message in enumerate(first.messages) if place not in gone]
        assert len([one for one in live.state.messages if one.name not in (SUMMARY, "notice")]) <= len(stays)


def test_results_are_pruned_first() -> None:
    """Where that is enough nothing else is done, and the model can read the rest."""
    first, live, (done,), events = made_smaller(TALK, Compaction(), 6000)
    assert (done.steps, done.messages_removed, done.messages_pruned, done.problems) == (("prune",), 0, 6, ())
    assert [len(message.text) <= 500 for message in live.state.messages[3:36:6]] == [True] * 6
    assert live.state.messages[37:] == first.messages[37:]
    assert live.shelf.get("result_6") == LONG
    assert "expand" in live.toolbox()
    assert summaries(events) == []


def test_then_older_exchanges_give_way_to_a_summary() -> None:
    """Through the door like any other request, with its purpose; the trace reads its figures from the step."""
    _, live, (done,), events = made_smaller(TALK, Compaction(summary_tokens=200), 3000)
    assert (done.steps, done.messages_summarized, done.messages_removed) == (("prune", "summarise"), 35, 34)
    assert [message.name for message in live.state.messages[:4]] == [None, None, SUMMARY, None]
    assert "All that was." in live.state.messages[2].text
    told = facts(events)
    assert (told["messages_before"], told["messages_after"]) == (49, 15)
    assert told["summary_chars"] == len(live.state.messages[2].text)
    assert (told["archived"], told["trigger"], told["target"]) == ([[2, 36]], "asked", 3000)
    (asked,) = summaries(events)
    assert (asked.purpose, asked.agent_type, asked.tools) == ("compaction", "calc", None)
    assert live.spent.llm_calls == 1
    assert live.last_usage.basis == "missing"


def test_a_summary_of_a_summary_takes_its_place() -> None:
    """They do not pile up: the older one is part of what the newer one is made from."""
    talk = [TALK[0], Message("user", "Before that, too.", name=SUMMARY), *TALK[6:]]
    _, live, _, events = made_smaller(talk, Compaction(summary_tokens=200), 3000)
    assert [message.name for message in live.state.messages].count(SUMMARY) == 1
    (asked,) = summaries(events)
    given = transcript.read(transcript.collect(events).path(asked.input))[-1]["content"]
    assert "[earlier summary] Before that, too." in given


@pytest.mark.parametrize(
    ("summary", "problem"),
    [
        (ModelError("invalid_request", "no", status=400, safe=True), "ModelError"),
        ("", "empty"),
        (Say("half a", finish="length"), "length"),
        ("word " * 20_000, "no smaller"),
        (RuntimeError("an adapter's fault"), "fault"),
        (Silent(), "timeout"),
    ],
)
def test_a_summary_that_does_not_come_changes_nothing(summary: Answer, problem: str) -> None:
    """It is told of, and the next step takes its place; without one the conversation is what it was."""
    policy = Compaction(steps=("summarise",), seconds=0.05)
    first, live, (done,), events = made_smaller(TALK, policy, 3000, summary=summary)
    assert live.state.messages == first.messages
    assert (done.changed, len(done.problems), problem in done.problems[0]) == (False, 1, True)
    assert facts(events)["status"] == "failed"
    assert all(event.body.status in ("failed", "completed") for event in events.of(CallEnded))
    _, other, (next_one,), _ = made_smaller(TALK, policy.but(steps=("summarise", "window")), 3000, summary=summary)
    assert (next_one.steps, len(next_one.problems)) == (("window",), 1)
    assert other.state.messages[2].name == "notice"


def test_a_summary_beyond_the_budget_changes_nothing() -> None:
    """It is refused at the door, where that is recorded like any other refusal, and nothing is sent."""
    first, live, (done,), events = made_smaller(TALK, Compaction(steps=("summarise",)), 3000, limits="500 tokens")
    assert (live.state, done.steps, live.spent.llm_calls) == (first, (), 0)
    assert "token_budget" in done.problems[0]
    assert [event.body.refused_kind for event in events.of(LimitHit)] == ["llm"]
    assert as_recorded(state_of(events, state=first)) == as_recorded(first)


def test_what_another_reply_takes_the_place_of_is_held() -> None:
    """A corrective turn stays last, and where it begins moves with the conversation."""
    talk = [*TALK, Message("user", "That does not fit.", name="correction")]
    first, live, _, events = made_smaller(talk, Compaction(keep=1, rounds=1), 10)
    state = msgspec.structs.replace(first, base=len(first.messages) - 1)
    recorded = RecordedState(state=state)
    for event in events:
        recorded.apply(event)
    assert recorded.state.base == len(live.state.messages) - 1
    assert live.state.messages[recorded.state.base].name == "correction"


def test_the_latest_results_are_cut_last_and_one_by_one() -> None:
    """Where nothing else is left to go."""
    calls = [ToolUse(f"c{n}", "look") for n in range(4)]
    talk = [user("go")]
    for call in calls:
        talk += [assistant("", call), result(call, LONG)]
    _, live, (done,), _ = made_smaller(talk, Compaction(rounds=9), 3000)
    assert (done.steps, done.messages_pruned) == (("prune",), 3)
    assert live.state.messages[-1].text == LONG
