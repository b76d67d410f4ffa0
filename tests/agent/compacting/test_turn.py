from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tachograph.agent.agent import Agent
from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.chat import Chat
from tachograph.agent.compact.exchanges import SUMMARY
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.live import Live
from tachograph.agent.progress import Compacted, StreamReset
from tachograph.agent.recorded import RecordedState
from tachograph.agent.reminders import Reminder
from tachograph.agent.run import fly
from tachograph.agent.state import State
from tachograph.agent.transcript import check
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import Message
from tachograph.events.note import Note
from tachograph.events.run import StepEnded, StepStarted
from tachograph.events.usage import MISSING, Usage
from tachograph.instrument import trace
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, Say, ScriptedModel, Silent
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.compact.conversations import turn
from tests.agent.compacting.running import FULL, asks_for_a_summary, model_of, summaries
from tests.agent.running import QUICK, valid

pytestmark = pytest.mark.anyio

TALK = [message for n in range(6) for message in turn(f"question {n}", "word " * 300)]
SMALL = Compaction(summary_tokens=200)


async def look(n: int = 0) -> str:
    """Look something up."""
    return f"line {n} " * 500


def agent(model: ScriptedModel, **fields: Any) -> Agent:
    """An agent that looks things up."""
    fields = {"tools": [look], "retry": QUICK, "limits": "30 turns", "instructions": "Be brief.", **fields}
    return Agent(name="calc", model=model, **fields)


def steps(events: Captured) -> list[dict[str, Any]]:
    """What compactions said when they began and when they ended."""
    begun = {event.seq: event.body for event in events.of(StepStarted) if event.body.kind == "compaction"}
    ended = [(begun[event.step], event.body) for event in events.of(StepEnded) if event.step in begun]
    return [
        {
            **msgspec.json.decode(start.metadata.text or ""),
            **msgspec.json.decode(end.metadata.text or ""),
            "end": end.status,
        }
        for start, end in ended
    ]


def talk_of(request: Request) -> tuple[Message, ...]:
    """A request's conversation without its reminders."""
    return tuple(message for message in request.messages if "<system-reminder>" not in message.text)


# ---- when it is due -------------------------------------------------------------------------------------------------


async def test_a_conversation_is_made_smaller_when_it_passes_its_mark(events: Captured) -> None:
    """Again and again; between two times each request begins with the one before, byte for byte."""
    model = ScriptedModel(_looking(14), context_window=9000)
    told: list[Compacted] = []
    chat = Chat(agent(model, compaction=SMALL, reminders=(Reminder("Hurry."),)))
    chat.subscribe(Compacted, told.append)
    found = valid(await chat.ask("go"), events)
    assert (found.status, found.iterations) == ("completed", 15)
    assert len(told) >= 3
    done = steps(events)
    assert [(one["trigger"], one["end"]) for one in done] == [("target", "completed")] * len(told)
    assert all(one["tokens_after"] <= one["target"] < one["tokens_before"] for one in done)
    asked = [talk_of(request) for request in model.requests if not asks_for_a_summary(request)]
    changed = [later[: len(before)] != before for before, later in pairwise(asked)]
    assert changed.count(True) == len(told)
    for talk in asked:
        check(talk)
        assert [message.role for message in talk].count("system") == 1
        assert talk[1].text == "go"


def _looking(times: int) -> Any:
    """Looks so many times, each time at something else; a summary in between."""

    def answer(request: Request) -> Any:
        if asks_for_a_summary(request):
            return "Looked at some lines."
        done.append(1)
        return Call("look", {"n": len(done)}) if len(done) <= times else "done"

    done: list[int] = []
    return answer


async def test_the_trace_tells_of_it(events: Captured) -> None:
    """`archived_messages` are those before, less those after, and one more; of pruning there are none."""
    trace.take_agent_trace()
    await Chat(agent(ScriptedModel(_looking(14), context_window=9000), compaction=SMALL)).ask("go")
    told = [one for one in trace.take_agent_trace() if isinstance(one, trace.ContextCompaction)]
    done = steps(events)
    assert [(one.archived_messages, one.new_summary_len) for one in told] == [
        (one["messages_before"] - one["messages_after"] + 1 if one["summary_chars"] else 0, one["summary_chars"])
        for one in done
    ]
    assert any(one.archived_messages for one in told)
    assert all(one.iteration > 1 for one in told)


async def test_without_a_window_only_an_overflow_makes_it_smaller(events: Captured) -> None:
    """Nobody knows how much is too much; a number of tokens says it."""
    await agent(model_of("ok")).run("more?", history=TALK * 9)
    assert steps(events) == []
    found = await agent(model_of("ok"), compaction=SMALL.but(at=3000, to=1000)).run("more?", history=TALK)
    assert found.status == "completed"
    assert [one["trigger"] for one in steps(events)] == ["target"]


async def test_it_can_be_switched_off(events: Captured) -> None:
    """Then an overflow ends the run as any other error of the provider does."""
    found = await agent(model_of(FULL, window=2000), compaction=None).run("more?", history=TALK)
    assert (found.stop_reason, found.error, steps(events)) == ("provider_error", FULL, [])


async def test_what_cannot_be_made_small_enough_is_not_tried_at_every_turn(events: Captured) -> None:
    """Only when the conversation has grown by a tenth since."""
    policy = SMALL.but(steps=("window",), rounds=20, at=1000, to=100)
    await agent(ScriptedModel(_looking(6)), compaction=policy).run("go")
    done = steps(events)
    assert [one["end"] for one in done] == ["failed"] * len(done)
    sizes = [one["tokens_before"] for one in done]
    assert 1 < len(sizes) < 6
    assert all(later >= before * 1.1 for before, later in pairwise(sizes))


@pytest.mark.parametrize(
    ("usage", "times"), [(Usage(input_uncached=1000, output=5, basis="provider"), 0), (MISSING, 1)]
)
async def test_the_measure_is_what_the_provider_counts(events: Captured, usage: Usage, times: int) -> None:
    """A provider that counts less than the rule from bytes says that it is not due yet."""
    script = [Say(calls=(Call("look", {"n": n}),), usage=usage) for n in range(3)]
    model = model_of(*script, "done", window=9000)
    found = await agent(model, compaction=SMALL, max_tokens=500).run("go", history=TALK)
    assert (found.status, len(steps(events))) == ("completed", times)


# ---- when it did not fit --------------------------------------------------------------------------------------------


async def test_a_request_that_did_not_fit_is_made_smaller_and_sent_again(events: Captured) -> None:
    """That is no failure of the run; reminders go with the next request too."""
    model = model_of(FULL, "There.")
    found = valid(
        await agent(model, reminders=(Reminder("Hurry.", most=1),)).run("more?", history=TALK, said=["Now."]), events
    )
    assert (found.status, found.answer, found.iterations, found.spent.llm_calls) == ("completed", "There.", 1, 3)
    (done,) = steps(events)
    assert (done["trigger"], done["attempt"], done["steps"]) == ("overflow", 1, ["summarise"])
    first, _, second = model.requests
    assert len(str(second.messages)) < len(str(first.messages))
    assert all("Hurry." in str(request.messages) and "Now." in str(request.messages) for request in (first, second))
    check(talk_of(second))


async def test_there_are_two_attempts_for_one_overflow(events: Captured) -> None:
    """Each with a smaller conversation; then the run fails as it would have."""
    model = model_of(FULL, FULL, FULL, FULL)
    found = valid(await agent(model).run("more?", history=TALK), events)
    assert (found.stop_reason, found.error) == ("provider_error", FULL)
    sizes = [sum(len(message.text) for message in one.messages) for one in model.requests if not _aside(one)]
    assert len(sizes) == 3
    assert sizes == sorted(sizes, reverse=True)
    assert [(one["attempt"], one["tokens_after"] < one["tokens_before"]) for one in steps(events)] == [
        (1, True), (2, True),
    ]  # fmt: skip


def _aside(request: Request) -> bool:
    return asks_for_a_summary(request)


@pytest.mark.parametrize("attempts", [0, 1, 2])
async def test_attempts_are_as_the_policy_says(events: Captured, attempts: int) -> None:
    """None is as good as none."""
    model = model_of(*[FULL] * 9)
    await agent(model, compaction=SMALL.but(attempts=attempts)).run("more?", history=TALK)
    assert sum(not _aside(request) for request in model.requests) == attempts + 1


async def test_what_cannot_shrink_is_not_sent_again(events: Captured) -> None:
    """A prompt that is too long by itself stays so."""
    model = model_of(FULL, FULL)
    found = valid(await agent(model).run("word " * 5000), events)
    assert (found.stop_reason, len(model.requests)) == ("provider_error", 1)
    assert [one["end"] for one in steps(events)] == ["failed"]


async def test_the_next_turn_may_overflow_again(events: Captured) -> None:
    """Two attempts are for one overflow, not for a run."""
    model = model_of(FULL, FULL, Call("look", {"n": 1}), FULL, Call("look", {"n": 2}), "done")
    found = valid(await agent(model, compaction=SMALL.but(keep=1, rounds=1)).run("more?", history=TALK), events)
    assert (found.status, found.iterations) == ("completed", 3)
    assert [one["attempt"] for one in steps(events)] == [1, 2, 1]


async def test_an_overflow_in_the_middle_of_a_stream_begins_it_anew(events: Captured) -> None:
    """Whoever listens is told that what came counts no more."""
    full = ModelError("context_overflow", "window exceeded")
    model, told = model_of(Say("half an ans", then=full), "There."), list[StreamReset]()
    chat = Chat(agent(model), messages=TALK)
    chat.subscribe(StreamReset, told.append)
    found = await chat.ask("more?")
    assert (found.answer, len(told)) == ("There.", 1)
    assert "stream_reset" in [event.body.name for event in events.of(Note)]


async def test_a_refused_request_corrects_the_measure(events: Captured) -> None:
    """With a known window the next compaction comes in time, not with the next overflow."""
    little = Usage(input_uncached=100, output=5, basis="provider")
    model = model_of(Say("one", usage=little), FULL, "two", window=9_000)
    chat = Chat(agent(model, compaction=SMALL, max_tokens=500), messages=TALK)
    await chat.ask("a")
    await chat.ask("b")
    (done,) = steps(events)
    assert done["tokens_before"] > 9_000
    assert done["tokens_after"] <= done["target"] == 4_250


@pytest.mark.parametrize("limits", ["2 model calls", "1 model call"])
async def test_all_of_it_is_inside_the_budget(events: Captured, limits: str) -> None:
    """Requests for summaries and requests made again count like all others."""
    model = model_of(FULL, FULL, "There.")
    policy = SMALL.but(steps=("summarise",))
    found = valid(await agent(model, compaction=policy, limits=limits).run("more?", history=TALK), events)
    assert (found.stop_reason, found.spent.llm_calls) == (
        ("max_llm_calls", 2) if limits[0] == "2" else ("provider_error", 1)
    )  # fmt: skip


async def test_no_time_is_left_for_a_summary_beyond_the_deadline(events: Captured) -> None:
    """A summariser that says nothing costs the run no more than its time."""
    model = model_of(FULL, "never", summary=Silent())
    found = await agent(model, compaction=SMALL.but(steps=("summarise",)), limits="0.3s").run("more?", history=TALK)
    assert found.stop_reason == "deadline"
    assert found.seconds < 3


async def test_calling_off_ends_everything(events: Captured) -> None:
    """In the middle of a summary, too: the conversation is what it was, and all has its end."""
    handle = agent(model_of(FULL, summary=Silent())).start("more?", history=TALK * 3)
    async with asyncio.timeout(20):
        while not summaries(events):  # noqa: ASYNC110 - what is recorded rings no bell
            await asyncio.sleep(0.01)
    handle.cancel()
    found = valid(await handle.outcome(), events)
    assert (found.status, len(found.messages)) == ("cancelled", len(TALK) * 3 + 1)
    assert [event.body.status for event in events.of(CallEnded)] == ["failed", "cancelled"]


# ---- another model --------------------------------------------------------------------------------------------------


async def test_another_model_may_write_the_summaries(events: Captured) -> None:
    """It is recorded and paid by its own name, and the usage of the conversation stays that of the conversation."""
    other = ScriptedModel(
        [Say("All that was.", usage=Usage(input_uncached=900, output=50, basis="provider"))], name="little"
    )
    model = ScriptedModel([FULL, Say("There.", usage=Usage(input_uncached=70, output=5, basis="provider"))])
    policy = SMALL.but(summariser=other, steps=("summarise",))
    chat = Chat(agent(model, compaction=policy), messages=TALK)
    found = await chat.ask("more?")
    assert (found.status, found.usage.input_total, found.usage.output) == ("completed", 970, 55)
    assert [event.body.model for event in events.of(CallStarted)] == ["scripted", "little", "scripted"]
    assert (chat.usage.cumulative_input_tokens, chat.usage.cumulative_total_tokens) == (70, 75)
    assert len(other.requests) == 1
    assert not other.requests[0].stream


# ---- the record -----------------------------------------------------------------------------------------------------


ANSWERS = some.lists(
    some.sampled_from([Call("look", {"n": 1}), [Call("look", {"n": 2}), Call("nope")], "", "7", "text", "OVERFLOW"]),
    max_size=8,
)


@settings(max_examples=40, deadline=None)
@given(answers=ANSWERS, typed=some.booleans(), window=some.sampled_from([None, 3000, 9000]))
def test_the_fold_of_the_log_is_where_the_run_stood(answers: list[Any], typed: bool, window: int | None) -> None:
    """After each compaction, and at the end, with corrective turns and overflows in between."""
    states: list[State] = []

    async def whole() -> tuple[State, Live]:
        script = [FULL if one == "OVERFLOW" else one for one in answers]
        model = model_of(*script, *["7"] * 9, window=window)
        one = agent(model, compaction=SMALL.but(keep=1, rounds=1), output=int if typed else str, limits="12 turns")
        live = begin(one, one.port, "go", Asked(history=TALK))
        first = live.state
        live.emitter.subscribe(Compacted, lambda value: states.append(live.state) if value.metrics.changed else None)
        return first, await fly(live, "go")

    with capture(clock=SYSTEM) as events:
        first, live = asyncio.run(whole())
    recorded, found, last = RecordedState(state=first), [], first
    for event in events:
        state = recorded.apply(event)
        if isinstance(event.body, StepEnded) and state.messages != last.messages and state.reply is None:
            found.append(state)
        last = state
    assert _plain(recorded.state) == _plain(live.state)
    compacted = [_plain(state) for state in found]
    assert all(_plain(state) in compacted for state in states)
    for state in (*states, live.state):
        check(state.messages)


def _plain(state: State) -> tuple[Any, ...]:
    return [message.plain() for message in state.messages], state.base, state.iteration, state.open


async def test_the_record_of_a_run_has_its_history_before_it_was_made_smaller(events: Captured) -> None:
    """Also what was said before this run, which no request of it has sent."""
    await agent(model_of("ok"), compaction=SMALL.but(at=3000, to=1000)).run("more?", history=TALK)
    recorded = RecordedState()
    held = {len(recorded.apply(event).messages) for event in events}
    (done,) = steps(events)
    assert (done["messages_before"], max(held)) == (len(TALK) + 2, len(TALK) + 2)
    assert len({event.seq for event in events}) == len(events)


# ---- Chat -----------------------------------------------------------------------------------------------------------


async def test_a_summary_stays_in_the_conversation(events: Captured) -> None:
    """The next ask begins with it, and handles of the run before can still be read."""
    model = model_of("one", Call("expand", {"handle": "result_1"}), "two", window=9000)
    chat = Chat(agent(model, compaction=SMALL.but(at=2000, to=1200, prune_above=500)), messages=TALK)
    await chat.ask("a")
    assert SUMMARY in [message.name for message in chat.messages]
    await chat.ask("b")
    assert "word word" in next(message.text for message in chat.messages if message.name == "expand")
