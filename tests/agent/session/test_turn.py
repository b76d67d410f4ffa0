from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.agent.session.session import Session
from tachograph.agent.tools.approval import Pause
from tachograph.agent.tools.tool import Tool
from tachograph.compose import System
from tachograph.errors import SessionConflict, SettingsError, StoreUnavailable
from tachograph.events.chat import assistant, user
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.store.sessions.head import Taken
from tests.agent.running import add, agent
from tests.agent.session.conftest import elsewhere, texts, until_running

pytestmark = pytest.mark.anyio


async def test_a_turn_may_be_of_several_runs(system: System) -> None:
    """What is committed last stands; a turn without a commit is no part of the session."""
    session = Session("s")
    async with session.turn() as turn:
        assert (turn.agent, turn.state, turn.history, turn.hidden) == (None, {}, (), ())
        draft = await turn.run(agent(["draft"]), "write")
        better = await turn.run(agent(["better"]), "write well")
        assert draft.answer == "draft"
        head = await turn.commit(better, agent="writer", state={"n": 1})
        assert (turn.head, turn.agent, turn.state) == (head, "writer", {"n": 1})
        assert [message.text for message in turn.history] == ["write well", "better"]
    async with session.turn() as turn:
        await turn.run(agent(["gone"]), "never mind")
    assert await texts(session) == ["write well", "better"]
    assert (session.head() or head).unfinished == ()


async def test_a_program_may_run_the_agent_itself(system: System) -> None:
    """With the keywords of the turn; those that are the session's it may not give."""
    session = Session("s", user="ada", platform="web")
    one = agent(lambda request: f"re {request.messages[-1].text}")
    for said in ("a", "b"):
        async with session.turn() as turn:
            outcome = await one.run(said, **turn.call({"tags": ["x"]}))
            await turn.commit(outcome)
            with pytest.raises(SettingsError, match="history="):
                turn.call({"history": []})
    elsewhere(session)
    assert await texts(session) == ["a", "re a", "b", "re b"]


async def test_a_turn_that_was_superseded_begins_no_run(system: System) -> None:
    """What the user said is recorded all the same, and stands before the newer message."""
    session = Session("s")
    model = ScriptedModel([])
    async with session.turn() as turn:
        turn.told("superseded")
        outcome = await turn.run(agent(model), "older")
        assert (outcome.stop_reason, outcome.run_id, model.requests) == ("superseded", None, [])
        await turn.commit(outcome)
    assert await texts(session) == ["older"]
    assert (await session.ask(agent(["ok"]), "newer")).answer == "ok"
    assert await texts(session) == ["older", "newer", "ok"]


async def test_a_lost_lease_commits_nothing_though_the_run_ended_well(system: System) -> None:
    """Somebody else has it now."""
    session = Session("s")
    async with session.turn() as turn:
        outcome = await turn.run(agent(["one"]), "a")
        session.local.heads.release(turn.key, turn.epoch)
        other = session.local.heads.acquire(turn.key, 1, 1)
        assert isinstance(other, Taken)
        with pytest.raises(SessionConflict, match="the lease was lost"):
            await turn.commit(outcome)
    assert await texts(session) == []


async def test_it_is_called_off_once_however_often_it_is_told(system: System) -> None:
    """A run that ends in good order must not be cancelled again while it does."""
    session = Session("s")
    async with session.turn() as turn:
        task = asyncio.create_task(turn.run(agent([Say("late", seconds=30)]), "a"))
        await until_running(session)
        for fate in ("held", "superseded", "superseded", "lost", "superseded"):
            turn.told(fate)
        assert ((await task).stop_reason, turn.fate) == ("superseded", "lost")


async def test_a_file_that_is_away_holds_up_no_end(
    system: System, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """A lease that cannot be given back, and a run that cannot be noted, are logged; the answer is given."""
    session = Session("s")

    def away(*_: object) -> None:
        raise StoreUnavailable("sqlite:a", "locked")

    monkeypatch.setattr(session.local.heads, "begin", away)
    monkeypatch.setattr(session.local.heads, "release", away)
    assert (await session.ask(agent([Call("same", {}), "one"]), "a")).answer == "one"
    assert ["not known to others" in record.message or "given back" in record.message for record in caplog.records] == [
        True, True
    ]  # fmt: skip


async def test_a_turn_that_pauses_leaves_the_session_where_it_was(system: System) -> None:
    """Its call is still open, so it is no part of the history until it goes on; the state is kept."""
    session = Session("s")
    await session.ask({"desk": agent(["one"], name="desk")}, "a")
    careful = agent([Call("add", {"a": 1, "b": 2})], tools=[Tool.of(add, approve=True)], approve=Pause(), name="other")
    async with session.turn() as turn:
        outcome = await turn.run(careful, "b")
        assert (outcome.status, outcome.stop_reason) == ("paused", "approval")
        head = await turn.commit(outcome, agent="other", state={"n": 1})
    assert (head.agent, head.state, head.unfinished) == ("desk", {"n": 1}, (outcome.run_id,))
    assert await texts(session) == ["a", "one"]
    assert (await session.ask(agent(["two"]), "c")).answer == "two"
    assert await texts(session) == ["a", "one", "c", "two"]


async def test_a_paused_run_that_nobody_committed_is_no_interrupted_one(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its writer died right behind the pause: the next turn goes on from what was committed."""
    session = Session("s")
    await session.ask(agent(["one"]), "a")
    careful = agent([Call("add", {"a": 1, "b": 2})], tools=[Tool.of(add, approve=True)], approve=Pause())
    async with session.turn() as turn:
        await turn.run(careful, "b")
        monkeypatch.setattr(session.local.heads, "release", lambda *_: False)
    monkeypatch.undo()
    head = session.head() or pytest.fail("no head")
    session.local.heads.release(turn.key, turn.epoch, head.unfinished)
    assert len((session.head() or pytest.fail("no head")).unfinished) == 1
    assert await texts(session) == ["a", "one"]


async def test_delegates_remember_what_a_session_has_asked_them(system: System) -> None:
    """From turn to turn of one session, but not what was never committed, and nothing after a reset of its history."""
    session, worker = Session("s"), ScriptedModel(["1", "2", "3", "4"])
    lead = agent(
        lambda request: "ok" if request.messages[-1].role == "tool" else Call("ask_bills", {"message": "how much?"}),
        delegates=[agent(worker, name="bills")],
    )  # fmt: skip

    def known() -> list[int]:
        return [len(request.messages) for request in worker.requests]

    await session.ask(lead, "a")
    async with session.turn() as turn:
        await turn.run(lead, "never mind")
    await session.ask(lead, "b")
    assert known() == [1, 3, 3]
    session.reset(history=True)
    await session.ask(lead, "c")
    assert known() == [1, 3, 3, 1]


async def test_a_program_that_keeps_the_conversation_hands_it_over(system: System) -> None:
    """It is gone on from in place of what the log says, and stands in the log from then on."""
    session = Session("s")
    await session.ask(agent(["one"]), "a")
    async with session.turn(history=[user("x"), assistant("y")]) as turn:
        await turn.commit(await turn.run(agent(["two"]), "b"))
    assert await texts(session) == ["x", "y", "b", "two"]
