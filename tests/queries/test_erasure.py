from __future__ import annotations

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events.note import Score
from tachograph.queries import erasure as module
from tachograph.queries.erasure import erasure
from tachograph.record.after.feedback import About, feedback
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import EXECUTION, RUN, planner
from tests.strategies import BEGAN, Tape


def test_one_run(store: Store) -> None:
    """An execution of one run takes that run, and says how many rows of the two tables go with it."""
    store.append(batch(planner().events))
    found = erasure(store, EXECUTION)
    assert (found.runs, found.by_tenant) == ((RUN,), {"default": (RUN,)})
    assert (found.execution_logs, found.llm_call_logs, found.tool_calls) == (2, 1, 1)
    assert found.events == store.next_seq(RUN)


@pytest.mark.parametrize("together", [1, 500])
def test_everything_below(store: Store, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """All runs with the id go, and those below them at any depth: other executions, feedback; circles are gone once."""
    monkeypatch.setattr(module, "_TOGETHER", together)
    top, second, below, deepest, other = (Tape(name, at=BEGAN + n) for n, name in enumerate("abcde"))
    top.begin(parent_run=deepest.run)
    second.begin(tenant="acme")
    named = msgspec.structs.replace(second.events[0].body, execution_id=top.events[0].body.execution_id)
    second.events[0] = msgspec.structs.replace(second.events[0], body=named)
    below.begin(parent_run=top.run, parent_step=0)
    below.reply(below.call())
    deepest.begin(parent_run=below.run)
    deepest.step()
    other.begin()
    execution = top.events[0].body.execution_id
    about = About(run=top.run, execution_id=execution, tenant="default", session=None)
    said = feedback(Score(name="x"), about, at=BEGAN + 9, entropy=b"123456")
    store.append(batch(*(tape.events for tape in (top, second, below, deepest, other)), said))
    found = erasure(store, execution)
    assert found.runs[:2] == (top.run, second.run)
    assert set(found.runs[2:]) == {below.run, deepest.run, said[0].run}
    assert len(found.runs) == 5
    assert found.by_tenant == {"acme": (second.run,), "default": tuple(run for run in found.runs if run != second.run)}
    assert (found.execution_logs, found.llm_call_logs) == (5, 1)


def test_conversations_and_what_goes_on(store: Store) -> None:
    """Of a run that is open, and of one in a session, it says so."""
    top, below = Tape("top", at=BEGAN), Tape("below", at=BEGAN + 1)
    top.begin(session="ticket-1")
    below.begin(parent_run=top.run, session="ticket-1")
    below.finish()
    store.append(batch(top.events, below.events))
    found = erasure(store, top.events[0].body.execution_id)
    assert (found.open, found.sessions) == (1, (("default", "ticket-1"),))


def test_what_another_tenant_says_it_was_started_by(store: Store) -> None:
    """A run that names this one as its parent, and is another tenant's, stays."""
    mine, theirs = Tape("mine"), Tape("theirs")
    mine.begin()
    theirs.begin(tenant="acme", parent_run=mine.run)
    store.append(batch(mine.events, theirs.events))
    assert erasure(store, mine.events[0].body.execution_id).runs == (mine.run,)


@pytest.mark.parametrize("name", ["exec_unknown", ""])
def test_no_such_execution(store: Store, name: str) -> None:
    """An id that no run has is not found."""
    store.append(batch(planner().events))
    with pytest.raises(NotFound, match=f"no execution has the id '{name}'"):
        erasure(store, name)


def test_an_audit_run(store: Store) -> None:
    """What was done to the records cannot be erased by the id of its run."""
    tape = Tape("audit")
    tape.begin(source="audit")
    store.append(batch(tape.events))
    with pytest.raises(NotFound):
        erasure(store, tape.events[0].body.execution_id)
