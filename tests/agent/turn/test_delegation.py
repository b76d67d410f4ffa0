from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.chat import Chat
from tachograph.agent.pace.schedule import Scheduler
from tachograph.agent.people.person import HandOver
from tachograph.agent.progress import RunDone, WorkerTold
from tachograph.agent.team.ancestry import barred
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.approval import Allow, Asked
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import check
from tachograph.errors import LimitExceeded, ModelError
from tachograph.events.call import CallStarted
from tachograph.events.limit import LimitHit
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.limits.limit import Limits
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured
from tests.agent.running import agent
from tests.agent.teams import always, asks, ends, family, said, told, whole

pytestmark = pytest.mark.anyio


# ---- a call ---------------------------------------------------------------------------------------------------------


async def test_an_agent_asks_another(events: Captured) -> None:
    """The worker gets the message alone, its answer is the result, and its run is a child of the call's step."""
    worker = agent(["17 euros"], name="billing", instructions="You know prices.")
    lead = agent([asks("billing", "What is it?"), "It costs 17 euros."], name="lead", delegates=[worker])
    found = whole(await lead.run("price?", session="s", user="u", tenant="acme"), events)
    assert (found.answer, told(found)) == ("It costs 17 euros.", ["17 euros"])
    assert said(worker.port) == [["You know prices.", "What is it?"]]  # type: ignore[arg-type]
    above, below = (event.body for event in events.of(RunStarted))
    call = events.of(ToolStarted)[0]
    assert (below.parent_run, below.parent_step) == (call.run, call.seq)
    assert (below.name, below.session, below.user, below.tenant) == ("billing", "s", "u", "acme")
    assert (call.body.name, call.body.classification) == ("ask_billing", "delegation")
    assert call.body.metadata.text == '{"worker":"billing","context":"persistent"}'
    assert '"ancestry":["lead"],"context":"persistent"' in str(below.metadata.text)
    assert above.name == "lead"


async def test_a_worker_has_the_tags_of_whoever_asked_it(events: Captured) -> None:
    """Behind its own, each once."""
    worker = agent(["hi"], name="billing", tags=["money", "desk"])
    lead = agent([asks("billing"), "ok"], name="lead", delegates=[worker], tags=["desk"])
    await lead.run("go", tags=["test"])
    above, below = (event.body for event in events.of(RunStarted))
    assert (above.tags, below.tags) == (("desk", "test"), ("money", "desk", "test"))


async def test_the_worker_is_known_by_reference(events: Captured) -> None:
    """Whatever its tool is called: the record has the name that the agent was given."""
    worker = agent(["hi"], name="slackAgent")
    lead = agent([Call("forward", {"message": "x"}), "ok"], name="lead", delegates=[Delegate(worker, name="forward")])
    await lead.run("go")
    assert [event.body.name for event in events.of(RunStarted)] == ["lead", "slackAgent"]
    assert '"worker":"slackAgent"' in str(events.of(ToolStarted)[0].body.metadata.text)


async def test_a_worker_is_told_from_other_tools(events: Captured) -> None:
    """By its classification; a conversation lists it apart."""
    chat = Chat(agent([], delegates=[agent([], name="w")]))
    assert chat.tool_names == ("add", "ask_w", "same")
    assert chat.non_delegation_tool_names == ("add", "same")


async def test_a_worker_answers_in_json(events: Captured) -> None:
    """Structured output is handed over as a value's JSON, without the words around it."""

    @dataclass
    class Price:
        euros: int

    worker = agent(['```json\n{"euros": 17}\n```'], name="w")
    lead = agent([asks("w"), "ok"], delegates=[Delegate(worker, output=Price)])
    found = await lead.run("go")
    assert told(found) == ['{"euros":17}']
    assert found.children[0].output == Price(17)


async def test_what_a_worker_tells_is_told_as_its(events: Captured) -> None:
    """A listener of the asker hears of all of it, wrapped: one end is the end of the run."""
    leaf = agent(["leaf"], name="leaf")
    worker = agent([asks("leaf"), "worker"], name="worker", delegates=[leaf])
    lead = agent([asks("worker"), "lead"], name="lead", delegates=[worker])
    values = [value async for value in lead.stream("go")]
    inside = [value for value in values if isinstance(value, WorkerTold)]
    assert isinstance(values[-1], RunDone)
    assert sum(isinstance(value, RunDone) for value in values) == 1
    assert [(one.worker, one.value.outcome.answer) for one in inside if isinstance(one.value, RunDone)] == [
        ("worker", "worker")
    ]
    deeper = [one.value for one in inside if isinstance(one.value, WorkerTold)]
    assert {(one.worker, one.call.name) for one in deeper} == {("leaf", "ask_leaf")}


async def test_the_log_of_a_chat_leaves_out_pieces(events: Captured, caplog: pytest.LogCaptureFixture) -> None:
    """Those of a worker's stream too: its reply repeats them."""
    chat = Chat(agent([asks("w"), "ok"], delegates=[agent(["one two"], name="w")]))
    chat.setup_logging()
    with caplog.at_level(logging.INFO, "tachograph.chat"):
        await chat.ask("go")
    told = [record.getMessage() for record in caplog.records if record.getMessage().startswith("WorkerTold")]
    assert [text for text in told if "one two" in text and "'message'" not in text and "outcome" not in text] == []
    assert any("one two" in text for text in told)


async def test_what_the_team_spends_is_known(events: Captured) -> None:
    """`spent` is the asker's own, `total` is everybody's, `children` has each by itself."""
    leaf = agent(["x", "x"], name="leaf")
    worker = agent([asks("leaf"), asks("leaf", "more"), "y"], name="worker", delegates=[leaf])
    lead = agent([asks("worker"), "z"], name="lead", delegates=[worker])
    found = whole(await lead.run("go"), events)
    assert [(one.spent.llm_calls, one.total.llm_calls) for one in family(found)] == [(2, 7), (3, 5), (1, 1), (1, 1)]
    assert found.total.tool_calls == 3
    assert found.total.usage.output == sum(one.usage.output or 0 for one in family(found))


async def test_a_workers_tools_may_ask_whoever_allows_the_askers(events: Captured) -> None:
    """Approval is that of the conversation where a worker brings none of its own."""
    asked: list[Asked] = []

    def approve(one: Asked) -> Allow:
        asked.append(one)
        return Allow()

    async def pay() -> str:
        """Pay."""
        return "paid"

    worker = agent([Call("pay"), "done"], name="w", tools=[Tool.of(pay, approve=True)])
    lead = agent([asks("w"), "ok"], delegates=[worker], approve=approve)
    assert told(await lead.run("go")) == ["done"]
    assert [(one.agent, one.tool.name) for one in asked] == [("w", "pay")]


# ---- what a worker knows --------------------------------------------------------------------------------------------


async def test_a_worker_remembers(events: Captured) -> None:
    """As long as the asker's run lasts, until it is told to forget."""
    worker = agent(["one", "two", "three"], name="w")
    script = [asks("w", "a"), asks("w", "b"), asks("w", "c", reset_context=True), "ok"]
    await agent(script, delegates=[worker]).run("go")
    assert said(worker.port) == [["a"], ["a", "one", "b"], ["c"]]  # type: ignore[arg-type]


async def test_a_worker_remembers_as_long_as_the_conversation(events: Captured) -> None:
    """Across the runs of a chat, and of no other chat; a conversation that is cleared is cleared there too."""
    worker = agent(always("yes"), name="w")
    lead = agent(
        always(lambda request: "ok" if request.messages[-1].role == "tool" else asks("w", request.messages[-1].text)),
        delegates=[worker],
    )
    chat, other = Chat(lead), Chat(lead)
    await chat.ask("a")
    await other.ask("x")
    await chat.ask("b")
    await chat.ask("c", clear_context=True)
    await lead.run("d")
    assert said(worker.port) == [["a"], ["x"], ["a", "yes", "b"], ["c"], ["d"]]  # type: ignore[arg-type]


async def test_two_who_ask_the_same_worker_share_nothing(events: Captured) -> None:
    """Each asker has a dialogue of its own with it, and so has each asker of an asker."""
    shared = agent(always(lambda request: f"{len(request.messages)}"), name="shared")
    left = agent([asks("shared", "l1"), asks("shared", "l2"), "l"], name="left", delegates=[shared])
    right = agent([asks("shared", "r1"), "r", asks("shared", "r2"), "r"], name="right", delegates=[shared])
    script = [[asks("left"), asks("right")], asks("right", "more"), asks("shared", "own"), "ok"]
    found = await agent(script, delegates=[left, right, shared]).run("go")
    assert told(found) == ["l", "r", "r", "1"]
    assert sorted(said(shared.port)) == [  # type: ignore[arg-type]
        ["l1"], ["l1", "1", "l2"], ["own"], ["r1"], ["r1", "1", "r2"],
    ]  # fmt: skip


async def test_a_fork_knows_the_conversation_so_far(events: Captured) -> None:
    """Without the asker's instructions and without the reply that asks; what it says does not come back into it."""
    worker = agent(["x", "y"], name="w", instructions="You work.")
    script = [Call("same"), [asks("w", "a"), Call("same")], asks("w", "b"), "ok"]
    lead = agent(script, instructions="You lead.", delegates=[Delegate(worker, mode="fork")])
    found = await lead.run("go")
    assert said(worker.port) == [  # type: ignore[arg-type]
        ["You work.", "go", "", "the same", "a"],
        ["You work.", "go", "", "the same", "", "x", "the same\n\n" + _hint(found), "b"],
    ]
    for request in worker.port.requests:  # type: ignore[attr-defined]
        check(request.messages)


def _hint(outcome: Outcome[Any]) -> str:
    """What the model is told of a repetition."""
    return next(text for text in told(outcome) if "\n\n" in text).partition("\n\n")[2]


async def test_a_fresh_context_knows_nothing(events: Captured) -> None:
    """Each time only the message."""
    worker = agent(["x", "y"], name="w")
    await agent([asks("w", "a"), asks("w", "b"), "ok"], delegates=[Delegate(worker, mode="fresh")]).run("go")
    assert said(worker.port) == [["a"], ["b"]]  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["persistent", "fork", "fresh"])
async def test_calls_of_one_worker_overlap(events: Captured, mode: Any) -> None:
    """Three at once meet in the middle of their work, and none of them sees what is said to the others."""
    meeting = asyncio.Barrier(3)

    async def meet() -> str:
        """Wait for the others."""
        async with asyncio.timeout(5):
            await meeting.wait()
        return "met"

    def work(request: Request) -> Any:
        last = request.messages[-1]
        return f"{request.messages[-3].text} {last.text}" if last.role == "tool" else Call("meet")

    worker = agent(always(work), name="w", tools=[meet])
    script = [[asks("w", name) for name in "abc"], "ok"]
    found = whole(await agent(script, delegates=[Delegate(worker, mode=mode)]).run("go"), events)
    assert told(found) == ["a met", "b met", "c met"]
    extra = ["go"] if mode == "fork" else []
    assert sorted(texts for texts in said(worker.port) if texts[-1] != "met") == [  # type: ignore[arg-type]
        [*extra, name] for name in "abc"
    ]


async def test_of_calls_at_once_the_first_is_remembered(events: Captured) -> None:
    """The others know what was said before all of them, and are forgotten."""
    worker = agent(always(lambda request: f"re {request.messages[-1].text}"), name="w")
    script = [
        asks("w", "0"),
        [asks("w", "a"), asks("w", "b"), asks("w", "c", reset_context=True)],
        asks("w", "1"),
        "ok",
    ]
    await agent(script, delegates=[worker]).run("go")
    assert said(worker.port) == [  # type: ignore[arg-type]
        ["0"], ["0", "re 0", "a"], ["0", "re 0", "b"], ["c"], ["0", "re 0", "a", "re a", "1"],
    ]  # fmt: skip
    below = [json.loads(str(event.body.metadata.text)) for event in events.of(RunStarted)[1:]]
    assert [facts["context"] for facts in below] == ["persistent", "persistent", "copy", "copy", "persistent"]


async def test_calls_take_turns_where_they_are_told_to(events: Captured) -> None:
    """With `parallel=1` each of three goes on with what the one before it said."""
    worker = agent(always(lambda request: "yes"), name="w")
    script = [[asks("w", name) for name in "abc"], "ok"]
    await agent(script, delegates=[Delegate(worker, parallel=1)]).run("go")
    assert said(worker.port) == [  # type: ignore[arg-type]
        ["a"], ["a", "yes", "b"], ["a", "yes", "b", "yes", "c"],
    ]  # fmt: skip


async def test_a_failed_worker_can_be_asked_again(events: Captured) -> None:
    """What it had done so far is there, in a conversation that a provider takes."""
    worker = agent([Call("add", {"a": 1, "b": 2}), "3"], name="w", limits="1 turn")
    found = await agent([asks("w", "a"), asks("w", "go on"), "ok"], delegates=[worker]).run("go")
    assert said(worker.port)[-1] == ["a", "", "3", "go on"]  # type: ignore[arg-type]
    assert told(found)[1] == "3"


# ---- who may ask whom -----------------------------------------------------------------------------------------------


async def test_nobody_is_asked_by_whom_it_waits_for(events: Captured) -> None:
    """The lead is on the path: its worker's call of it is refused at once, readable, without a run or a request."""
    again = agent([], name="lead")
    worker = agent([asks("lead", "you!"), "then I do it"], name="worker", delegates=[again])
    found = whole(await agent([asks("worker"), "ok"], name="lead", delegates=[worker]).run("go"), events)
    assert told(found) == ["then I do it"]
    assert told(found.children[0]) == [
        barred(["lead", "worker"], "lead"),
    ]
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected", "completed"]
    assert len(events.of(RunStarted)) == 2


async def test_the_same_worker_twice_is_no_circle(events: Captured) -> None:
    """Beside each other, one after the other, and by two who are beside each other."""
    shared = agent(always("yes"), name="shared")
    other = agent([asks("shared"), "other"], name="other", delegates=[shared])
    script = [[asks("shared", "a"), asks("shared", "b"), asks("other")], asks("shared", "c"), "ok"]
    found = await agent(script, name="lead", delegates=[shared, other]).run("go")
    assert told(found) == ["yes", "yes", "other", "yes"]


async def test_recursion_is_declared_and_bounded_by_depth(events: Captured) -> None:
    """An agent asks itself until the depth is reached; that call fails with words, and everybody answers."""

    def work(request: Request) -> Any:
        last = request.messages[-1]
        return asks("self", "smaller") if last.role == "user" else f"({last.text})"

    one: Agent = agent(always(work), name="self", limits="depth 3", delegates=[Delegate(lambda: one, recursive=True)])
    found = whole(await one.run("go"), events)
    assert ends(events) == [("self", "failed", "max_depth")] + [("self", "completed", "final_answer")] * 3
    assert found.answer == (
        "(((self has no answer: its run is failed (max_depth): "
        "run limit on max_depth: 3 used, 1 more asked for, 3 allowed.\nIts run can be resumed.)))"
    )


@pytest.mark.parametrize("mode", ["raise", "handoff"])
async def test_depth_ends_a_run_that_says_so(events: Captured, mode: Any) -> None:
    """A mode that asks for more than a refusal is that of whose limit it is."""
    handed: list[HandOver] = []
    limits = Limits(depth=2, modes={"depth": mode})
    leaf = agent([], name="leaf")
    worker = agent([asks("leaf")], name="worker", delegates=[leaf], hand_over=handed.append)
    lead = agent([asks("worker")], name="lead", delegates=[worker], limits=limits, hand_over=handed.append)
    if mode == "raise":
        with pytest.raises(LimitExceeded, match="max_depth"):
            await lead.run("go")
        assert ends(events)[-1] == ("lead", "failed", "max_depth")
    else:
        assert (await lead.run("go")).stop_reason == "human_handoff"
    runs = {event.body.name: event.run for event in events.of(RunStarted)}
    assert [one.run_id for one in handed] == ([] if mode == "raise" else [runs["lead"]])
    assert ends(events)[:2] == [("leaf", "failed", "max_depth"), ("worker", "failed", "max_depth")]


# ---- what goes wrong ------------------------------------------------------------------------------------------------


async def test_a_failed_worker_is_told_in_words(events: Captured) -> None:
    """What stopped it, and that it can go on; the call is failed, the run is what it was, the asker goes on."""
    broken = ModelError("auth", "invalid key", status=401, provider="scripted", model="scripted", safe=True)
    worker = agent([Say(then=broken)], name="w")
    found = whole(await agent([asks("w"), "sorry"], delegates=[worker]).run("go"), events)
    assert (found.status, found.answer) == ("completed", "sorry")
    [text] = told(found)
    assert text.startswith("w has no answer: its run is failed (provider_error): ")
    assert text.endswith("\nIts run can be resumed.")
    assert "Traceback" not in text
    ended = events.of(ToolEnded)[0].body
    assert (ended.state, ended.error.type) == ("failed", "tachograph.errors.RunFailed")
    assert ends(events) == [("w", "failed", "provider_error"), ("calc", "completed", "final_answer")]


async def test_a_crash_inside_is_no_crash_outside(events: Captured) -> None:
    """A fault of a worker is named, without where in the code it was."""
    worker = agent([Say(then=KeyError("x"))], name="w")
    found = whole(await agent([asks("w"), "sorry"], delegates=[worker]).run("go"), events)
    assert told(found) == ["w has no answer: its run is failed (internal_error): KeyError: 'x'."]
    assert found.completed


@pytest.mark.parametrize(
    ("worker", "message", "text"),
    [
        (
            agent([], name="w", instructions=lambda context: context["who"]), "go",
            "w could not begin: KeyError: 'who'",
        ),
        (
            Agent(name="w", model="nowhere:m"), "go", "w could not begin: ",
        ),
        (
            agent([], name="w"), "  ",
            "w could not begin: InvalidTranscript: ",
        ),
    ],
    ids=["instructions", "model", "message"],
)  # fmt: skip
async def test_a_worker_that_cannot_begin_is_an_answer_too(
    events: Captured, worker: Agent, message: str, text: str
) -> None:
    """Nothing was begun, so there is no run; the asker goes on."""
    found = await agent([asks("w", message), "sorry"], delegates=[worker]).run("go")
    assert found.completed
    assert told(found)[0].startswith(text)
    assert [name for name, *_ in ends(events)] == ["calc"]


async def test_a_workers_own_limit_is_its_own_failure(events: Captured) -> None:
    """With what it had so far, where it had its last turn; in whatever mode it was stopped."""
    limits = Limits(iterations=2, modes={"iterations": "wrap_up"})
    wrapped = agent([Call("same"), "half of it"], name="w", limits=limits)
    strict = agent(lambda request: Call("same"), name="v", limits=Limits(iterations=1, modes={"iterations": "raise"}))
    found = whole(await agent([asks("w"), asks("v"), "ok"], delegates=[wrapped, strict]).run("go"), events)
    assert told(found)[0].split("\n")[1] == "What it had so far, which nobody accepted as an answer: half of it"
    assert told(found)[1].startswith("v has no answer: its run is failed (max_iterations): ")
    assert ends(events) == [
        ("w", "failed", "max_iterations"), ("v", "failed", "max_iterations"), ("calc", "completed", "final_answer"),
    ]  # fmt: skip


async def test_limits_of_a_delegate_only_narrow(events: Captured) -> None:
    """More than the asker may, a worker may not, whatever its limits say."""
    worker = agent(lambda request: Call("add", {"a": len(request.messages), "b": 0}), name="w")
    lead = agent([asks("w"), "?"], name="lead", delegates=[Delegate(worker, limits="99 turns, 99 model calls")],
                 limits="4 model calls")  # fmt: skip
    found = whole(await lead.run("go"), events)
    assert (found.status, found.stop_reason, found.resumable) == ("failed", "max_llm_calls", True)
    assert len(events.of(CallStarted)) == 4
    narrow = agent([asks("w"), "ok"], delegates=[Delegate(worker, limits="2 turns")])
    again = await narrow.run("go")
    assert (again.completed, again.children[0].iterations) == (True, 2)


async def test_a_limit_of_the_asker_ends_the_asker(events: Captured) -> None:
    """Two levels down: all three runs end by it, every call has its result, and the record of whose it is says so."""
    leaf = agent(lambda request: Call("add", {"a": len(request.messages), "b": 0}), name="leaf")
    worker = agent([asks("leaf"), "?"], name="worker", delegates=[leaf])
    lead = agent([asks("worker"), "?"], name="lead", delegates=[worker], limits="5 tool calls")
    found = whole(await lead.run("go"), events)
    assert ends(events) == [(name, "failed", "max_tool_calls") for name in ("leaf", "worker", "lead")]
    check(found.messages)
    assert told(found)[0].startswith("worker has no answer: its run is failed (max_tool_calls): ")
    runs = {event.run: event.body.name for event in events.of(RunStarted)}
    hits = [
        (runs[event.run], event.body.refused_kind)
        for event in events.of(LimitHit)
        if event.body.metric == "max_tool_calls"
    ]
    assert hits == [("leaf", "tool"), ("lead", None)]
    assert isinstance(found.error, LimitExceeded)


@pytest.mark.parametrize("mode", ["raise", "handoff", "wrap_up"])
async def test_a_limit_of_the_asker_does_what_its_mode_says(events: Captured, mode: Any) -> None:
    """Raised, handed to a person, or followed by a last turn: at the run whose limit it is, not at the worker."""
    handed: list[HandOver] = []
    worker = agent(
        lambda request: Call("add", {"a": len(request.messages), "b": 0}) if request.tools else "so far",
        name="worker", hand_over=handed.append,
    )  # fmt: skip
    limits = Limits(tool_calls=3, modes={"tool_calls": mode})
    script = [asks("worker"), "the end"][: 2 if mode == "wrap_up" else 1]
    lead = agent(script, name="lead", delegates=[worker], limits=limits, hand_over=handed.append)
    if mode == "raise":
        with pytest.raises(LimitExceeded, match="max_tool_calls"):
            await lead.run("go")
        return
    found = whole(await lead.run("go"), events)
    assert ends(events)[0] == ("worker", "failed", "max_tool_calls")
    if mode == "handoff":
        assert (found.status, found.stop_reason) == ("completed", "human_handoff")
        assert [one.run_id for one in handed] == [found.run_id]
    else:
        assert "so far" in told(found)[0]
        assert (found.status, found.stop_reason, found.answer) == ("failed", "max_tool_calls", "the end")


async def test_the_askers_deadline_is_the_workers(events: Captured) -> None:
    """Both end by it, in time."""
    hang = Tool.of(_hangs, name="hang")
    worker = agent([Call("hang")], name="worker", tools=[hang], limits="60s")
    lead = agent([asks("worker")], name="lead", delegates=[worker], limits="0.2s")
    began = SYSTEM.mono()
    found = whole(await lead.run("go"), events)
    assert (SYSTEM.mono() - began) / 1e9 < 1.5
    assert ends(events) == [("worker", "failed", "deadline"), ("lead", "failed", "deadline")]
    assert found.stop_reason == "deadline"


async def _hangs() -> str:
    """Sleep."""
    await asyncio.sleep(30)
    return "never"


@pytest.mark.parametrize(
    ("above", "below", "status"),
    [
        (Limits(session_tool_calls=3), None, "failed"),
        (Limits(), Limits(session_tool_calls=2), "completed"),
        (Limits(call_tokens=2_000), None, "completed"),
    ],
    ids=["session of the asker", "session of the worker", "one call"],
)
async def test_whose_limit_it_is_decides_who_ends(
    events: Captured, above: Limits, below: Limits | None, status: str
) -> None:
    """A session's limit that the asker states ends the asker; one that the worker states, or of one call, does not."""
    worker = agent(
        lambda request: Call("add", {"a": len(request.messages), "b": 0}), name="worker", max_tokens=100,
        instructions="x " * 9_000 if above.call_tokens else "",
    )  # fmt: skip
    script = [asks("worker"), "ok"][: 1 + (status == "completed")]
    lead = agent(script, limits=above, delegates=[Delegate(worker, limits=below)], tools=[], max_tokens=10)
    found = whole(await lead.run("go", session="s"), events)
    assert (found.status, found.children[0].status) == (status, "failed")
    if status == "failed":
        assert found.stop_reason == found.children[0].stop_reason == "session_limit"


# ---- what it takes --------------------------------------------------------------------------------------------------


class Turns(Scheduler):
    """Keeps whose turns were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[str] = []

    def permit(self, model: str, run: str = "", tokens: int = 0, seconds: float | None = None) -> Any:
        """As ever."""
        self.taken.append(run)
        return super().permit(model, run, tokens, seconds)


async def test_a_team_takes_the_turns_of_one_run(events: Captured) -> None:
    """In the scheduler of whoever leads it, whatever its workers would have waited in."""
    own, shared = Turns(), Turns()
    worker = agent([asks("leaf"), "w"], name="w", delegates=[agent(["x"], name="leaf")], scheduler=own)
    found = await agent([asks("w"), "ok"], delegates=[worker], scheduler=shared).run("go")
    assert (own.taken, shared.taken) == ([], [found.run_id] * 5)


class Closing(ScriptedModel):
    """Counts how often it was closed."""

    closed = 0

    async def close(self) -> None:
        """Once more."""
        self.closed += 1


async def test_closing_an_agent_closes_what_its_delegates_opened(events: Captured) -> None:
    """Models that were asked, each once; those that never were are not made for it."""
    model = Closing(["deep", "x"])
    leaf = agent(model, name="leaf")
    worker = agent([asks("leaf"), "w"], name="w", delegates=[leaf])
    idle = Agent(name="idle", model="no-such-provider:m", delegates=[worker])
    lead = agent([asks("w"), asks("leaf"), "ok"], delegates=[worker, leaf, idle])
    await lead.and_close(lead.run("go"))
    assert (model.closed, "port" in vars(idle)) == (1, False)
