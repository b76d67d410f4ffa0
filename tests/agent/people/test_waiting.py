from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.chat import Chat
from tachograph.agent.hooks import FinishRun, Hooks
from tachograph.agent.people.waiting import SECOND, decided
from tachograph.agent.progress import Waiting
from tachograph.agent.recorded import state_of
from tachograph.agent.state import State
from tachograph.agent.tools.approval import Allow, Deny, Edit, Pause
from tachograph.agent.tools.approval import Asked as Inline
from tachograph.agent.tools.tool import Tool
from tachograph.agent.turn.act import Acted, act
from tachograph.errors import SettingsError
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold import receipt
from tachograph.fold.approvals import Approval, Decided, Word, approvals
from tachograph.fold.handoffs import value_of
from tachograph.fold.state import fold
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.record import scope
from tachograph.store.query import Query
from tachograph.testing import Captured
from tests.agent.must.laws import stored
from tests.agent.running import add, agent, names, same

pytestmark = pytest.mark.anyio

ONE = [Call("add", {"a": 1, "b": 2})]
THREE = [Call("add", {"a": 1, "b": 2}), Call("same"), Call("add", {"a": 3, "b": 4})]
WANTED = Tool.of(add, approve=True)


def careful(script: Any, **fields: Any) -> Agent:
    """An agent whose additions need approval."""
    return agent(ScriptedModel([*script, "done"]), tools=[WANTED, same], **{"approve": Pause(), **fields})


async def paused(calls: list[Call], events: Captured, **fields: Any) -> tuple[Agent, Outcome[Any]]:
    """An agent, and its run that waits."""
    one = careful([calls], **fields)
    found = await one.run("go")
    assert (found.status, found.stop_reason) == ("paused", "approval")
    return one, found


def recorded(one: Agent, events: list[Event] | Captured) -> State:
    """Where the log leaves the run, so that it can go on."""
    state = state_of(events, state=begin(one, one.port, "go", Asked()).state)
    return msgspec.structs.replace(state, end=None)


async def gone_on(one: Agent, state: State) -> tuple[Acted, State]:
    """The open calls of a run that goes on from that state, in another run."""
    live = begin(one, one.port, "go", Asked())
    live.state = state
    with live.record:
        return await act(live, live.state, None), live.state


def rule(approval: Approval, decision: Word, **facts: Any) -> Decided:
    """A decision about a request."""
    return Decided(
        slot=approval.slot, call_id=approval.call_id, tool=approval.tool, arguments_hash=approval.arguments_hash,
        decision=decision, by="ada", at=1, **facts,
    )  # fmt: skip


def with_decisions(state: State, **decisions: Decided) -> State:
    """The state after these decisions, by slot."""
    known = {
        slot: msgspec.structs.replace(one, decided=decisions.get(f"s{slot[-1]}"))
        for slot, one in state.approvals.items()
    }
    return msgspec.structs.replace(state, approvals=known)


@pytest.mark.parametrize(("calls", "waiting"), [(ONE, ["1.0"]), (THREE, ["1.0", "1.2"])])
async def test_a_call_that_needs_approval_pauses_the_run(
    events: Captured, calls: list[Call], waiting: list[str]
) -> None:
    """No call of the reply has run, all of them stay open, and the run waits for exactly those that need it."""
    _, found = await paused(calls, events)
    assert [approval.slot for approval in found.waiting] == waiting
    assert [(one.tool, one.agent, one.iteration, one.expires_at) for one in found.waiting] == [
        ("add", "calc", 1, None)
    ] * len(waiting)
    assert found.waiting[0].arguments == {"a": 1, "b": 2}
    assert (events.of(ToolStarted), found.messages[-1].role, len(found.messages)) == ([], "assistant", 2)
    assert names(events) == ["approval_requested"] * len(waiting)
    assert (found.resumable, found.completed, found.error, found.message) == (True, False, None, None)
    [ended] = [event.body for event in events.of(RunEnded)]
    assert (ended.status, ended.stop_reason, ended.error) == ("paused", "approval", None)


async def test_a_paused_run_is_not_over(events: Captured) -> None:
    """Its log folds to a state that waits, its receipt is whole, its row is paused and not billable."""
    _, found = await paused(THREE, events)
    snapshot = fold(events)
    assert (snapshot.status, snapshot.stop_reason, snapshot.ended, snapshot.open) == ("paused", "approval", False, ())
    whole = receipt.fold(events)
    assert (whole.complete, whole.open) == (True, ())
    store = stored(events)
    [row] = store.find(Query("runs", (), ("status", "billable", "stop_reason"))).rows
    assert row == {"status": "paused", "billable": False, "stop_reason": "approval"}
    assert tuple(approvals(events, store.fetch).values()) == found.waiting


async def test_the_state_is_a_fold_of_the_events_at_every_point(events: Captured) -> None:
    """What waits is read back as it stood; the calls are open to the last event."""
    one, found = await paused(THREE, events)
    begun = begin(one, one.port, "go", Asked()).state
    states = [state_of(events[:end], state=begun) for end in range(len(events) + 1)]
    assert [len(state.approvals) for state in states] == sorted(len(state.approvals) for state in states)
    assert tuple(states[-1].approvals.values()) == found.waiting
    assert (len(states[-1].open), states[-1].messages) == (3, found.messages)


async def test_a_listener_is_told_who_waits(events: Captured) -> None:
    """One value for each call, before the run ends."""
    told: list[Any] = []
    handle = careful([THREE]).start("go")
    handle.emitter.subscribe(Waiting, told.append)
    found = await handle.outcome()
    assert tuple(one.approval for one in told) == found.waiting


@pytest.mark.parametrize(
    ("decisions", "texts"),
    [
        ({"s0": "allow", "s2": "allow"}, ["3", "the same", "7"]),
        ({"s0": "deny", "s2": "allow"}, ["Not allowed: too dear", "the same", "7"]),
        ({"s0": "deny", "s2": "deny"}, ["Not allowed: too dear", "the same", "Not allowed: too dear"]),
        ({"s0": "edit", "s2": "allow"}, ["30", "the same", "7"]),
        ({"s0": "edit", "s2": "deny"}, ["30", "the same", "Not allowed: too dear"]),
        ({"s0": "allow"}, None),
        ({"s2": "deny"}, None),
        ({}, None),
    ],
)
async def test_what_is_decided_is_what_happens(
    events: Captured, decisions: dict[str, Word], texts: list[str] | None
) -> None:
    """When all are decided the calls run, or do not; while one waits none runs, and the run waits for that one."""
    one, found = await paused(THREE, events)
    said: dict[str, Any] = {"deny": {"reason": "too dear"}, "edit": {"arguments": {"a": 10, "b": 20}}, "allow": {}}
    known = {f"s{approval.slot[-1]}": approval for approval in found.waiting}
    ruled = {slot: rule(known[slot], word, **said[word]) for slot, word in decisions.items()}
    state = with_decisions(recorded(one, events), **ruled)
    acted, after = await gone_on(one, state)
    assert [message.text for message in acted.answered.results] == (texts or [])
    assert len(acted.waiting) == (0 if texts else 2 - len(decisions))
    assert names(events) == ["approval_requested"] * 2
    assert after.approvals == state.approvals


@pytest.mark.parametrize(
    "arguments", [{"a": "many", "b": 1}, {"a": 1}, {"a": 1, "b": 2, "c": 3}], ids=["type", "missing", "unknown"]
)
async def test_edited_arguments_that_do_not_fit_are_told_to_the_model(
    events: Captured, arguments: dict[str, Any]
) -> None:
    """The tool does not run."""
    one, found = await paused(ONE, events)
    state = with_decisions(recorded(one, events), s0=rule(found.waiting[0], "edit", arguments=arguments))
    acted, _ = await gone_on(one, state)
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]
    assert "add" in acted.answered.results[0].text


@pytest.mark.parametrize("what", ["arguments", "tool", "call_id", "arguments_hash"])
async def test_a_decision_about_another_call_is_a_no(events: Captured, what: str) -> None:
    """Whatever was changed since it was asked for: the call is denied, and says why."""
    one, found = await paused(ONE, events)
    said = rule(found.waiting[0], "allow")
    state = recorded(one, events)
    if what == "arguments":
        call = msgspec.structs.replace(state.open[0], arguments='{"a": 1, "b": 200}')
        state = msgspec.structs.replace(with_decisions(state, s0=said), open=(call,))
    else:
        state = with_decisions(state, s0=msgspec.structs.replace(said, **{what: "other"}))
    acted, _ = await gone_on(one, state)
    assert [message.text for message in acted.answered.results] == [
        "Not allowed: It is not the call that somebody decided about."
    ]
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]


async def test_a_call_that_changed_while_it_waits_is_not_asked_about_again(events: Captured) -> None:
    """Nobody has decided, and what was asked about is not what would run: a no."""
    one, _ = await paused(ONE, events)
    state = recorded(one, events)
    call = msgspec.structs.replace(state.open[0], arguments='{"a": 1, "b": 200}')
    acted, _ = await gone_on(one, msgspec.structs.replace(state, open=(call,)))
    assert (acted.waiting, acted.answered.results[0].text) == (
        (), "Not allowed: It is not the call that somebody decided about.",
    )  # fmt: skip


async def test_spelling_makes_no_other_call(events: Captured) -> None:
    """Order of keys, white space and 1.0 for 1 are the same arguments."""
    one, found = await paused(ONE, events)
    state = with_decisions(recorded(one, events), s0=rule(found.waiting[0], "allow"))
    call = msgspec.structs.replace(state.open[0], arguments='{"b": 2.0,   "a": 1}')
    acted, _ = await gone_on(one, msgspec.structs.replace(state, open=(call,)))
    assert acted.answered.results[0].text == "3"


async def test_malformed_arguments_never_reach_a_person(events: Captured) -> None:
    """They are told to the model at once, and the run goes on without a pause."""
    found = await careful([[Call("add", '{"a": 1, "b"')], [Call("add", {"a": "one", "b": 2})]]).run("go")
    assert (found.status, names(events)) == ("completed", [])
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected", "rejected"]


async def test_a_call_that_expired_is_denied_when_the_run_goes_on(events: Captured) -> None:
    """Recorded, with who decided: nobody."""
    one, found = await paused(ONE, events, approve=Pause(expires=0.01))
    [approval] = found.waiting
    assert approval.expires_at is not None
    assert approval.expires_at - approval.at == SECOND // 100
    await asyncio.sleep(0.02)
    acted, after = await gone_on(one, recorded(one, events))
    assert acted.answered.results[0].text == "Not allowed: Nobody decided in time whether add may run."
    [said] = [one.decided for one in after.approvals.values()]
    assert said is not None
    assert (said.decision, said.by) == ("deny", "expiry")
    assert names(events) == ["approval_requested", "approval_decided"]


async def test_a_decision_in_time_counts_when_the_time_is_over(events: Captured) -> None:
    """What was allowed before it expired is allowed."""
    one, found = await paused(ONE, events, approve=Pause(expires=0.01))
    await asyncio.sleep(0.02)
    state = with_decisions(recorded(one, events), s0=rule(found.waiting[0], "allow"))
    acted, _ = await gone_on(one, state)
    assert acted.answered.results[0].text == "3"


async def test_arguments_that_are_not_recorded_cannot_be_approved_later(events: Captured) -> None:
    """They are masked in what a person sees; a run that goes on from its log has them no more, and says so."""

    async def pay(card: str, amount: int = 1) -> str:
        return f"paid {amount} by {card}"

    tool = Tool.of(pay, approve=True, redact=("card",))
    one = agent(ScriptedModel([[Call("pay", {"card": "4111", "amount": 5})]]), tools=[tool], approve=Pause())
    found = await one.run("go")
    [approval] = found.waiting
    assert (approval.hidden, "4111" in str(approval.arguments), approval.arguments["amount"]) == (("card",), False, 5)
    assert "4111" not in str([event.body for event in events])
    state = recorded(one, events)
    for decision in (rule(approval, "allow"), rule(approval, "edit", arguments=dict(approval.arguments))):
        acted, _ = await gone_on(one, with_decisions(state, s0=decision))
        assert acted.answered.results[0].text == "Not allowed: Some of its arguments were not kept while it waited."
    free = rule(approval, "edit", arguments={"card": "cash", "amount": 1})
    acted, _ = await gone_on(one, with_decisions(state, s0=free))
    assert acted.answered.results[0].text == "paid 1 by cash"


async def test_a_run_that_is_not_recorded_cannot_wait(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could find it: the call is denied, and the run goes on."""

    def full(*_: object) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scope.recorder().journal, "append", full)
    found = await careful([ONE]).run("go")
    assert (found.run_id, found.status) == (None, "completed")
    assert "cannot wait" in found.messages[2].text


async def test_a_hook_that_finishes_the_work_leaves_nobody_waiting(events: Captured) -> None:
    """What would have waited does not run."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: FinishRun("done"), matcher="same")
    found = await careful([THREE[:2]], hooks=hooks).run("go")
    assert (found.status, found.stop_reason, found.answer, names(events)) == (
        "completed", "tool_stop", "done", ["hook_effect"],
    )  # fmt: skip
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected", "rejected"]


async def test_a_conversation_that_waits_keeps_its_open_calls(events: Captured) -> None:
    """Until somebody says something more: then it goes on without them, and they were interrupted."""
    chat = Chat(careful([ONE]))
    found = await chat.ask("go")
    assert (found.status, chat.messages, chat.messages[-1].role) == ("paused", found.messages, "assistant")
    again = await chat.ask("never mind")
    assert (again.answer, [message.role for message in again.messages]) == (
        "done", ["user", "assistant", "tool", "user", "assistant"],
    )  # fmt: skip
    assert again.messages[2].text.startswith("interrupted")


async def test_who_is_asked_inline_is_recorded_in_the_same_words(events: Captured) -> None:
    """Allowed, denied and edited: who, when and what, bound to the call as a decision from outside is."""
    decisions = iter([Allow(by="ada"), Deny("no"), Edit({"a": 5, "b": 5}, by="bo")])

    def approve(asked: Inline) -> Any:
        return next(decisions)

    calls = [Call("add", {"a": n, "b": n}) for n in range(3)]
    found = await careful([calls], approve=approve).run("go")
    assert [message.text for message in found.messages if message.role == "tool"] == ["0", "Not allowed: no", "10"]
    notes = [
        value_of(event.body.data, None) for event in events if getattr(event.body, "name", "") == "approval_decided"
    ]
    assert [(note["decision"], note["by"], note["arguments"]) for note in notes] == [
        ("allow", "ada", None), ("deny", "program", None), ("edit", "bo", {"a": 5, "b": 5}),
    ]  # fmt: skip
    assert len({note["arguments_hash"] for note in notes}) == 3
    assert all(note["at"] > 0 for note in notes)


async def test_what_is_decided_can_be_asked_of_the_events(events: Captured) -> None:
    """By call id: a decision, or the request that still waits; what expired is denied."""
    _, found = await paused(THREE, events, approve=Pause(expires=60))
    first, second = found.waiting
    known = {first.slot: msgspec.structs.replace(first, decided=rule(first, "allow")), second.slot: second}
    assert decided(events, first.at) == {first.call_id: first, second.call_id: second}
    assert decided(known, second.at) == {first.call_id: Allow(by="ada"), second.call_id: second}
    late = decided(known, second.at + 60 * SECOND)
    assert late[first.call_id] == Allow(by="ada")
    assert late[second.call_id] == Deny("Nobody decided in time whether add may run.", by="expiry")
    ways: tuple[tuple[Word, dict[str, Any], Any], ...] = (
        ("deny", {"reason": "no"}, Deny("no", by="ada")),
        ("edit", {"arguments": {"a": 1}}, Edit({"a": 1}, by="ada")),
    )
    for word, facts, wanted in ways:
        one = msgspec.structs.replace(first, decided=rule(first, word, **facts))
        assert decided({first.slot: one}, 0) == {first.call_id: wanted}


@pytest.mark.parametrize("expires", [0, -1, float("inf"), float("nan"), 1e12])
def test_a_time_that_cannot_be_waited_for_is_refused(expires: float) -> None:
    """Nothing, nothing finite, nothing that no clock tells."""
    with pytest.raises(SettingsError, match="expires"):
        Pause(expires)
