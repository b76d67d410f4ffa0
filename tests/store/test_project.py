from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import SequenceGap
from tachograph.events.call import CallMetered, CallRepriced
from tachograph.events.content import inline
from tachograph.events.envelope import Event
from tachograph.events.limit import LimitHit
from tachograph.events.note import Score
from tachograph.events.usage import Cost, Usage
from tachograph.store.changes import RunState
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch
from tachograph.store.project import following
from tachograph.store.query import Query
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import EXAMPLES, dump
from tests.queries.kept import batch
from tests.strategies import Tape, batches, broken_runs


@contextmanager
def both() -> Iterator[tuple[MemoryStore, SqliteStore]]:
    """The specification, and the store that must agree with it."""
    with tempfile.TemporaryDirectory() as folder:
        memory, sqlite = MemoryStore(), SqliteStore(Path(folder) / "agree.db")
        yield memory, sqlite
        sqlite.close()


@EXAMPLES
@given(events=batches(), more=batches(), data=st.data())
def test_both_backends_hold_the_same(events: Sequence[Event], more: Sequence[Event], data: st.DataObject) -> None:
    """Batches, replacements and rebuilds leave the same rows in memory and in SQLite, numbers included."""
    with both() as stores:
        for store in stores:
            store.append(batch(events[: len(events) // 2]))
            store.append(batch(events[len(events) // 2 :]))
        gone = data.draw(st.frozensets(st.sampled_from(sorted({event.run for event in events}) or ["none"])))
        sound = [event for event in more if event.run in gone or event.run not in {old.run for old in events}]
        for store in stores:
            store.append(batch(sound, replace=gone))
        assert dump(stores[1]) == dump(stores[0])
        for store in stores:
            store.rebuild()
        assert dump(stores[1]) == dump(stores[0])


@EXAMPLES
@given(events=broken_runs())
def test_damaged_streams_project_alike(events: list[Event]) -> None:
    """Lost starts, doubled ends, wrong parents and clocks that step back: no error, the same rows, the same rebuilt."""
    numbered = [msgspec.structs.replace(event, seq=seq) for seq, event in enumerate(events)]
    with both() as stores:
        for store in stores:
            for start in range(0, len(numbered), 5):
                store.append(batch(numbered[start : start + 5]))
        before = dump(stores[0])
        assert dump(stores[1]) == before
        for store in stores:
            store.rebuild()
            assert dump(store) == before


def _rows(tape: Tape, table: str, *columns: str) -> list[dict[str, Any]]:
    store = MemoryStore()
    store.append(batch(tape.events))
    return [dict(row) for row in store.find(Query(table, columns=columns)).rows]


def test_metadata_of_start_and_end_is_one() -> None:
    """Two objects are merged, the end's keys winning; anything else is what came last."""
    tape = Tape()
    tape.begin()
    tape.done(tape.step(metadata=inline('{"a":1,"b":1}')), metadata=inline('{"b":2}'))
    tape.reply(tape.call(metadata=inline('{"a":1}')), metadata=inline("[2]"))
    tape.result(tape.tool(metadata=inline('{"a":1}')))
    assert [row["metadata"] for row in _rows(tape, "steps", "metadata")] == [None, '{"a":1,"b":2}', "[2]", '{"a":1}']


def test_application_ids_have_columns() -> None:
    """The four known references stand in columns of their own, the others together as JSON."""
    tape = Tape()
    tape.begin()
    tape.step(refs={"report_id": "r", "completion_id": "c", "widget_id": "w", "step_id": "s", "z": "1", "ticket": "2"})
    names = ("report_id", "completion_id", "widget_id", "step_ref", "refs")
    assert _rows(tape, "steps", *names)[1] == dict(
        zip(names, ("r", "c", "w", "s", '{"ticket":"2","z":"1"}'), strict=True)
    )


def test_a_run_has_an_action_and_application_ids() -> None:
    """They stand in the row of the run's own step."""
    tape = Tape()
    tape.begin(action_type="generate_plan", refs={"report_id": "r", "completion_id": "c", "ticket": "2"})
    names = ("step", "action_type", "report_id", "completion_id", "refs")
    assert _rows(tape, "steps", *names) == [
        dict(zip(names, (0, "generate_plan", "r", "c", '{"ticket":"2"}'), strict=True))
    ]


def test_late_usage_replaces_what_was_said_before() -> None:
    """Row, run and session hold the last figures and their cost; its hour is recomputed; an open call is left alone."""
    tape = Tape()
    tape.begin(session="s")
    call, waiting = tape.call(), tape.call()
    tape.reply(call)
    tape.finish()
    store = MemoryStore()
    store.append(batch(tape.events))
    store.refresh(tape.at + 3_600 * 10**9)
    late = [Usage(5, 1, output=2, basis="estimated"), Usage(1500, output=500, basis="provider")]
    for usage, total in zip(late, (7, 75), strict=True):
        start = len(tape.events)
        tape.add(CallMetered(call=call, usage=usage, cost=Cost("priced", total=total)))
        tape.add(CallMetered(call=waiting, usage=usage))
        tape.add(CallRepriced(call=waiting, cost=Cost("priced", total=1)))
        store.append(batch(tape.events[start:]))
    names = ("uncached_tokens", "cache_read_tokens", "output_tokens", "cost_nano")
    for table in ("runs", "sessions"):
        found = store.find(Query(table, columns=(*names, "usage_missing", "unpriced"))).rows
        assert found == [dict(zip((*names, "usage_missing", "unpriced"), (1500, 0, 500, 75, 0, 0), strict=True))]
    rows = store.find(Query("calls", columns=(*names, "usage_basis"))).rows
    assert [tuple(row.values()) for row in rows] == [(1500, None, 500, 75, "provider"), (None, None, None, None, None)]
    assert len(store.find(Query("dirty_hours", columns=("hour",))).rows) == 1
    assert store.check() == []


def test_retries_are_one_iteration() -> None:
    """Attempts all count as model calls, the request they repeat counts once, and an embedding not at all."""
    tape = Tape()
    tape.begin()
    first = tape.call()
    tape.reply(first, "failed")
    tape.reply(tape.call(attempt=2, retry_of=first))
    tape.reply(tape.call(operation="embedding"))
    names = ("llm_calls", "iterations", "errors")
    assert _rows(tape, "runs", *names) == [dict(zip(names, (3, 1, 1), strict=True))]


def test_an_attempt_whose_start_was_lost_still_counts() -> None:
    """Its tokens and money were spent: it becomes a call of an unknown provider, and the end of nothing else does."""
    tape = Tape()
    tape.begin()
    tape.add(Score(name="x"))
    tape.reply(1, usage=Usage(3, output=4, basis="provider"), served_model="gpt-4o")
    tape.done(1)
    tape.result(1)
    tape.reply(1, usage=Usage(9, basis="provider"))
    names = ("llm_calls", "input_tokens", "output_tokens", "tool_calls", "steps")
    assert _rows(tape, "runs", *names) == [dict(zip(names, (1, 3, 4, 0, 0), strict=True))]
    assert _rows(tape, "calls", "provider", "model", "duration_ns") == [
        {"provider": "", "model": "gpt-4o", "duration_ns": None}
    ]


def test_a_run_whose_start_was_lost_ends() -> None:
    """No run stays started for want of its first event."""
    tape = Tape()
    tape.add(Score(name="x"))
    tape.finish("failed", stop_reason="deadline")
    assert _rows(tape, "runs", "status", "stop_reason", "duration_ns", "name") == [
        {"status": "failed", "stop_reason": "deadline", "duration_ns": 1_000_000, "name": ""}
    ]


def test_durations_are_monotonic_and_never_negative() -> None:
    """A wall clock that is set does not stretch a step; a monotonic clock that runs back makes it 0."""
    tape = Tape()
    tape.begin()
    step = tape.step()
    tape.at += 3_600 * 10**9
    tape.done(step)
    call = tape.call()
    tape.mono -= 10**9
    tape.reply(call)
    assert [row["duration_ns"] for row in _rows(tape, "steps", "duration_ns")] == [None, 1_000_000, 0]


@pytest.mark.parametrize(
    ("facts", "billable"),
    [
        ({"status": "completed", "stop_reason": "final_answer"}, True),
        ({"status": "completed", "stop_reason": "human_handoff"}, False),
        ({"status": "completed", "discarded": True}, False),
        ({"status": "failed"}, False),
    ],
)
def test_what_is_billable(facts: dict[str, Any], billable: bool) -> None:
    """Completed, without human hand-off, not discarded, no error."""
    tape = Tape()
    tape.begin()
    tape.finish(**facts)
    assert _rows(tape, "runs", "billable") == [{"billable": billable}]


def test_what_is_no_number_does_not_poison() -> None:
    """NaN becomes 0 in a limit and nothing in a score, in every store."""
    tape = Tape()
    tape.begin()
    tape.add(LimitHit(metric="cost", used=float("nan"), threshold=float("inf")))
    tape.add(Score(name="x", value=float("nan")))
    with both() as stores:
        for store in stores:
            store.append(Batch(tape.events))
            hit, score = store.find(Query("limit_hits")).rows[0], store.find(Query("scores")).rows[0]
            assert (hit["used"], hit["threshold"], score["value"]) == (0.0, float("inf"), None)


def test_events_must_follow() -> None:
    """What is there already is left out, what does not follow is refused."""
    tape = Tape()
    for name in "abc":
        tape.add(Score(name=name))
    row = RunState.begin(1, tape.events[0]).row
    row.next_seq = 1
    assert following(row, tape.events) == tape.events[1:]
    with pytest.raises(SequenceGap):
        following(row, tape.events[2:])
