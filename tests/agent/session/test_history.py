from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tachograph.agent.session.history import NOT_KEPT, NOWHERE, conversation, hidden
from tachograph.agent.session.session import Session
from tachograph.agent.transcript import INTERRUPTED, check
from tachograph.compose import System
from tachograph.errors import HistoryMissing
from tachograph.events.chat import HIDDEN, ToolUse, assistant, user
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tachograph.record import scope
from tachograph.settings import Settings
from tachograph.store.sessions.head import Changes, Taken
from tachograph.testing import capture
from tests.agent.running import agent
from tests.agent.session.conftest import elsewhere, texts

pytestmark = pytest.mark.anyio


async def test_redaction_changes_what_another_process_reads(system: System) -> None:
    """A secret in what the user said is masked in the log; the process that heard it still has it."""
    session = Session("s")
    said = "my key is sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD"
    await session.ask(agent(["thanks"]), said)
    async with session.turn() as turn:
        assert turn.history[0].text == said
    [masked, thanks] = await texts(session)
    assert (masked != said, masked[:10], thanks) == (True, said[:10], "thanks")


async def test_masked_arguments_are_told(system: System) -> None:
    """A conversation whose calls are recorded without their values names the tools."""
    from tachograph.agent.tools.tool import Tool

    def pin(code: str) -> str:
        """Check a pin."""
        return "right"

    session = Session("s")
    tools = [Tool.of(pin, redact=("code",))]
    await session.ask(agent([Call("pin", {"code": "1234"}), "ok"], tools=tools), "1234?")
    elsewhere(session)
    async with session.turn() as turn:
        assert (turn.hidden, turn.history[1].tool_calls[0].arguments) == (("pin",), f'{{"code":"{HIDDEN}"}}')
    assert hidden([user("x"), assistant("", ToolUse("1", "a", "{}"))]) == ()


@pytest.mark.parametrize("capture_level", ["none", "hashed"])
async def test_content_that_was_not_kept_is_a_typed_error(tmp_path: Path, capture_level: Any, caplog: Any) -> None:
    """This process goes on and says once that no other can; another one is told why, and may go on all the same."""
    system = System(Settings(home=tmp_path, store=f"sqlite:{tmp_path}/a.db", capture=capture_level))
    before = scope.use(lambda: system.recorder)
    try:
        session = Session("s")
        for n in range(2):
            await session.ask(agent([f"a{n}"]), f"q{n}")
        assert [f"capture={capture_level}" in record.message for record in caplog.records] == [True]
        async with session.turn() as turn:
            assert [message.text for message in turn.history] == ["q0", "a0", "q1", "a1"]
        elsewhere(session)
        with pytest.raises(HistoryMissing, match=f"not kept .capture={capture_level}.*accept_missing=True"):
            await session.ask(agent([]), "q2")
        head = session.head()
        assert head is not None
        assert head.lease is None
        async with Session("s", accept_missing=True).turn() as turn:
            assert [(message.role, message.text) for message in turn.history] == [
                ("user", NOT_KEPT), ("assistant", NOT_KEPT)
            ] * 2  # fmt: skip
    finally:
        scope.use(before)
        system.close()


async def test_results_whose_call_was_not_kept_are_left_out(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """What is missing in the middle leaves a conversation that a provider takes."""
    session = Session("s", accept_missing=True)
    large = "x" * 12_000
    script = ScriptedModel([Say(large, calls=(Call("add", {"a": 1, "b": 2}), Call("same", {}))), "end"])
    await session.ask(agent(script), "go")
    assert system.worker.flush()
    fetch = system.store.fetch
    small = 10_000
    monkeypatch.setattr(
        system.store, "fetch", lambda hashes: {name: it for name, it in fetch(hashes).items() if len(it) < small}
    )
    elsewhere(session)
    async with session.turn() as turn:
        check(turn.history)
        assert [message.text for message in turn.history] == ["go", NOT_KEPT, "end"]


async def test_a_run_that_is_gone_cannot_be_read(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was erased, or that never came: a typed error after a while, or nothing if that is accepted."""
    monkeypatch.setattr("tachograph.agent.session.history.LATE_SECONDS", 0.05)
    session = Session("s")
    found = await session.ask(agent(["one"]), "a")
    system.store.erase([found.run_id or ""], 1)
    elsewhere(session)
    with pytest.raises(HistoryMissing, match=f"of run {found.run_id} is not in the store"):
        await session.ask(agent([]), "b")
    assert await texts(Session("s", accept_missing=True)) == []


async def test_a_conversation_that_was_recorded_nowhere_stays_in_this_process() -> None:
    """Without a store that answers, or without a recorder: this process goes on, any other one is told."""
    with capture() as events:
        session = Session("s")
        for n in range(2):
            assert (await session.ask(agent([f"a{n}"]), f"q{n}")).answer == f"a{n}"
        async with session.turn() as turn:
            assert len(turn.history) == 4
        assert len(events) > 0
        head = session.head()
        assert head is not None
        lost = session.local.heads
        found = lost.acquire(("default", "n"), 1, 10)
        assert isinstance(found, Taken)
        gone = lost.commit(("default", "n"), found.head.epoch, 0, Changes(history=NOWHERE), 1)
        with pytest.raises(HistoryMissing, match="could not be recorded"):
            conversation(session.system, gone, accept=False)
        assert conversation(session.system, gone, accept=True) == ()


async def test_a_store_that_answers_nothing_is_led_by_one_process(tmp_path: Path, caplog: Any) -> None:
    """Sessions of a store in memory go on as long as their process lives."""
    system = System(Settings(home=tmp_path, store="memory:"))
    before = scope.use(lambda: system.recorder)
    try:
        session = Session("s")
        await session.ask(agent(["a0"]), "q0")
        assert "answers no questions" in caplog.records[0].message
        async with session.turn() as turn:
            assert len(turn.history) == 2
        elsewhere(session)
        with pytest.raises(HistoryMissing, match="only the process that led it knows it"):
            await session.ask(agent([]), "q1")
    finally:
        scope.use(before)
        system.close()


async def test_what_a_dead_writer_did_is_closed_as_interrupted(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run was recorded and not committed: the next turn goes on from there, or, if so wanted, from the commit."""
    session, stopped = Session("s"), asyncio.Event()
    await session.ask(agent(["one"]), "a")
    for recover in (False, True):
        task = asyncio.create_task(session.ask(agent([Call("hang", {})], tools=[_hanging(stopped)]), "b"))
        await stopped.wait()
        stopped.clear()
        run = (session.head() or pytest.fail("no head")).unfinished[-1]
        # Nothing of the turn's end reaches the head: as if the process had died.
        monkeypatch.setattr(session.local.heads, "commit", _gone)
        monkeypatch.setattr(session.local.heads, "release", lambda *_: False)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        assert session.local.heads.renew({}, 0, 0) == {}
        head = session.head()
        assert head is not None
        assert head.unfinished == (run,)
        later = (head.lease.until if head.lease else 0) + 1
        monkeypatch.setattr(system.recorder, "clock", system.recorder.clock._replace(now=partial(int, later)))
        async with Session("s", recover=recover).turn() as turn:
            check(turn.history)
            said = [message.text for message in turn.history]
            assert said == (["a", "one", "b", "", INTERRUPTED] if recover else ["a", "one"])
        monkeypatch.undo()


def _hanging(stopped: asyncio.Event) -> Any:
    async def hang() -> str:
        """Hang."""
        stopped.set()
        await asyncio.sleep(30)
        return "never"

    return hang


def _gone(*_: object) -> None:
    raise OSError("the process is gone")


async def test_who_reads_moves_what_is_still_in_journals(url: str, tmp_path: Path) -> None:
    """Another process died before its drain had moved anything: what it committed is read all the same."""
    home = tmp_path / "home"
    writing = System(Settings(home=home, store=url, drain=False))
    before = scope.use(lambda: writing.recorder)
    await Session("s").ask(agent(["one"]), "a")
    writing.close()
    reading = System(Settings(home=home, store=url))
    scope.use(lambda: reading.recorder)
    try:
        assert await texts(Session("s")) == ["a", "one"]
    finally:
        scope.use(before)
        reading.close()
