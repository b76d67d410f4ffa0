"""A worker that waits for a person: whoever asked it waits with it, and goes on with its answer."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.recorded import state_of
from tachograph.agent.resume import resume as resuming
from tachograph.agent.resume.resume import resume
from tachograph.agent.resume.snapshot import snapshot
from tachograph.agent.team.delegate import Delegate
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import INTERRUPTED
from tachograph.providers.scripted import Call
from tests.agent.must import laws
from tests.agent.resume.recorded import recording
from tests.agent.resume.test_resume import allow, scripted
from tests.agent.running import QUICK
from tests.agent.teams import asks

pytestmark = pytest.mark.anyio


class Firm:
    """A lead with a worker that buys, which has to be approved."""

    def __init__(self, lead: Any, worker: Any, **fields: Any) -> None:
        self.did: Counter[str] = Counter()

        async def buy(what: str) -> str:
            self.did[what] += 1
            return f"bought {what}"

        async def pay(what: str) -> str:
            self.did[what] += 1
            return f"paid {what}"

        tools = [Tool.of(buy, classification="write", approve=True), Tool.of(pay, classification="write")]
        self.worker = Agent(name="worker", model=worker, tools=tools, retry=QUICK)
        self.last = Agent(name="last", model=scripted(None, "the end"), retry=QUICK)
        mode = fields.pop("mode", "persistent")
        self.lead = Agent(
            name="lead", model=lead, tools=tools, delegates=[Delegate(self.worker, mode=mode)], approve=Pause(),
            handoffs=[self.last], retry=QUICK, **fields,
        )  # fmt: skip

    async def again(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """It goes on."""
        return await resume(outcome.execution_id or "", self.lead)

    def sent_validly(self) -> None:
        """By every agent."""
        for one in (self.lead, self.worker, self.last):
            laws.sent_validly(one.port.requests)  # type: ignore[attr-defined]


BUYS = Call("buy", {"what": "red"})


async def test_whoever_asked_a_worker_that_waits_waits_with_it() -> None:
    """Nothing is told to the model; the decision is about the worker's run; that very run goes on, and answers."""
    firm = Firm(scripted(asks("worker"), "all is bought"), scripted(BUYS, "red is bought"))
    first = await firm.lead.run("go")
    assert (first.status, first.stop_reason, first.resumable) == ("paused", "approval", True)
    (waiting,) = first.waiting
    (child,) = first.children
    assert (waiting.tool, waiting.run, child.status) == ("buy", child.run_id, "paused")
    still = await firm.again(first)
    assert (still.status, still.waiting, firm.did) == ("paused", (waiting,), Counter())
    allow(waiting.run, waiting)
    done = await firm.again(still)
    assert (done.status, done.answer) == ("completed", "all is bought")
    assert [message.text for message in done.messages if message.role == "tool"] == ["red is bought"]
    assert [(one.run_id, one.answer) for one in done.children] == [(child.run_id, "red is bought")]
    assert firm.did == {"red": 1}
    firm.sent_validly()
    whole = recording(first.execution_id or "")
    state = state_of(whole.events, whole.store.fetch)
    assert [message.text for message in state.messages] == [message.text for message in done.messages]


async def test_what_the_other_calls_of_the_reply_did_is_not_done_again() -> None:
    """Their results stand where they belong when the worker has answered; a hand-off is made behind them."""
    calls = [Call("pay", {"what": "one"}), asks("worker"), Call("pay", {"what": "two"}), Call("handoff_to_last")]
    firm = Firm(scripted(calls), scripted(BUYS, "red is bought"))
    first = await firm.lead.run("go")
    assert (first.status, firm.did) == ("paused", {"one": 1, "two": 1})
    allow(first.waiting[0].run, first.waiting[0], decision="deny", reason="too dear")
    done = await firm.again(first)
    assert (done.status, done.answer, done.agent) == ("completed", "the end", "last")
    results = [message.text for message in done.messages if message.role == "tool"]
    assert results == ["paid one", "red is bought", "paid two", "Handed over to last."]
    assert firm.did == {"one": 1, "two": 1}
    firm.sent_validly()


async def test_a_worker_that_went_on_by_itself_has_answered() -> None:
    """Whoever asked it takes its answer."""
    firm = Firm(scripted(asks("worker"), "all is bought"), scripted(BUYS, "red is bought"))
    first = await firm.lead.run("go")
    allow(first.waiting[0].run, first.waiting[0])
    alone = await resume(first.waiting[0].run, firm.worker)
    assert alone.answer == "red is bought"
    done = await firm.again(first)
    assert (done.answer, firm.did) == ("all is bought", {"red": 1})
    assert [message.text for message in done.messages if message.role == "tool"] == ["red is bought"]


async def test_a_pause_three_levels_below_pauses_all() -> None:
    """And each of them goes on in its own run."""
    firm = Firm(scripted(asks("worker"), "the lead is done"), scripted(BUYS, "red is bought"))
    top = Agent(name="top", model=scripted(asks("lead"), "the top is done"), delegates=[firm.lead], retry=QUICK)
    first = await top.run("go")
    assert (first.status, len(first.waiting), first.children[0].status) == ("paused", 1, "paused")
    whole = recording(first.waiting[0].run)
    assert whole.started.name == "worker"
    allow(first.waiting[0].run, first.waiting[0])
    done = await resume(first.execution_id or "", top)
    assert (done.status, done.answer, firm.did) == ("completed", "the top is done", {"red": 1})
    runs = recording(first.execution_id or "").store
    from tachograph.store.query import Query

    rows = runs.find(Query("runs", (), ("name", "status"), limit=None)).rows
    assert sorted((row["name"], row["status"]) for row in rows) == [
        ("lead", "completed"), ("top", "completed"), ("worker", "completed"),
    ]  # fmt: skip


async def test_a_worker_that_was_being_woken_for_nobody_waits_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked it was called off meanwhile: its run is given back, and can be taken up again."""
    firm = Firm(scripted(asks("worker"), "all is bought"), scripted(BUYS, "red is bought"))
    first = await firm.lead.run("go")
    run = first.waiting[0].run
    allow(run, first.waiting[0])
    taken, on, real = threading.Event(), threading.Event(), resuming.taken_up

    def slow(name: str, *given: Any, **call: Any) -> Any:
        found = real(name, *given, **call)
        if name == run:
            taken.set()
            on.wait(10)
        return found

    monkeypatch.setattr(resuming, "taken_up", slow)
    task = asyncio.create_task(firm.again(first))
    assert await asyncio.to_thread(taken.wait, 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    on.set()
    monkeypatch.undo()
    while recording(run).status == "started":  # noqa: ASYNC110 - another thread gives it back
        await asyncio.sleep(0.01)
    assert recording(run).status == "paused"
    assert ((await resume(run, firm.worker)).answer, firm.did) == ("red is bought", {"red": 1})


async def test_where_a_snapshot_of_waiting_runs_begins_nobody_is_asked_twice() -> None:
    """The worker had begun: its call is interrupted there."""
    firm = Firm(scripted(asks("worker"), "never mind"), scripted(BUYS))
    first = await firm.lead.run("go")
    found = await firm.lead.run(None, **snapshot(first.execution_id or "").call())
    assert [message.text for message in found.messages if message.role == "tool"] == [INTERRUPTED]
    assert (found.answer, firm.did) == ("never mind", {})
