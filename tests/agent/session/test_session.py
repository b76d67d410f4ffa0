from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.session.session import Session
from tachograph.agent.transcript import check
from tachograph.compose import System
from tachograph.errors import (
    LimitExceeded,
    ModelError,
    SessionBusy,
    SessionClosed,
    SessionConflict,
    SessionHandedOff,
    SettingsError,
)
from tachograph.events.account import Account
from tachograph.limits.limit import Limits
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.store.query import Query, Where
from tests.agent.running import agent
from tests.agent.session.conftest import elsewhere, texts, until_running

pytestmark = pytest.mark.anyio
SLOW = Say("late", seconds=30)


def run_row(system: System, run_id: str | None) -> Any:
    """A run as the store has it."""
    assert system.worker.flush()
    [row] = system.store.find(Query("runs", (Where("id", "eq", run_id),), limit=1)).rows
    return row


async def test_what_was_said_is_read_from_the_log(system: System) -> None:
    """A second ask, in a process that knows nothing, goes on from the first; both are runs of the session."""
    session = Session("s", user="ada", platform="web", refs={"report_id": "7"})
    model = ScriptedModel([Call("add", {"a": 1, "b": 2}), "three", "again three"])
    one = agent(model, instructions="Add.")
    first = await session.ask(one, "1 + 2?")
    elsewhere(session)
    second = await session.ask(one, "sure?")
    assert (first.answer, second.answer, second.session) == ("three", "again three", "s")
    assert model.requests[2].messages[:5] == (*model.requests[1].messages, first.messages[-1])
    assert second.messages[:-2] == first.messages
    head = session.head()
    assert head is not None
    assert (head.version, head.agent, head.user, head.platform, head.refs, head.lease, head.unfinished) == (
        2, "calc", "ada", "web", {"report_id": "7"}, None, ()
    )  # fmt: skip
    assert await texts(session) == ["1 + 2?", "", "3", "three", "sure?", "again three"]
    row = run_row(system, second.run_id)
    assert (row["session"], row["user"], row["platform"]) == ("s", "ada", "web")


async def test_the_end_of_a_conversation_is_readable_whatever_ended_it(system: System) -> None:
    """A run that a limit stopped right behind its tools keeps their results."""
    session = Session("s")
    found = await session.ask(agent([Call("add", {"a": 1, "b": 2})], limits="1 turn"), "go")
    assert (found.status, found.stop_reason) == ("failed", "max_iterations")
    elsewhere(session)
    async with session.turn() as turn:
        assert turn.history == found.messages
        assert [message.role for message in turn.history] == ["user", "assistant", "tool"]
        check(turn.history)


async def test_a_run_that_said_nothing_leaves_the_history_where_it_was(system: System) -> None:
    """The provider failed at once, or a limit refused the run: the next turn begins as if it had not been."""
    session = Session("s")
    await session.ask(agent(["one"]), "a")
    failed = await session.ask(agent([ModelError("auth", "no")]), "b")
    refused = await session.ask(agent([], limits="1 run/session"), "c")
    assert (failed.stop_reason, refused.stop_reason) == ("provider_error", "session_limit")
    with pytest.raises(LimitExceeded):
        await session.ask(agent([], limits=Limits(session_runs=1, modes={"session_runs": "raise"})), "d")
    assert await texts(session) == ["a", "one"]


async def test_asks_at_the_same_time_wait_for_each_other(system: System) -> None:
    """Three whole exchanges, in the order in which they came."""
    session = Session("s")
    one = agent(lambda request: Say("re " + request.messages[-1].text, seconds=0.05))
    await asyncio.gather(*(session.ask(one, f"q{n}") for n in range(3)))
    assert await texts(session) == ["q0", "re q0", "q1", "re q1", "q2", "re q2"]


async def test_who_cannot_wait_is_told_who_writes(system: System) -> None:
    """After the seconds that he waits: the process, and that nothing was done."""
    patient, hasty = Session("s"), Session("s", wait=0.05)
    handle = patient.start(agent([SLOW]), "a")
    await until_running(patient)
    with pytest.raises(SessionBusy, match=r"being written by process \d+ on .*, who did not end within 0.05 s"):
        await hasty.ask(agent([]), "b")
    head = patient.head()
    assert head is not None
    assert head.waiting == ()
    assert handle.cancel()
    assert (await handle.outcome()).stop_reason == "user_cancel"
    assert await texts(patient) == []


async def test_a_newer_message_supersedes_the_turn_in_progress(system: System) -> None:
    """Its reply is discarded and not billed, its outcome says so, and what the user said is kept before the newer."""
    session = Session("s")
    model = ScriptedModel([SLOW, "both"])
    older = asyncio.create_task(session.ask(agent(model), "where is it?"))
    await until_running(session)
    newer = await session.ask(agent(model), "I mean order 7", supersede=True)
    found = await older
    assert (found.status, found.stop_reason, found.answer, found.discarded) == ("cancelled", "superseded", None, True)
    assert (newer.answer, newer.discarded) == ("both", False)
    assert await texts(session) == ["where is it?", "I mean order 7", "both"]
    rows = [run_row(system, one.run_id) for one in (found, newer)]
    assert [(row["discarded"], row["billable"]) for row in rows] == [(True, False), (False, True)]


async def test_tools_that_were_not_started_do_not_start_when_superseded(system: System) -> None:
    """The first of two calls is called off, the second never begins, and neither is in the history."""
    begun, shipping = [], asyncio.Event()

    async def ship(number: int) -> str:
        """Ship an order."""
        begun.append(number)
        shipping.set()
        await asyncio.sleep(30)
        return "shipped"

    session = Session("s", keep_superseded=False)
    calls = [Call("ship", {"number": 1}), Call("ship", {"number": 2})]
    older = session.start(agent([calls], tools=[ship], parallel=1), "ship both")
    await shipping.wait()
    assert (await session.ask(agent(["ok"]), "stop", supersede=True)).answer == "ok"
    assert ((await older.outcome()).stop_reason, begun) == ("superseded", [1])
    assert await texts(session) == ["stop", "ok"]


async def test_superseding_calls_off_all_that_came_before(system: System) -> None:
    """Also turns that were waiting: the newest is answered with all that was said before it."""
    session = Session("s")
    script = ScriptedModel(lambda request: SLOW if len(request.messages) < 3 else "all")
    tasks = []
    for said in ("a", "b"):
        tasks.append(asyncio.create_task(session.ask(agent(script), said)))
        await asyncio.sleep(0.05)
    newest = await session.ask(agent(script), "c", supersede=True)
    assert [(await task).stop_reason for task in tasks] == ["superseded", "superseded"]
    assert (newest.answer, await texts(session)) == ("all", ["a", "b", "c", "all"])


async def test_a_turn_whose_lease_was_lost_is_not_committed(system: System) -> None:
    """It is called off, and what it said is nowhere."""
    session = Session("s")
    task = asyncio.create_task(session.ask(agent([SLOW]), "a"))
    await until_running(session)
    session.reset(history=True)
    found = await task
    assert (found.stop_reason, await texts(session)) == ("superseded", [])
    async with session.turn() as turn:
        session.reset(state=True)
        with pytest.raises(SessionConflict):
            await turn.commit(Outcome(status="completed", stop_reason="final_answer"))


async def test_a_blocked_event_loop_does_not_lose_its_lease(system: System) -> None:
    """A tool that holds up the loop for longer than the lease lasts: nobody else gets it."""
    blocked, tried = threading.Event(), []

    async def block() -> str:
        """Block."""
        blocked.set()
        time.sleep(1.0)  # noqa: ASYNC251 - what a careless tool does
        return "done"

    def hasty() -> None:
        blocked.wait(30)
        for _ in range(6):
            try:
                Session("s", wait=0.0).ask_sync(agent([]), "b")
            except SessionBusy as busy:
                tried.append(busy.session)
            time.sleep(0.1)

    thread = threading.Thread(target=hasty)
    thread.start()
    found = await Session("s", lease=0.3).ask(agent([Call("block", {}), "ok"], tools=[block]), "a")
    await asyncio.to_thread(thread.join)
    assert (found.answer, tried[:4]) == ("ok", ["s"] * 4)


async def test_an_ask_inside_of_its_own_turn_is_refused_at_once(system: System) -> None:
    """A tool that asks its own session would wait for itself; another session it may ask."""

    async def nested(other: bool) -> str:
        """Ask."""
        found = await Session("other" if other else "s").ask(agent(["inner"]), "x")
        return str(found.answer)

    script = [Call("nested", {"other": False}), Call("nested", {"other": True}), "end"]
    found = await Session("s").ask(agent(script, tools=[nested]), "go")
    assert "is being written by the turn that this is inside of" in found.messages[2].text
    assert found.messages[4].text == "inner"


async def test_a_session_that_was_handed_over_is_a_person_s(system: System) -> None:
    """Until it is reopened, a turn is refused unless the program says that it knows."""

    async def take(asked: object) -> None:
        """Tell somebody."""

    limits = Limits(iterations=1, modes={"iterations": "handoff"})
    session = Session("s")
    found = await session.ask(agent([Call("same", {})], limits=limits, hand_over=take), "a")
    assert (found.stop_reason, (session.head() or found).status) == ("human_handoff", "handed_off")
    with pytest.raises(SessionHandedOff):
        await session.ask(agent([]), "b")
    assert (await Session("s", allow_handed_off=True).ask(agent(["yes"]), "c")).answer == "yes"
    assert (session.reopen() or found).status == "active"
    assert (await session.ask(agent(["back"]), "d")).answer == "back"


async def test_a_closed_session_takes_no_turns(system: System) -> None:
    """It is told by a typed error; reopened it goes on where it was."""
    session = Session("s")
    assert (session.close(), session.reopen()) == (None, None)
    await session.ask(agent(["one"]), "a")
    session.close()
    with pytest.raises(SessionClosed):
        await session.ask(agent([]), "b")
    session.reopen()
    assert await texts(session) == ["a", "one"]


async def test_a_reset_lets_limits_allow_all_again(system: System) -> None:
    """The counters begin at 0; history and state go only if asked, and the log keeps everything."""
    session = Session("s")
    limited = agent(lambda request: "ok", limits="1 run/session")
    first = await session.ask(limited, "a", state={"n": 1})
    assert (await session.ask(limited, "b")).stop_reason == "session_limit"
    session.reset()
    account = Account.of_session("default", "s", "runs")
    assert system.ledger.used(account, None, system.recorder.clock.now()) == 0
    assert ((await session.ask(limited, "c")).answer, (session.head() or first).state) == ("ok", {"n": 1})
    session.reset(history=True, state=True)
    head = session.head()
    assert head is not None
    assert (head.history, head.state, head.agent, await texts(session)) == (None, {}, None, [])
    assert run_row(system, first.run_id)["status"] == "completed"


async def test_of_several_agents_the_one_speaks_who_spoke_last(system: System) -> None:
    """At first the first, unless one is named; a name that is none is refused."""
    desk, bills = agent(lambda request: "desk", name="desk"), agent(lambda request: "bills", name="bills")
    agents, session = {"front": desk, "money": bills}, Session("s")
    assert [(await session.ask(agents, "x")).answer for _ in range(2)] == ["desk", "desk"]
    assert (await session.ask(agents, "x", agent="money")).answer == "bills"
    assert ((await session.ask(agents, "x")).answer, (session.head()).agent) == ("bills", "money")
    assert (await session.ask({"front": desk}, "x")).answer == "desk"
    for given, wrong in ((agents, "nobody"), ({}, None)):
        with pytest.raises(SettingsError, match="agent="):
            await session.ask(given, "x", agent=wrong)


async def test_several_agents_may_be_a_list(system: System) -> None:
    """Their own names are what they are called; a name that none has is refused, of one agent, too."""
    desk, bills = agent(lambda request: "desk", name="desk"), agent(lambda request: "bills", name="bills")
    session = Session("s")
    assert (await session.ask([desk, bills], "x", agent="bills")).answer == "bills"
    assert ((await session.ask([desk, bills], "x")).answer, session.head().agent) == ("bills", "bills")
    wrong: Any
    for wrong, named in (
        ([desk, bills], "nobody"),
        (desk, "nobody"),
        ([], None),
        ([desk, desk], None),
        (["desk"], None),
    ):
        with pytest.raises(SettingsError, match="agent"):
            await session.ask(wrong, "x", agent=named)


@pytest.mark.parametrize("named", [False, True])
async def test_who_was_handed_to_goes_on_with_the_next_turn(system: System, named: bool) -> None:
    """With its own instructions, by an agent alone and by one with a name of the application's; unless told else."""
    bills = agent(lambda request: f"bills: {request.messages[0].text}", name="bills", instructions="Count.")
    model = ScriptedModel(lambda request: Call("handoff_to_bills") if request.messages[-1].text == "a" else "desk")
    desk = agent(model, name="desk", handoffs=[bills])
    given: Any = {"front": desk} if named else desk
    first = await Session("s").ask(given, "a")
    assert (first.answer, first.agent) == ("bills: Count.", "bills")
    second = await Session("s").ask(given, "b")
    assert (second.answer, second.agent, len(model.requests)) == ("bills: Count.", "bills", 1)
    assert (await Session("s").ask(given, "c", start="desk")).answer == "desk"
    assert (await Session("s").ask(given, "d")).answer == "desk"


async def test_what_was_said_before_the_caller_was_cancelled_is_kept(system: System) -> None:
    """A conversation that any provider takes: the call that was under way is closed."""

    async def hang() -> str:
        """Hang."""
        await asyncio.sleep(30)
        return "never"

    session = Session("s")
    task = asyncio.create_task(session.ask(agent([Call("hang", {})], tools=[hang]), "go"))
    await until_running(session)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    elsewhere(session)
    async with session.turn() as turn:
        check(turn.history)
        assert [message.role for message in turn.history] == ["user", "assistant", "tool"]


def test_programs_without_an_event_loop_ask_too(system: System) -> None:
    """One after the other, each on a loop of its own."""
    session = Session("s")
    answers = [session.ask_sync({"a": agent([f"re {n}"])}, f"q{n}").answer for n in range(2)]
    assert answers == ["re 0", "re 1"]
