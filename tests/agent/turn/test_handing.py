from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.hooks import FinishRun, Hooks
from tachograph.agent.loop import Ask, Finish, ToPerson, decide
from tachograph.agent.people.ask import hand_to_person
from tachograph.agent.people.person import HandOver, Person, effect_id
from tachograph.agent.people.texts import shipped
from tachograph.agent.progress import HandingOver
from tachograph.agent.recorded import state_of
from tachograph.agent.state import End, Iterated, advance
from tachograph.agent.tools.tool import ToolContext
from tachograph.errors import LimitExceeded, ModelError, ToolError
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded
from tachograph.fold.handoffs import HandingState, handing, value_of
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops
from tachograph.providers.scripted import Call, Say, ScriptedModel, Silent
from tachograph.store.query import Query
from tachograph.testing import Captured
from tests.agent.must.laws import stored
from tests.agent.running import agent, names, ran

pytestmark = pytest.mark.anyio

EN = shipped()["en"]
Effect = Callable[[HandOver], Any]


async def hang(asked: HandOver) -> None:
    """Never."""
    await asyncio.sleep(30)


class Desk:
    """What an application does, and what it was asked: by name, at which attempt it works."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.asked: list[HandOver] = []

    async def __call__(self, asked: HandOver) -> Any:
        """Do it, or not."""
        self.asked.append(asked)
        if self.how == "hangs":
            await hang(asked)
        if self.how == "refuses":
            return False
        if self.how == "raises" or (self.how == "second" and asked.attempt == 1):
            raise ConnectionError("the desk is closed")
        return None


LIMITS: dict[str, tuple[str, Any, str]] = {
    "turns": ("max_iterations", lambda request: Call("same"), "1 turn: handoff"),
    "model calls": ("max_llm_calls", lambda request: Call("same"), "1 model call: handoff"),
    "tool calls": ("max_tool_calls", lambda request: Call("same"), "1 tool call: handoff"),
    "tool loop": ("tool_loop", lambda request: Call("same"), Limits(loops=Loops(same_calls=3, mode="handoff"))),  # type: ignore[dict-item]
    "deadline": ("deadline", [Silent()], "0.1s: handoff"),
    "tokens": ("token_budget", ["a"], "10 tokens: handoff"),
    "usd": ("cost_budget", ["a"], "$0.0000001: handoff"),
}  # fmt: skip
WAYS = {"works": True, "second": True, "raises": False, "refuses": False, "hangs": False}


def priced(script: Any) -> ScriptedModel:
    """A model whose calls have a price."""
    return ScriptedModel(script, name="gpt-5-mini", provider="openai")


def notes(events: Captured, name: str) -> list[Any]:
    """What the notes of a name say."""
    return [value_of(event.body.data, None) for event in events if getattr(event.body, "name", "") == name]


def person_steps(events: Captured) -> list[Event]:
    """The starts of steps that give a run to a person."""
    return [event for event in events.of(StepStarted) if event.body.kind == "handoff"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("which", LIMITS)
async def test_every_limit_of_mode_handoff_gives_the_run_to_a_person(
    events: Captured, caplog: pytest.LogCaptureFixture, which: str, how: str
) -> None:
    """Whatever the effect does: the state, what is told and what is recorded follow what really happened."""
    metric, script, limits = LIMITS[which]
    desk, alerts = Desk(how), list[HandOver]()
    person = Person(desk, attempts=2, seconds=0.1, wait=0.01, alert=alerts.append)
    found = await ran(agent(priced(script), hand_over=person), events, limits=limits, session="s")
    works = WAYS[how]
    state = "applied" if works else "failed"
    attempts = 1 if how == "works" else 2
    assert (found.status, found.stop_reason) == (("completed", "human_handoff") if works else ("failed", metric))
    assert found.message == EN.get(metric, EN["limit"])[state]
    assert found.answer is None
    assert {(one.run_id, one.effect_id, one.metric, one.cause) for one in desk.asked} == {
        (found.run_id, desk.asked[0].effect_id, metric, "limit")
    }
    assert [one.attempt for one in desk.asked] == [*range(1, attempts + 1)]
    told = [name for name in names(events) if name.startswith("handoff_")]
    assert told == ["handoff_requested", *["handoff_retry"] * (attempts - 1), f"handoff_{state}"]
    read = handing(events)
    assert read is not None
    assert (read.state, read.effect_id, read.attempts, read.text) == (
        state, desk.asked[0].effect_id, attempts, found.message,
    )  # fmt: skip
    [started] = person_steps(events)
    [ended] = [event.body for event in events.of(StepEnded) if event.step == started.seq]
    assert (started.body.action_type, ended.status) == ("person", "completed" if works else "failed")
    assert [one.problem != "" for one in alerts] == ([] if works else [True])
    assert ("could not be given to a person" in caplog.text) is not works


@pytest.mark.parametrize("how", WAYS)
async def test_the_limit_of_a_session_gives_the_conversation_to_a_person(events: Captured, how: str) -> None:
    """The run that may not begin is refused; a run of the same execution says what became of the conversation."""
    desk = Desk(how)
    one = agent(["a"], limits="1 runs/session: handoff", hand_over=Person(desk, attempts=2, seconds=0.1, wait=0.01))
    assert (await one.run("go", session="s")).completed
    found = await one.run("go", session="s", context={"locale": "pt-BR"})
    works = WAYS[how]
    wanted = ("completed", "human_handoff") if works else ("failed", "session_limit")
    assert (found.status, found.stop_reason) == wanted
    assert found.message == shipped()["pt_BR"]["session_limit"]["applied" if works else "failed"]
    _, refused, handed = events.of(RunEnded)
    assert (refused.body.status, refused.body.stop_reason) == ("failed", "session_limit")
    assert (handed.run, handed.body.status, handed.body.stop_reason) == (found.run_id, *wanted)
    assert len({one.effect_id for one in desk.asked}) == 1
    [row] = stored(events).find(Query("sessions", (), ("status",))).rows
    assert row["status"] == ("handed_off" if works else "active")


async def test_a_child_that_is_too_deep_is_handed_over(events: Captured) -> None:
    """Its run may not begin; giving it to a person is not refused by the same limit."""
    desk = Desk("works")
    inner = Agent(name="inner", model=ScriptedModel(["x"]), limits="1 turn", hand_over=desk)

    async def dig() -> str:
        found = await inner.run("go")
        return f"{found.status} {found.stop_reason}"

    found = await agent([Call("dig"), "ok"], tools=[dig]).run("go", limits="1 depth: handoff")
    assert [message.text for message in found.messages if message.role == "tool"] == ["completed human_handoff"]
    assert [one.metric for one in desk.asked] == ["max_depth"]


async def test_the_count_of_hand_offs_between_agents_is_no_obstacle(events: Captured) -> None:
    """With none of those allowed a run is given to a person all the same."""
    one = agent(lambda request: Call("same"), hand_over=Desk("works"))
    found = await ran(one, events, limits="1 turn: handoff, 0 handoffs")
    assert found.stop_reason == "human_handoff"


@pytest.mark.parametrize("how", ["works", "raises"])
async def test_a_model_can_ask_for_a_person(events: Captured, how: str) -> None:
    """The reply's other calls have their results, the run ends with it, and is not billable."""
    desk = Desk(how)
    script: list[Any] = [[Call("hand_to_person", {"reason": "angry"}), Call("same")], "never"]
    one = agent(ScriptedModel(script), tools=[hand_to_person(), *agent([]).tools], hand_over=Person(desk, attempts=1))
    found = await ran(one, events)
    works = how == "works"
    wanted = ("completed", "human_handoff") if works else ("failed", "tool_error")
    assert (found.status, found.stop_reason, found.iterations) == (*wanted, 1)
    assert found.message == EN["model"]["applied" if works else "failed"]
    assert [event.body.state for event in events.of(ToolEnded)] == ["completed", "completed"]
    assert [(one.cause, one.reason, one.metric) for one in desk.asked] == [("model", "angry", "")]
    run = stored(events).find(Query("runs", (), ("billable", "stop_reason"), limit=1)).rows[0]
    assert (run["billable"], run["stop_reason"]) == (False, wanted[1])


async def test_a_model_that_asks_where_nobody_is_goes_on(events: Captured) -> None:
    """It is told so, and the run is its own."""
    one = agent([Call("hand_to_person", {"reason": "angry"}), "sorry"], tools=[hand_to_person()])
    found = await ran(one, events)
    assert (found.answer, found.messages[2].text) == ("sorry", "There is nobody to hand over to.")


async def test_who_asked_for_a_person_gets_one_before_a_limit_ends_the_run(events: Captured) -> None:
    """A call beside it that goes beyond a limit ends the run no other way."""
    script = [[Call("hand_to_person", {"reason": "angry"}), Call("same"), Call("same")]]
    one = agent(script, tools=[hand_to_person(), *agent([]).tools], hand_over=Desk("works"), parallel=1)
    found = await ran(one, events, limits="2 tool calls")
    assert (found.stop_reason, found.message) == ("human_handoff", EN["model"]["applied"])


async def test_a_hook_that_finishes_beside_it_changes_nothing(events: Captured) -> None:
    """What was asked for is done; the answer of the hook is none."""
    hooks = Hooks()
    hooks.on("post_tool_use", lambda moment: FinishRun("done"), matcher="same")
    script = [[Call("hand_to_person", {"reason": "angry"}), Call("same")]]
    one = agent(script, tools=[hand_to_person(), *agent([]).tools], hooks=hooks, hand_over=Desk("works"))
    found = await ran(one, events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "human_handoff", None)


@pytest.mark.parametrize(
    ("reason", "script", "cause"),
    [
        ("provider_error", [Say("", then=ModelError("auth", "no"))], "error"),
        ("internal_error", [Say("", then=KeyError("x"))], "error"),
        ("output_truncated", [Say("half", finish="length")], "error"),
        ("content_filter", [Say("no", finish="refusal")], "policy"),
        ("max_iterations", lambda request: Call("same"), "limit"),
    ],
)
async def test_other_failures_are_handed_over_where_a_person_says_so(
    events: Captured, reason: str, script: Any, cause: str
) -> None:
    """`after` names stop reasons; what the customer is told holds nothing of the error."""
    desk = Desk("works")
    found = await ran(agent(script, hand_over=Person(desk, after=(reason,))), events, limits="2 turns")
    assert (found.status, found.stop_reason) == ("completed", "human_handoff")
    assert [(one.cause, one.metric) for one in desk.asked] == [(cause, reason)]
    assert found.message == EN["limit" if cause == "limit" else "error"]["applied"]
    plain = await agent(script, hand_over=desk).run("go", limits="2 turns")
    assert (plain.status, plain.stop_reason, plain.message) == ("failed", reason, None)


async def test_a_limit_of_mode_raise_raises_though_a_person_was_asked_for(events: Captured) -> None:
    """What was requested is then failed, and not left open."""
    script = [[Call("hand_to_person", {"reason": "angry"}), Call("same"), Call("same")]]
    one = agent(script, tools=[hand_to_person(), *agent([]).tools], hand_over=Desk("works"), parallel=1)
    with pytest.raises(LimitExceeded):
        await one.run("go", limits="2 tool calls: raise")
    assert [name for name in names(events) if name.startswith("handoff")] == ["handoff_requested", "handoff_failed"]


async def test_nobody_is_asked_for_when_the_run_is_over(events: Captured) -> None:
    """A tool that nobody waits for any more hears so; else its request would stand in the log for ever."""
    known: list[ToolContext] = []

    async def note(context: ToolContext) -> str:
        known.append(context)
        return "noted"

    one = agent([Call("note"), "bye"], tools=[note], hand_over=lambda asked: True)
    assert (await ran(one, events)).answer == "bye"
    with pytest.raises(ToolError, match="over"):
        known[0].to_person("late")
    assert notes(events, "handoff_requested") == []


async def test_calling_off_ends_what_was_requested(events: Captured) -> None:
    """A run that is cancelled while a person is asked for has failed to reach one, and says so."""
    handle = agent(lambda request: Call("same"), hand_over=hang).start("go", limits="1 turn: handoff")
    asked = asyncio.Event()
    handle.emitter.subscribe(HandingOver, lambda value: asked.set())
    await asked.wait()
    await asyncio.sleep(0.02)
    handle.cancel()
    found = await handle.outcome()
    assert (found.status, found.stop_reason) == ("cancelled", "user_cancel")
    assert [name for name in names(events) if name.startswith("handoff")] == ["handoff_requested", "handoff_failed"]
    assert len(events.of(RunEnded)) == 1


async def test_a_plain_function_that_hangs_is_left(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """Its thread is left behind, each attempt has an end, and an alert that raises is a note and nothing more."""

    def alert(asked: HandOver) -> None:
        raise OSError("no network")

    caplog.set_level(logging.CRITICAL)
    person = Person(lambda asked: time.sleep(0.6), attempts=2, seconds=0.1, wait=0, alert=alert)
    began = time.monotonic()
    found = await ran(agent(lambda request: Call("same"), hand_over=person), events, limits="1 turn: handoff")
    assert time.monotonic() - began < 3
    assert (found.status, found.stop_reason) == ("failed", "max_iterations")
    assert names(events)[-1] == "alert_failed"


async def test_nobody_is_told_to_wait_where_there_is_no_text(events: Captured) -> None:
    """A limit of mode `handoff` without a person is a limit that stops: no state, no text."""
    found: Outcome[Any] = await ran(agent(lambda request: Call("same")), events, limits="1 turn: handoff")
    assert (found.status, found.stop_reason, found.message) == ("failed", "max_iterations", None)
    assert names(events) == []


@pytest.mark.parametrize("how", ["works", "raises"])
async def test_a_run_that_was_killed_on_the_way_goes_on_from_there(events: Captured, how: str) -> None:
    """After each event the log says how far it was: what was requested is done, what is done is not begun again."""
    one = agent(lambda request: Call("same"), hand_over=Person(Desk(how), attempts=1))
    found = await ran(one, events, limits="1 turn: handoff")
    begun = begin(one, one.port, "go", Asked()).state
    states = [state_of(events[:end], state=begun) for end in range(len(events))]
    ways = [None if state.handing is None else state.handing.state for state in states]
    last: HandingState = "applied" if how == "works" else "failed"
    assert list(dict.fromkeys(ways)) == [None, "requested", last]
    assert decide(one, states[ways.index("requested")]) == ToPerson()
    after = states[ways.index(last)]
    if last == "failed":  # it goes on, and what nobody came for is forgotten with the next iteration
        assert (decide(one, after), advance(after, Iterated()).handing) == (Ask(), None)
    else:
        assert decide(one, after) == Finish(End("completed", "human_handoff", detail=found.detail))
    names_given = {state.handing.effect_id for state in states if state.handing is not None}
    assert names_given == {effect_id(found.run_id or "", "limit", "max_iterations")}
