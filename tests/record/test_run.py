"""Runs: what they are told, and how they end."""

from __future__ import annotations

import pytest

from tachograph import LimitExceeded, LLMCall, run, step
from tachograph.events.content import inline
from tachograph.events.message import MessageAppended
from tachograph.events.run import RunEnded, RunStarted
from tachograph.testing import Captured
from tests.record.shapes import ends


def test_a_run_records_everything_it_was_told(events: Captured) -> None:
    """All facts of the trigger are in the start, the output and reason in the end; seqs have no gap."""
    with run(
        "desk", session="s", user="u", tenant="t", tags=["a"], metadata={"k": 1}, version="2", environment="prod",
        platform="whatsapp", agent_type="support", action_type="answer", refs={"report_id": "r"},
        execution_id="ticket 7", input="hello", traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    ) as desk:  # fmt: skip
        desk.output = "bye"
    started, ended = (event.body for event in events)
    assert started == RunStarted(
        name="desk", execution_id="ticket 7", session="s", user="u", tenant="t", tags=("a",),
        metadata=inline('{"k":1}'), version="2", environment="prod", platform="whatsapp", agent_type="support",
        action_type="answer", refs={"report_id": "r"}, input=inline('"hello"'), trace_id="a" * 32,
        trace_parent="b" * 16, owner=started.owner,
    )  # fmt: skip
    assert ended == RunEnded(status="completed", stop_reason="final_answer", output=inline('"bye"'))
    assert ([event.seq for event in events], desk.id, desk.execution_id) == ([0, 1], events[0].run, "ticket 7")


def test_a_grouping_id_is_masked_unless_it_was_made_here(events: Captured) -> None:
    """A program may hand on one of ours, which is a number and a time; any other text may hold a secret."""
    with run("a") as one:
        pass
    key = "sk-proj-" + "a1B2c3D4" * 6
    with run("b", execution_id=one.execution_id) as two, run("c", execution_id=key) as three:
        pass
    assert (two.execution_id, three.execution_id) == (one.execution_id, "[redacted:openai_key]")


def test_a_run_can_be_the_child_of_one_that_does_not_surround_it(events: Captured) -> None:
    """By its handle or by the id of one of its steps; inside another run that one is not its parent."""
    lead = run("lead", session="s")
    lead.enter(None)
    with step("delegate", below=lead) as at:
        pass
    with run("other"), run("worker", below=at):
        pass
    lead.leave()
    child = events.of(RunStarted)[2].body
    assert (child.parent_run, child.parent_step, child.session) == (lead.run_id, at.number, "s")
    with run("late", below=lead.id):
        pass
    assert events.of(RunStarted)[3].body.parent_run is None


def test_a_run_inside_a_run_is_its_child(events: Captured) -> None:
    """The child names the step that started it, keeps the session and the trace."""
    with run("lead", session="s") as lead, step("delegate", kind="delegation") as at, run("worker"):
        pass
    child = events.of(RunStarted)[1].body
    assert (child.parent_run, child.parent_step, child.session) == (lead.run_id, at.number, "s")
    assert child.trace_id == (lead.run_id or "").replace("-", "")


def test_how_runs_end(events: Captured) -> None:
    """Status and stop reason follow the exception, or what the program said."""
    with run("a") as said:
        said.stop("failed", "tool_loop")
    with pytest.raises(ZeroDivisionError), run("b"):
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt), run("c"):
        raise KeyboardInterrupt
    with pytest.raises(LimitExceeded), run("d"):
        raise LimitExceeded("cost_budget", 1, 1, 1)
    with run("e") as thrown:
        thrown.discarded = True
    found = [(body.status, body.stop_reason, body.discarded) for body in (e.body for e in events.of(RunEnded))]
    assert found == [
        ("failed", "tool_loop", False), ("failed", "internal_error", False), ("cancelled", "signal", False),
        ("failed", "cost_budget", False), ("completed", "", True),
    ]  # fmt: skip


def test_steps_that_outlive_their_run_are_abandoned_with_it(events: Captured) -> None:
    """The run closes what is open; the late end is not recorded again."""
    with run("desk"):
        late = step("late").__enter__()
    late.__exit__(None, None, None)
    assert ends(events) == [(1, "abandoned"), (0, "completed")]


def test_how_a_conversation_stands_is_recorded_once(events: Captured) -> None:
    """Only what no request has shown is appended, behind what was; after the end of the run nothing is."""
    asked, reply, more = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"content": "c"}
    with run("chat") as chat:
        assert chat.transcribe([]) is None
        with step(LLMCall("m", [asked])) as call:
            call.reply = reply
        shown = [event.seq for event in events.of(MessageAppended)]
        assert chat.transcribe([asked, reply]) == shown[-1]
        last = chat.transcribe([asked, reply, more])
        assert chat.transcribe([asked, reply, more]) == last
        with step(LLMCall("m", [asked, reply, more])):
            pass
    appended = events.of(MessageAppended)
    assert [(event.seq, event.body.parent) for event in appended] == [
        (shown[0], None), (shown[1], shown[0]), (last, shown[1])
    ]  # fmt: skip
    assert (chat.transcribe([asked]), run("never").transcribe([asked])) == (None, None)


def test_a_conversation_that_cannot_be_recorded_breaks_nothing(events: Captured) -> None:
    """Whatever a message is, the program goes on, and the recorder counts it."""
    with run("chat") as chat:
        assert chat.transcribe(5) is None  # type: ignore[arg-type]  # on purpose
    assert events.of(MessageAppended) == []
