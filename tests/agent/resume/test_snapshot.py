from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tachograph import compose
from tachograph.agent.recorded import RecordedState
from tachograph.agent.reminders import Reminder
from tachograph.agent.resume.snapshot import VERSION, Snapshot, snapshot
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.agent.transcript import INTERRUPTED
from tachograph.errors import CodecError, InvalidParameter, NotFound
from tachograph.events.chat import HIDDEN
from tachograph.events.note import Note
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import Call, Say, ScriptedModel
from tests.agent.resume.recorded import recording
from tests.agent.running import add, agent, same

pytestmark = pytest.mark.anyio


async def test_a_snapshot_is_where_the_run_stood() -> None:
    """Conversation, loop, counters, tools, reminders, at the end and at any event before it."""
    reminders = [Reminder("Mind the gap.", name="gap")]
    script = [Call("add", {"a": 1, "b": 2}), "three"]
    done = await agent(script, instructions="Add.", reminders=reminders).run("go", session="s", user="u")
    whole = snapshot(done.execution_id or "")
    assert (whole.run, whole.seq, whole.status, whole.stop_reason) == (
        done.run_id, done.last_seq, "completed", "final_answer",
    )  # fmt: skip
    assert (whole.agent, whole.session, whole.user, whole.tools) == ("calc", "s", "u", ("add", "same"))
    assert [message.text for message in whole.state.messages] == ["Add.", "go", "", "3", "three"]
    assert (whole.totals["attempts"], whole.totals["tool_calls"]) == (2, 1)
    assert whole.reminding.given["gap"].times == 2
    assert whole.warnings == ("tools, hooks and other functions are code: a program that goes on brings them",)
    events = recording(done.execution_id or "").events
    half = snapshot(done.execution_id or "", next(e.seq for e in events if type(e.body).__name__ == "ToolStarted"))
    assert [message.text for message in half.state.messages] == ["Add.", "go", ""]
    assert [call.name for call in half.state.open] == ["add"]
    assert half.warnings[0] == "calls without a result: add"
    assert (half.status, half.totals["attempts"]) == ("started", 1)


async def test_delegates_are_in_the_snapshot_as_far_as_they_had_come() -> None:
    """A run that a tool began is a child, and is not there before it began."""
    inner = agent(["inner answer"], name="inner")

    async def child() -> str:
        return (await inner.run("sub")).answer or ""

    done = await agent([Call("child"), "done"], tools=[child]).run("go")
    whole = snapshot(done.execution_id or "")
    assert [(one.agent, one.status, one.state.messages[-1].text) for one in whole.children] == [
        ("inner", "completed", "inner answer")
    ]
    assert snapshot(done.execution_id or "", 2).children == ()


async def test_what_was_masked_is_a_warning() -> None:
    """Arguments that are not recorded cannot be given back, and the snapshot says so."""
    tool = Tool.of(add, redact=("b",))
    done = await agent([Call("add", {"a": 1, "b": 2}), "3"], tools=[tool]).run("go")
    found = snapshot(done.execution_id or "")
    assert HIDDEN in found.state.messages[1].tool_calls[0].arguments
    assert found.warnings[0] == "arguments were masked when they were recorded: of add"


async def test_what_was_not_kept_is_refused_unless_accepted(tmp_path: Any) -> None:
    """Without contents there is no conversation to read back; accepted, each thing that is missing has a warning."""
    system = compose.configure(home=tmp_path / "silent", capture="none", drain_interval=0.02)
    done = await agent([Call("add", {"a": 1, "b": 2}), "3"]).run("go")
    with pytest.raises(CodecError, match="not kept"):
        snapshot(done.execution_id or "")
    found = snapshot(done.execution_id or "", accept=True)
    assert {message.text for message in found.state.messages} == {"[not kept]"}
    assert any("not kept" in warning for warning in found.warnings)
    system.close()


async def test_what_cannot_be_asked_for() -> None:
    """An execution that is not there, an event that the run has not, bytes that are no snapshot or of tomorrow."""
    done = await agent(["hi"]).run("go")
    with pytest.raises(NotFound, match="exec_none"):
        snapshot("exec_none")
    with pytest.raises(InvalidParameter, match="0 to"):
        snapshot(done.execution_id or "", 10_000)
    with pytest.raises(CodecError, match="no snapshot"):
        Snapshot.restore(b"{}")
    later = msgspec.json.encode({"version": VERSION + 1})
    with pytest.raises(CodecError, match=f"version {VERSION + 1}"):
        Snapshot.restore(later)


async def test_a_later_version_reads_what_an_earlier_wrote() -> None:
    """Fields that a snapshot has not are at their defaults, and fields that nobody knows any more are passed over."""
    done = await agent(["hi"]).run("go")
    plain = msgspec.json.decode(snapshot(done.execution_id or "").dump())
    del plain["totals"], plain["children"]
    plain["gone"] = {"since": "yesterday"}
    found = Snapshot.restore(msgspec.json.encode(plain))
    assert (found.totals, found.children, found.state.messages[-1].text) == ({}, (), "hi")


async def test_a_run_may_begin_where_a_snapshot_stands() -> None:
    """From its JSON alone: the conversation goes on in a run of its own."""
    done = await agent([Call("add", {"a": 1, "b": 2}), "three"], instructions="Add.").run("go", session="s")
    restored = Snapshot.restore(snapshot(done.execution_id or "").dump())
    model = ScriptedModel(["and four"])
    found = await agent(model, instructions="Other words.").run("More?", **restored.call())
    texts = [message.text for message in model.requests[0].messages]
    assert texts == ["Add.", "go", "", "3", "three", "More?"]
    assert (found.answer, found.session, found.iterations, found.run_id == done.run_id) == ("and four", "s", 1, False)


async def test_calls_that_had_begun_are_not_made_again() -> None:
    """Of a reply in the middle: what came of a call is known, the others are interrupted, and a prompt may follow."""
    done: list[int] = []

    async def pay(amount: int) -> str:
        done.append(amount)
        return f"paid {amount}"

    tools = [Tool.of(pay, classification="write", sequential=True)]
    both = Say(calls=(Call("pay", {"amount": 5}), Call("pay", {"amount": 6})))
    outcome = await agent([both, "paid"], tools=tools).run("go")
    events = recording(outcome.execution_id or "").events
    ended = next(event.seq for event in events if isinstance(event.body, ToolEnded))
    half = Snapshot.restore(snapshot(outcome.execution_id or "", ended).dump())
    found = await agent(["ok"], tools=tools).run(None, **half.call())
    assert [message.text for message in found.messages] == ["go", "", "paid 5", INTERRUPTED, "ok"]
    begun = next(event.seq for event in events if isinstance(event.body, ToolStarted)) - 1
    found = await agent(["ok"], tools=tools).run("Stop.", **snapshot(outcome.execution_id or "", begun).call())
    assert [message.text for message in found.messages] == ["go", "", INTERRUPTED, INTERRUPTED, "Stop.", "ok"]
    assert done == [5, 6]


REPLIES = some.sampled_from([Call("add", {"a": 1, "b": 2}), [Call("same"), Call("keep", {"text": "x"})], "", "17"])


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(script=some.lists(REPLIES, min_size=1, max_size=5))
def test_a_snapshot_at_any_event_survives_json(script: list[Any]) -> None:
    """`dump(restore(x)) == x` for every position of a run, and the state in it is the fold up to there."""

    async def keep(text: str, context: ToolContext) -> str:
        context.keep("noted", text)
        return "kept"

    one = agent([*script, "1"] * 4, tools=[add, same, keep], output=int, limits="5 turns")
    done = asyncio.run(one.run("go"))
    whole = recording(done.execution_id or "")
    recorded = RecordedState(whole.store.fetch)
    for event in whole.events:
        recorded.apply(event)
        data = snapshot(whole.run, event.seq, store=whole.store).dump()
        assert Snapshot.restore(data).dump() == data
        assert Snapshot.restore(data).state == recorded.state
    kept = [e.body for e in whole.events if isinstance(e.body, Note) and e.body.name == "kept"]
    assert recorded.state.scratch == ({"noted": "x"} if kept else {})
