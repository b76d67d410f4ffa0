"""Runs: what they are told, and how they end."""

from __future__ import annotations

import pytest

from tachograph import LimitExceeded, run, step
from tachograph.events.content import inline
from tachograph.events.run import RunEnded, RunStarted
from tachograph.testing import Captured
from tests.record.shapes import ends


def test_a_run_records_everything_it_was_told(events: Captured) -> None:
    """All facts of the trigger are in the start, the output and reason in the end; seqs have no gap."""
    with run(
        "desk", session="s", user="u", tenant="t", tags=["a"], metadata={"k": 1}, version="2", environment="prod",
        platform="whatsapp", agent_type="support", input="hello", traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    ) as desk:  # fmt: skip
        desk.output = "bye"
    started, ended = (event.body for event in events)
    assert started == RunStarted(
        name="desk", execution_id=desk.execution_id or "", session="s", user="u", tenant="t", tags=("a",),
        metadata=inline('{"k":1}'), version="2", environment="prod", platform="whatsapp", agent_type="support",
        input=inline('"hello"'), trace_id="a" * 32, trace_parent="b" * 16, owner=started.owner,
    )  # fmt: skip
    assert ended == RunEnded(status="completed", stop_reason="final_answer", output=inline('"bye"'))
    assert ([event.seq for event in events], desk.id) == ([0, 1], events[0].run)


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
