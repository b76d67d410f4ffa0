from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tachograph import compose
from tachograph.agent.agent import Agent
from tachograph.agent.recorded import state_of
from tachograph.agent.resume import resume as resumes
from tachograph.agent.resume.resume import GO_ON, resume, taken_up
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool
from tachograph.errors import InvalidTranscript, ModelError, NotFound, NotResumable, SettingsError
from tachograph.events.run import RunResumed
from tachograph.fold.approvals import Decided
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.record.after.decision import decide
from tests.agent.resume.recorded import recording
from tests.agent.running import add, agent, same

pytestmark = pytest.mark.anyio


def scripted(*replies: Any) -> ScriptedModel:
    """A model that says the next reply of a script by how many replies the conversation has: another process, too."""
    return ScriptedModel(lambda request: replies[sum(message.role == "assistant" for message in request.messages)])


async def test_a_run_that_a_limit_stopped_goes_on_with_higher_limits() -> None:
    """It is the same run with the same conversation; what it had used counts, and its outcome is that of both parts."""
    one = agent(scripted(Call("add", {"a": 1, "b": 2}), Call("same"), "three"), instructions="Add.", limits="2 turns")
    first = await one.run("go", session="s")
    assert (first.status, first.stop_reason, first.resumable) == ("failed", "max_iterations", True)
    again = await resume(first.execution_id or "", one, limits="3 turns")
    assert (again.status, again.answer, again.run_id, again.session) == ("completed", "three", first.run_id, "s")
    assert (again.iterations, again.spent.llm_calls, again.spent.tool_calls) == (3, 3, 2)
    whole = recording(first.execution_id or "")
    assert [message.text for message in whole.folded().state.messages] == [
        "Add.",
        "go",
        "",
        "3",
        "",
        "the same",
        "three",
    ]
    assert whole.status == "completed"
    assert sum(isinstance(event.body, RunResumed) for event in whole.events) == 1


async def test_without_higher_limits_it_stops_at_once() -> None:
    """Turns that were used are used."""
    one = agent(scripted(*[Call("add", {"a": n, "b": 2}) for n in range(9)]), limits="2 turns")
    first = await one.run("go")
    again = await resume(first.execution_id or "", one)
    assert (again.stop_reason, again.iterations, again.spent.llm_calls) == ("max_iterations", 2, 2)


async def test_a_run_that_failed_at_its_provider_goes_on() -> None:
    """The request is made again."""
    model = ScriptedModel([Call("add", {"a": 1, "b": 2}), ModelError("auth", "no key", status=401), "three"])
    one = agent(model)
    first = await one.run("go")
    assert first.stop_reason == "provider_error"
    again = await resume(first.execution_id or "", [one])
    assert (again.answer, again.spent.llm_calls, again.spent.tool_calls) == ("three", 3, 1)


async def test_a_reply_that_could_not_be_used_is_asked_for_again() -> None:
    """A reply that was cut would end the run again: the model is told to go on."""
    model = ScriptedModel([Say("half", finish="length"), "whole"])
    one = agent(model)
    first = await one.run("go")
    assert first.stop_reason == "output_truncated"
    again = await resume(first.execution_id or "", {"calc": one})
    assert (again.answer, [message.text for message in again.messages]) == ("whole", ["go", "half", GO_ON, "whole"])


async def test_something_may_be_said_when_it_goes_on() -> None:
    """It stands behind what was said before."""
    model = ScriptedModel([Say("half", finish="length"), "whole"])
    one = agent(model)
    first = await one.run("go")
    again = await resume(first.execution_id or "", one, prompt="Shorter!")
    assert [message.text for message in again.messages] == ["go", "half", "Shorter!", "whole"]


async def test_a_run_that_was_called_off_in_a_tool_goes_on_behind_it() -> None:
    """The call was stopped, and the model has read so."""

    async def slow() -> str:
        await asyncio.sleep(30)
        return "never"

    one = agent(scripted(Call("slow"), "done without"), tools=[Tool.of(slow, classification="read")])
    handle = one.start("go")
    await asyncio.sleep(0.2)
    handle.cancel()
    first = await handle.outcome()
    assert (first.status, first.stop_reason) == ("cancelled", "user_cancel")
    again = await resume(first.execution_id or "", one)
    assert again.answer == "done without"
    assert "interrupted" in again.messages[2].text or "not" in again.messages[2].text


async def test_the_fold_of_the_log_is_where_it_stood_at_every_event() -> None:
    """Also behind the event at which it was taken over."""
    one = agent(scripted(Call("add", {"a": 1, "b": 2}), "", "three"), limits="2 turns", output=int)
    first = await one.run("go")
    again = await resume(first.execution_id or "", one, limits="9 turns", prompt="Say 3.")
    whole = recording(first.execution_id or "")
    messages = state_of(whole.events, whole.store.fetch).messages
    assert [message.text for message in messages] == [message.text for message in again.messages]


async def test_a_paused_run_goes_on_when_somebody_has_decided() -> None:
    """Before, it waits again, and nobody is asked a second time; the call runs once, with the decision."""
    one = agent(
        scripted(Call("add", {"a": 1, "b": 2}), "three"), tools=[Tool.of(add, approve=True), same], approve=Pause()
    )
    first = await one.run("go")
    assert (first.status, [waiting.tool for waiting in first.waiting]) == ("paused", ["add"])
    still = await resume(first.execution_id or "", one)
    assert (still.status, len(still.waiting)) == ("paused", 1)
    allow(first.run_id or "", still.waiting[0])
    again = await resume(first.execution_id or "", one)
    assert (again.status, again.answer, again.messages[2].text) == ("completed", "three", "3")


async def test_nothing_is_said_over_calls_that_wait() -> None:
    """It would stand between a call and its result: it is refused, and the run waits as before."""
    one = agent(scripted(Call("add", {"a": 1, "b": 2}), "three"), tools=[Tool.of(add, approve=True)], approve=Pause())
    first = await one.run("go")
    with pytest.raises(NotResumable, match="add"):
        await resume(first.execution_id or "", one, prompt="hurry")
    allow(first.run_id or "", first.waiting[0])
    again = await resume(first.execution_id or "", one)
    assert [message.text for message in again.messages] == ["go", "", "3", "three"]


@pytest.mark.parametrize("paused", [True, False])
async def test_a_run_that_nobody_wants_any_more_is_given_back(
    paused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """Called off while it is being taken up, it does not stay open here; one that waited for a person waits still."""
    tools = [Tool.of(add, approve=paused)]
    limits = "9 turns" if paused else "1 turns"
    one = agent(scripted(Call("add", {"a": 1, "b": 2}), "three"), tools=tools, approve=Pause(), limits=limits)
    first = await one.run("go")
    taken, go_on, spending = asyncio.Event(), threading.Event(), resumes.spending
    loop = asyncio.get_running_loop()

    def slow(whole: Any) -> Any:
        loop.call_soon_threadsafe(taken.set)
        go_on.wait(10)
        return spending(whole)

    monkeypatch.setattr(resumes, "spending", slow)
    task = asyncio.ensure_future(resume(first.execution_id or "", one, limits="5 turns"))
    await taken.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    for _ in range(500):
        if recording(first.execution_id or "").status != "started":
            break
        await asyncio.sleep(0.02)
    assert recording(first.execution_id or "").status == ("paused" if paused else "cancelled")
    if paused:
        allow(first.run_id or "", first.waiting[0])
    again = await resume(first.execution_id or "", one, limits="5 turns")
    assert (again.answer, [message.text for message in again.messages]) == ("three", ["go", "", "3", "three"])


async def test_what_cannot_go_on_is_said_before_anything_happens() -> None:
    """A completed run, one that nobody knows, an agent that never was at work, a conversation that says nothing."""
    one = agent(scripted("hi"))
    done = await one.run("go")
    with pytest.raises(NotResumable, match="completed"):
        await resume(done.execution_id or "", one)
    with pytest.raises(NotFound):
        await resume("exec_nowhere", one)
    stopped = await agent(scripted("hi"), limits="0 turns").run("go")
    with pytest.raises(SettingsError, match="calc"):
        await resume(stopped.execution_id or "", agent(scripted("hi"), name="other"))
    with pytest.raises(InvalidTranscript):
        await resume(stopped.execution_id or "", one, prompt="  ")
    assert recording(stopped.execution_id or "").status == "failed"


async def test_a_hand_off_is_remembered() -> None:
    """The agent at work goes on, with its own words, whichever agent the program calls."""
    second = agent(scripted(None, Call("add", {"a": 1, "b": 2}), "three"), name="second", instructions="Second.")
    first = Agent(name="first", model=scripted(Call("handoff_to_second")), instructions="First.", handoffs=[second])
    stopped = await first.run("go", limits="2 turns")
    assert (stopped.stop_reason, stopped.agent) == ("max_iterations", "second")
    again = await resume(stopped.execution_id or "", first, limits="5 turns")
    assert (again.answer, again.agent) == ("three", "second")


async def test_one_of_several_processes_takes_it() -> None:
    """Whoever comes second is refused, and the run is not asked twice."""
    one = agent(scripted(Call("same"), "done"), limits="1 turns")
    first = await one.run("go")
    _, _, call = await asyncio.to_thread(lambda: taken_up(first.execution_id or "", one, limits="5 turns"))
    with pytest.raises(NotResumable):
        await resume(first.execution_id or "", one, limits="5 turns")
    again = await one.run(None, **call)
    assert again.answer == "done"


def allow(run: str, waiting: Any, *, decision: Any = "allow", reason: str = "") -> None:
    """Decide, as the command does."""
    compose.flush()
    reach = compose.recording().reach()
    said = Decided(
        slot=waiting.slot, call_id=waiting.call_id, tool=waiting.tool, arguments_hash=waiting.arguments_hash,
        decision=decision, by="ann", at=compose.recording().recorder.clock.now(), reason=reason,
    )  # fmt: skip
    decide(reach.store, reach.gate, run, said)
    reach.store.close()


async def test_with_narrower_limits_than_it_has_used_it_stops_by_them() -> None:
    """What was used is more than may be: that is the limit's affair, and no fault."""
    one = agent(scripted(*[Call("add", {"a": n, "b": 2}) for n in range(9)]), limits="5 turns")
    first = await one.run("go")
    again = await resume(first.execution_id or "", one, limits="2 turns")
    assert (again.status, again.stop_reason, again.iterations) == ("failed", "max_iterations", 5)
