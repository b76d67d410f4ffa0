"""Sessions across processes: interleaved, superseded, killed, and many at once on one file."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tachograph.agent.session.session import Session
from tachograph.agent.transcript import INTERRUPTED, check
from tachograph.compose import System
from tachograph.errors import ModelError
from tachograph.events.account import Account
from tachograph.fold.transcript import collect
from tachograph.store.query import Measure, Query, Where
from tests.agent.running import agent
from tests.agent.session.conftest import elsewhere, texts
from tests.agent.session.programs import start, told

pytestmark = pytest.mark.anyio

_TALK = """
async def main():
    one = Session("s", wait=100)
    for n in range(25):
        outcome = await one.ask(agent(limits="40 runs/session"), f"{name}-{n}")
        print(outcome.stop_reason, outcome.answer, sep="|", flush=True)
asyncio.run(main())
"""


async def test_two_processes_never_both_append_and_never_pass_a_limit_together(system: System, url: str) -> None:
    """Of fifty turns as many run as the session may have: one chain, each exchange once, each process's in order."""
    processes = [start(_TALK, url, name) for name in "ab"]
    lines = [line.split("|") for process in processes for line in told(process).splitlines()]
    answers = [answer for reason, answer in lines if reason == "final_answer"]
    assert (len(lines), len(answers), {reason for reason, _ in lines}) == (50, 40, {"final_answer", "session_limit"})
    said = await texts(Session("s"))
    assert said[1::2] == [f"re {text}" for text in said[::2]]
    assert sorted(said[1::2]) == sorted(answers)
    for name in "ab":
        own = [text for text in said[::2] if text.startswith(name)]
        assert own == [f"{name}-{n}" for n in range(len(own))]
    used = system.ledger.used(Account.of_session("default", "s", "runs"), None, system.recorder.clock.now())
    head = Session("s").head()
    assert head is not None
    assert (used, head.version, head.lease, head.waiting) == (40, 50, None, ())


_HANG = """
async def hang() -> str:
    "Hang."
    print("hanging", flush=True)
    await asyncio.sleep(60)
asyncio.run(Session("s").ask(agent([Call("hang", {})], tools=[hang]), "first"))
"""


async def test_a_killed_writer_is_replaced_within_two_seconds(system: System, url: str) -> None:
    """The next turn goes on from what his run had recorded, closed as interrupted; the run is abandoned."""
    process = start(_HANG, url, "a")
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    process.kill()
    process.wait()
    began = time.monotonic()
    failed = await Session("s").ask(agent([ModelError("auth", "no")]), "lost")
    assert failed.stop_reason == "provider_error"
    async with Session("s").turn() as turn:
        took = time.monotonic() - began
        assert took < 2
        assert [message.text for message in turn.history] == ["first", "", INTERRUPTED]
        check(turn.history)
        outcome = await turn.run(agent(["sorry"]), "second")
        await turn.commit(outcome)
    assert await texts(Session("s")) == ["first", "", INTERRUPTED, "second", "sorry"]
    assert system.worker.flush()
    rows = system.store.find(Query("runs", order=("started_at",), columns=("status", "stop_reason"))).rows
    assert [(row["status"], row["stop_reason"]) for row in rows] == [
        ("abandoned", "process_died"), ("failed", "provider_error"), ("completed", "final_answer")
    ]  # fmt: skip
    process.communicate()


_SLOW = """
def slow(request):
    print("asked", flush=True)
    return Say("late", seconds=60)
outcome = asyncio.run(Session("s").ask(agent(slow), "first"))
print(outcome.status, outcome.stop_reason, outcome.discarded, outcome.answer)
"""


async def test_a_turn_of_another_process_is_superseded(system: System, url: str) -> None:
    """It hears of it by its heartbeat, ends as superseded, and what the user said to it stands before the newer."""
    process = start(_SLOW, url, "a")
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    found = await Session("s").ask(agent(["both"]), "second", supersede=True)
    assert (found.answer, told(process)) == ("both", "cancelled superseded True None\n")
    session = Session("s")
    elsewhere(session)
    assert await texts(session) == ["first", "second", "both"]


_STOPPED = """
tachograph.configure(store=sys.argv[1], drain=False)
def slow(request):
    print("asked", flush=True)
    return Say("late", seconds=3)
outcome = asyncio.run(Session("s", lease=0.5).ask(agent(slow), "first"))
print(outcome.stop_reason)
"""


async def test_a_process_that_was_stopped_finds_its_lease_lost(system: System, url: str) -> None:
    """Its time is over and somebody else has gone on: it commits nothing, and ends as superseded.

    (It does not drain: stopped while it is elected, it would keep what it recorded from everybody.)
    """
    process = start(_STOPPED, url, "a")
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    os.kill(process.pid, signal.SIGSTOP)
    try:
        found = await Session("s").ask(agent(["here"]), "second")
    finally:
        os.kill(process.pid, signal.SIGCONT)
    assert (found.answer, told(process)) == ("here", "superseded\n")
    assert await texts(Session("s")) == ["first", "second", "here"]


_MANY = """
async def one(n, gate):
    async with gate:
        outcome = await Session(f"s{n % 500}", wait=100).ask(agent(), f"{name}-{n}")
        assert outcome.completed, outcome
async def main():
    gate, first = asyncio.Semaphore(40), int(name) * 250
    await asyncio.gather(*(one(n, gate) for n in range(first, first + 250)))
asyncio.run(main())
"""


async def test_five_hundred_sessions_in_four_processes(system: System, url: str, tmp_path: Path) -> None:
    """A thousand concurrent runs on one file: each counted once in the ledger and in the rows, nothing lost."""
    processes = [start(_MANY, url, n) for n in range(4)]
    for process in processes:
        told(process, 300)
    assert system.worker.flush(60)
    measures = (Measure("count"), Measure("sum", "runs"), Measure("sum", "llm_calls"))
    [sums] = system.store.find(Query("sessions", measures=measures)).rows
    assert (sums["count"], sums["sum_runs"], sums["sum_llm_calls"]) == (500, 1000, 1000)
    heads = system.heads.newest(limit=1000)
    assert (len(heads), {(head.version, head.lease, head.waiting) for head in heads}) == (500, {(2, None, ())})
    now = system.recorder.clock.now()
    used = {system.ledger.used(Account.of_session("default", f"s{n}", "runs"), None, now) for n in range(500)}
    assert used == {2}
    for head in heads[::50]:
        assert head.history is not None
        said = collect(system.store.read(head.history.run)).path(head.history.seq)
        assert [message.role for message in said] == ["user", "assistant"] * 2
    [open_runs] = system.store.find(Query("runs", (Where("status", "ne", "completed"),), measures=measures[:1])).rows
    assert open_runs["count"] == 0
