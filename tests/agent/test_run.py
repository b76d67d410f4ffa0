from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tachograph.agent.hooks import (
    Hooks,
    ReplaceInput,
    ReplaceOutput,
    Reprompt,
)
from tachograph.agent.people.person import HandOver, Person
from tachograph.agent.progress import (
    PhaseChanged,
)
from tachograph.agent.rules import Phase
from tachograph.agent.spec import Verify
from tachograph.agent.transcript import check
from tachograph.errors import InvalidTranscript, LimitExceeded, ModelError, ReplayMismatch, SettingsError
from tachograph.events.call import CallEnded
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent
from tachograph.testing import Captured
from tests.agent.running import agent, names, ran, valid

pytestmark = pytest.mark.anyio


async def test_an_answer_after_a_tool_is_a_completed_run(events: Captured) -> None:
    """Two iterations, one tool call, and the sums of both attempts."""
    found = await ran(agent([Call("add", {"a": 1, "b": 2}), "3"], instructions="Add."), events)
    assert (found.status, found.stop_reason, found.answer, found.iterations) == ("completed", "final_answer", "3", 2)
    assert [message.role for message in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[2].text == "3"
    used = [event.body.usage for event in events.of(CallEnded)]
    assert found.usage.output == sum(usage.output or 0 for usage in used)
    assert found.usage.input_uncached == sum(usage.input_uncached or 0 for usage in used)
    assert found.resumable is False


@pytest.mark.parametrize(
    ("script", "fields", "reason"),
    [
        ([Say("half", finish="length")], {}, "output_truncated"),
        ([Say("", finish="content_filter")], {}, "content_filter"),
        (["", "", ""], {}, "empty_reply"),
        (["thinking", "thinking"], {"done": "DONE", "nudges": 1}, "no_progress"),
        (["no", "no"], {"output": int}, "schema_failed"),
        (["42"] * 3, {"required_tools": ("add",)}, "required_tool_missing"),
        (["42"] * 3, {"verify": Verify(lambda answer: "wrong")}, "guardrail_block"),
        ([ModelError("auth", "no key", status=401)], {}, "provider_error"),
        ([ModelError("rate_limit", "slow down", status=429, safe=True)] * 3, {}, "provider_error"),
        ([ValueError("a fault of the adapter")], {}, "internal_error"),
    ],
    ids=["cut", "filtered", "empty", "undone", "misfit", "unused tool", "unverified", "no key", "busy", "our fault"],
)
async def test_whatever_is_no_answer_is_a_failure_with_its_reason(
    events: Captured, script: list[Any], fields: dict[str, Any], reason: str
) -> None:
    """No error text poses as an answer."""
    found = await ran(agent(script, **fields), events)
    assert (found.status, found.stop_reason) == ("failed", reason)
    assert found.output is None
    assert found.answer is None or reason == "schema_failed"


async def test_a_limit_on_iterations_is_met_before_the_request(events: Captured) -> None:
    """With 3 turns there are 3 requests, then a refusal that is an event, and the run may be resumed."""
    model = ScriptedModel(lambda request: Call("add", {"a": len(request.messages), "b": 0}))
    found = await ran(agent(model, limits="3 turns"), events)
    assert (found.stop_reason, found.iterations, len(model.requests)) == ("max_iterations", 3, 3)
    assert found.resumable
    hits = [event.body for event in events.of(LimitHit) if event.body.mode == "stop"]
    assert [(hit.metric, hit.used, hit.threshold) for hit in hits] == [("max_iterations", 3, 3)]


async def test_wrapping_up_gives_the_work_back(events: Captured) -> None:
    """The last turn of a wrapping limit has no tools, is told so, and its text is the answer of a failed run."""
    script = [Call("add", {"a": 1, "b": 1}), "as far as I know: 2"]
    found = await ran(agent(script, limits="2 turns: wrap_up"), events)
    assert (found.status, found.stop_reason, found.answer) == ("failed", "max_iterations", "as far as I know: 2")
    assert [event.body.ephemeral for event in events.of(MessageAppended)].count(True) == 1


async def test_a_tool_limit_that_wraps_up_leaves_one_turn(events: Captured) -> None:
    """The call beyond the limit does not run, and the next turn has no tools."""
    model = ScriptedModel([[Call("add", {"a": 1, "b": 1}), Call("add", {"a": 2, "b": 2})], "2"])
    found = await ran(agent(model, limits="1 tool call: wrap_up"), events)
    assert (found.stop_reason, found.answer) == ("max_tool_calls", "2")
    assert model.requests[-1].tools == ()
    assert {event.body.state for event in events.of(ToolEnded)} == {"completed", "rejected"}


async def test_a_limit_of_mode_raise_raises_and_closes(events: Captured) -> None:
    """The exception comes out of `run`, after everything was ended."""
    with pytest.raises(LimitExceeded):
        await agent(lambda request: Call("same"), limits="1 turn: raise").run("go")
    assert events.of(RunEnded)[0].body.stop_reason == "max_iterations"


@pytest.mark.parametrize("works", [True, False])
async def test_handing_over_is_done_or_not_done(events: Captured, works: bool) -> None:
    """The outcome says `human_handoff` when the application's effect worked, and the limit when it did not."""
    asked: list[HandOver] = []

    async def hand_over(what: HandOver) -> None:
        asked.append(what)
        if not works:
            raise ConnectionError("the desk is closed")

    found = await ran(
        agent(lambda request: Call("same"), limits="1 turn: handoff", hand_over=Person(hand_over, attempts=1)),
        events,
        session="s",
    )
    assert [(one.metric, one.session) for one in asked] == [("max_iterations", "s")]
    wanted = ("completed", "human_handoff") if works else ("failed", "max_iterations")
    assert (found.status, found.stop_reason) == wanted
    assert [event.body.kind for event in events.of(StepStarted)].count("handoff") == 1


async def test_a_deadline_ends_a_stream_that_never_does(events: Captured) -> None:
    """Control is back within the deadline and a quarter of a second, for endless and for silent streams."""
    for silence in (Endless("and ", 0.01), Silent("hm")):
        began = time.monotonic()
        found = await agent([silence], limits="0.3s").run("go")
        assert time.monotonic() - began < 0.3 + 0.25
        assert (found.status, found.stop_reason) == ("failed", "deadline")


async def test_a_deadline_ends_a_tool(events: Captured) -> None:
    """A tool that sleeps past the deadline is given up, in a thread and on the loop."""

    def blocks() -> str:
        time.sleep(1)
        return "late"

    async def yields() -> str:
        await asyncio.sleep(30)
        return "late"

    for tool in (blocks, yields):
        began = time.monotonic()
        found = await agent([Call(tool.__name__)], tools=[tool], limits="0.3s").run("go")
        assert time.monotonic() - began < 0.3 + 0.25
        assert (found.stop_reason, found.detail) == ("deadline", found.detail)
        check(found.messages)
    assert {event.body.state for event in events.of(ToolEnded)} <= {"abandoned", "cancelled"}


@dataclass
class Total:
    """A type for answers."""

    total: int


async def test_a_reply_that_does_not_fit_gives_way_to_a_correction(events: Captured) -> None:
    """The third request has the original messages and one corrective turn; the answer is of the type."""
    model = ScriptedModel(["three", '{"sum": 3}', '{"total": 3}'])
    found = await ran(agent(model, output=Total, schema_retries=2), events)
    assert found.output == Total(3)
    assert [len(request.messages) for request in model.requests] == [1, 2, 2]
    assert [message.text for message in found.messages] == ["go", '{"total": 3}']
    retries = [event.body for event in events.of(Note) if event.body.name == "agent_trace.schema_retry"]
    assert len(retries) == 2


async def test_phases_begin_when_a_reply_asks_for_them(events: Captured) -> None:
    """A phase brings its instructions and its tools."""
    phases = (Phase("plan", tools=()), Phase("act", "Now act.", tools=("add",)))
    model = ScriptedModel(["next_phase: act", Call("add", {"a": 1, "b": 1}), "2"])
    told: list[PhaseChanged] = []
    handle = agent(model, phases=phases).start("go")
    handle.emitter.subscribe(PhaseChanged, told.append)
    found = valid(await handle, events)
    assert found.answer == "2"
    assert [(one.before, one.after) for one in told] == [("plan", "act")]
    assert [[tool.name for tool in request.tools] for request in model.requests] == [[], ["add"], ["add"]]
    assert model.requests[1].messages[-1].text == "Now act."


async def test_hooks_change_what_goes_in_and_out(events: Captured) -> None:
    """Prompt, arguments, result and answer are replaced; each effect is recorded."""
    hooks = Hooks()
    hooks.on("user_prompt", lambda moment: ReplaceInput("better"))
    hooks.on("pre_tool_use", lambda moment: ReplaceInput({"a": 20, "b": 1}), matcher="^add$")
    hooks.on("post_tool_use", lambda moment: ReplaceOutput(f"<{moment.result}>"), matcher="^add$")
    hooks.on("agent_stop", lambda moment: ReplaceOutput("changed"))
    model = ScriptedModel([Call("add", {"a": 1, "b": 1}), "answer"])
    found = await ran(agent(model, hooks=hooks), events)
    assert [message.text for message in found.messages] == ["better", "", "<21>", "answer"]
    assert (found.answer, names(events)) == ("changed", ["hook_effect"] * 4)


async def test_a_hook_that_is_never_content_is_bounded(events: Captured) -> None:
    """Reprompting ends the run after the allowed number of refusals."""
    hooks = Hooks()
    hooks.on("agent_stop", lambda moment: Reprompt("again"))
    found = await ran(agent(["1", "2", "3"], hooks=hooks), events)
    assert (found.status, found.stop_reason) == ("failed", "guardrail_block")


async def test_a_script_that_runs_out_is_an_honest_failure(events: Captured) -> None:
    """An unexpected request is a fault of the test, and visible."""
    found = await agent([]).run("go")
    assert (found.status, found.stop_reason) == ("failed", "internal_error")
    assert isinstance(found.error, ReplayMismatch)


async def test_a_replaced_answer_is_verified_and_read_like_any_other(events: Captured) -> None:
    """What a hook puts in place passes the same gates: its type, and the verification."""

    @dataclass
    class Sum:
        total: int

    seen: list[Any] = []

    def check_it(value: Any) -> bool:
        seen.append(value)
        return True

    hooks = Hooks()
    hooks.on("agent_stop", lambda moment: ReplaceOutput({"total": 4}))
    verify = Verify(check_it)
    found = await ran(agent(['{"total": 5}'], output=Sum, hooks=hooks, verify=verify), events)
    assert (found.output, seen) == (Sum(4), [Sum(4)])


async def test_a_person_can_take_over_when_the_time_is_over(events: Captured) -> None:
    """The limit that hands a run over does not stand in the way of handing it over."""
    asked: list[HandOver] = []
    found = await ran(agent([Silent()], hand_over=asked.append), events, limits="0.2s: handoff")
    assert (found.status, found.stop_reason) == ("completed", "human_handoff")
    assert [one.metric for one in asked] == ["deadline"]


@pytest.mark.parametrize(
    "hand_over", [lambda asked: asyncio.sleep(5), lambda asked: time.sleep(1)], ids=["async", "plain"]
)
async def test_handing_over_has_an_end(events: Captured, hand_over: Callable[[HandOver], Any]) -> None:
    """A function that waits, on the event loop or not, is left when its time is over; the run says what stopped it."""
    began, person = time.monotonic(), Person(hand_over, seconds=0.3, within=0.3)
    found = await ran(agent(lambda request: Call("same"), hand_over=person), events, limits="1 turn: handoff, 0.3s")
    assert time.monotonic() - began < 0.3 + 0.25
    assert (found.status, found.stop_reason) == ("failed", "max_iterations")
    assert "handing over failed" in found.detail


async def test_the_last_attempt_of_a_wrapping_limit_is_the_last_turn(events: Captured) -> None:
    """With one model call left the turn has no tools, and the hit says what was used of how much."""
    model = ScriptedModel([Call("same"), "so far"])
    found = await ran(agent(model, limits="2 model calls: wrap_up"), events)
    assert (found.stop_reason, found.answer) == ("max_llm_calls", "so far")
    assert [bool(request.tools) for request in model.requests] == [True, False]
    hits = [event.body for event in events.of(LimitHit) if event.body.mode == "wrap_up"]
    assert [(hit.metric, hit.used, hit.threshold) for hit in hits] == [("max_llm_calls", 1, 2)]


async def test_a_time_for_calls_ends_the_run_by_that_limit(events: Captured) -> None:
    """A silent stream under `0.2s/call` is a deadline of the call, told with its figures."""
    found = await ran(agent([Silent("hm")], limits="0.2s/call"), events)
    assert (found.status, found.stop_reason) == ("failed", "deadline")
    hits = [event.body for event in events.of(LimitHit) if event.body.metric == "deadline"]
    assert [(hit.scope, hit.threshold) for hit in hits] == [("call", 0.2)]


async def test_what_comes_after_the_deadline_is_not_applied(events: Captured) -> None:
    """A tool that holds the loop up is too late though nobody could say so in time; its result is a note."""

    async def blocks() -> str:
        time.sleep(1)  # noqa: ASYNC251 - what it should not do
        return "late"

    found = await ran(agent([Call("blocks"), "done"], tools=[blocks], limits="0.5s"), events)
    assert found.stop_reason == "deadline"
    assert "late" not in [message.text for message in found.messages]
    assert names(events) == ["late_result"]


async def test_calls_of_a_reply_that_ends_the_run_have_their_end(events: Captured) -> None:
    """A reply that was cut asks for tools that will not run: each is recorded once, and says why."""
    found = await ran(agent([Say("", calls=(Call("same"), Call("same")), finish="length")]), events)
    assert found.stop_reason == "output_truncated"
    ends = [event.body for event in events.of(ToolEnded)]
    assert [(end.state, end.reason) for end in ends] == [("skipped", "not run: a reply with tool calls was cut")] * 2
    assert [message.text for message in found.messages if message.role == "tool"] == [ends[0].reason] * 2


async def test_a_run_that_may_not_begin_is_handed_over_and_can_be_found(events: Captured) -> None:
    """The session's limit gives the conversation to a person: by a run that says so, of the refused run's execution."""
    asked: list[HandOver] = []
    one = agent(["a"], limits="1 runs/session: handoff", hand_over=asked.append)
    assert (await one.run("go", session="s")).completed
    found = await one.run("go", session="s")
    assert (found.status, found.stop_reason, [what.metric for what in asked]) == (
        "completed", "human_handoff", ["session_limit"],
    )  # fmt: skip
    refused, handed = (event.body for event in events.of(RunEnded) if event.body.stop_reason != "final_answer")
    assert (refused.stop_reason, handed.stop_reason) == ("session_limit", "human_handoff")
    starts = [event for event in events.of(RunStarted) if event.body.execution_id == found.execution_id]
    assert (len(starts), starts[-1].run) == (2, found.run_id)
    assert found.last_seq > 0


@pytest.mark.parametrize("prompt", ["", "  ", None, [], "<system-reminder>x</system-reminder>"])
async def test_nothing_cannot_be_said(prompt: Any) -> None:
    """A conversation that would be sent empty is refused before anything is recorded."""
    with pytest.raises(InvalidTranscript):
        await agent([]).run(prompt)


@pytest.mark.parametrize("prompt", [5, b"x", ["a", 3], {"content": "hi"}])
async def test_what_is_no_prompt_is_refused(prompt: Any) -> None:
    """The error says what one may be; a message as a mapping is one."""
    with pytest.raises(SettingsError, match="prompt"):
        await agent([]).run(prompt)
    assert (await agent(["hello"]).run({"role": "user", "content": "hi"})).answer == "hello"


async def test_a_keyword_that_does_not_exist_is_named() -> None:
    """With those that there are."""
    with pytest.raises(SettingsError, match="sesion"):
        await agent([]).run("hi", sesion="s")
    with pytest.raises(SettingsError, match="limits"):
        await agent([]).run("hi", limits={"turns": 1})


async def test_a_guard_that_fails_does_not_let_the_loop_run_for_ever(
    events: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its failure is counted and admits; the loop's own count ends the run one turn later."""

    def broken(*args: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("tachograph.limits.budget.Budget.admit", broken)
    model = ScriptedModel(lambda request: Call("same"))
    found = await agent(model, limits="3 turns").run("go")
    assert (found.stop_reason, len(model.requests)) == ("internal_error", 4)
