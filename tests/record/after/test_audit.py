from __future__ import annotations

from tachograph.compose import admitter_for, scrubber_for
from tachograph.events import ids
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import AUDIT, RunEnded, RunStarted
from tachograph.queries.stats import stats
from tachograph.record.after.audit import audit, keep
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query
from tests.strategies import BEGAN


def test_an_audit_run_is_three_events() -> None:
    """Start, what was done, end: all at the same moment, with an id made of the time and the entropy given."""
    events = audit("pruned", {"runs": 3, "rule": "old"}, at=BEGAN, entropy=b"sixsix", tenant="acme", user="ada")
    run = ids.run_id(BEGAN, b"sixsix")
    execution = ids.execution_id(BEGAN, run)
    note = Note(name="pruned", data=Content(text='{"rule":"old","runs":3}', size=23))
    assert events == (
        Event(
            run, 0, BEGAN, BEGAN, 0,
            RunStarted(name="pruned", execution_id=execution, source=AUDIT, tenant="acme", user="ada"),
        ),
        Event(run, 1, BEGAN, BEGAN, 0, note),
        Event(run, 2, BEGAN, BEGAN, 0, RunEnded(status="completed")),
    )  # fmt: skip


def test_a_limit_stands_as_it_is() -> None:
    """What is already an event needs no note around it; tags tell runs of one thing apart."""
    hit = LimitHit(metric="cost", mode="warn", used=2.0, threshold=1.0)
    start, said, _ = audit("alert", hit, at=BEGAN, entropy=bytes(6), tags=("alert:spend",))
    assert (start.body.tags, said.body) == (("alert:spend",), hit)


def test_audit_runs_are_kept_and_counted_nowhere() -> None:
    """Through the gate into the store: a run that can be asked for, secrets masked, and nothing in any sum."""
    store, settings = MemoryStore(), Settings()
    admitter = admitter_for(settings, store, scrubber_for(settings))
    secret = "sk-ant-api03-" + "a1B2" * 24 + "-AA"
    keep(store, admitter, audit("key_added", {"name": secret}, at=BEGAN, entropy=bytes(6)))
    [run] = store.find(Query("runs", columns=("id", "name", "source", "status"))).rows
    assert {**run, "id": ""} == {"id": "", "name": "key_added", "source": AUDIT, "status": "completed"}
    [_, note, _] = store.read(run["id"])
    assert note.body.data.value() == {"name": "[redacted:anthropic_key]"}
    assert stats(store, BEGAN + 10**12).total.runs.count == 0
    assert store.find(Query("steps")).rows == []
    assert dict(note.body.data.redacted or {}) == {"anthropic_key": 1}
