"""What every store makes of a run that pauses, or has ended, and goes on: and of who comes too late."""

from __future__ import annotations

from typing import Any

import msgspec

from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.events.run import Failure
from tachograph.events.usage import Cost, Usage
from tachograph.store.ports import Appended, Batch, OpenStep, Position
from tachograph.store.query import Query, Where
from tachograph.store.relations import PROJECTIONS
from tests.contracts.kept import Contract, call_run, dump
from tests.queries.kept import batch
from tests.strategies import BEGAN, Tape

LATER = BEGAN + 10**16
_STANDS = (
    "status", "stop_reason", "duration_ns", "owner", "epoch", "billable", "discarded", "output", "error_type",
    "error_category", "error_message",
)  # fmt: skip
_OPEN = dict.fromkeys(_STANDS) | {
    "status": "started", "stop_reason": "", "epoch": 1, "owner": "j2", "billable": False, "discarded": False,
}  # fmt: skip


def stands(store: Any) -> dict[str, Any]:
    """How the one run stands."""
    return dict(store.find(Query("runs", columns=_STANDS)).rows[0])


def own_step(store: Any) -> dict[str, Any]:
    """The row of the run's own step."""
    names = ("status", "duration_ns", "error_type")
    return dict(store.find(Query("steps", (Where("step", "eq", 0),), names)).rows[0])


class ResumingContract(Contract):
    """A run that goes on is as open as it was, its new owner's; nobody else writes into it."""

    def test_a_paused_run_is_open_and_has_no_duration(self, store: Any) -> None:
        """It waits: no step of it hangs, nobody's process has to end it, and nothing has been billed."""
        tape = call_run(owner="j1", session="s")
        tape.done(tape.step("iteration"), "paused")
        tape.finish("paused", stop_reason="approval")
        store.append(batch(tape.events))
        assert stands(store) == {**_OPEN, "status": "paused", "stop_reason": "approval", "owner": "j1", "epoch": 0}
        assert own_step(store) == {"status": "paused", "duration_ns": None, "error_type": None}
        assert store.open_steps("j1") == []
        assert store.facts()["open_runs"] == 1
        steps = store.find(Query("steps", (Where("name", "eq", "iteration"),), ("status", "duration_ns"))).rows
        assert [tuple(row.values()) for row in steps] == [("paused", 1_000_000)]

    def test_a_run_that_is_resumed_is_open_again(self, store: Any) -> None:
        """What its end said is gone from its rows, it is its new owner's, and its next end is its outcome."""
        tape = call_run(owner="j1", session="s")
        tape.finish("failed", stop_reason="deadline", error=Failure("E", "no", "bug"), output=inline('"half"'))
        store.append(batch(tape.events))
        store.refresh(LATER)
        first = len(tape.events)
        tape.wait(10**9).resume("j2", 1, limits=inline('"9 turns"'))
        store.append(batch(tape.events[first:]))
        assert stands(store) == _OPEN
        assert own_step(store) == {"status": "started", "duration_ns": None, "error_type": None}
        assert store.open_steps("j1") == []
        assert store.open_steps("j2") == [OpenStep(tape.run, 0, "run", BEGAN)]
        assert store.refresh(LATER) == 1
        later = len(tape.events)
        call = tape.call()
        tape.reply(call, usage=Usage(1, output=2, basis="provider"), cost=Cost("priced", total=12))
        tape.finish("completed", stop_reason="final_answer", output=inline('"whole"'))
        store.append(batch(tape.events[later:]))
        assert stands(store) == _OPEN | {
            "status": "completed", "stop_reason": "final_answer", "billable": True, "output": '"whole"',
            "duration_ns": tape.events[-1].mono - tape.events[0].mono,
        }  # fmt: skip
        assert store.open_steps("j2") == []
        session = store.find(Query("sessions", columns=("runs", "llm_calls", "cost_nano"))).rows
        assert [tuple(row.values()) for row in session] == [(1, 2, 42)]
        before = dump(store, PROJECTIONS)
        store.rebuild()
        assert dump(store, PROJECTIONS) == before
        assert store.check() == []

    def test_a_session_is_active_again_with_its_run(self, store: Any) -> None:
        """A conversation that a person has is the agent's again when the run goes on."""
        tape = Tape()
        tape.begin(session="s")
        tape.finish("completed", stop_reason="human_handoff")
        found = []
        for count in (2, 3):
            store.append(batch(tape.events[:count]))
            found.append(store.find(Query("sessions", columns=("status",))).rows[0]["status"])
            tape.resume()
        assert found == ["handed_off", "active"]

    def test_a_resumed_run_is_erased_with_all_it_named(self, store: Any) -> None:
        """Its former end's output goes with it, and so do the limits that were stated."""
        tape = Tape()
        tape.begin()
        long = inline(f'"{"x" * 2000}"')
        tape.finish("failed", output=long)
        tape.resume(limits=inline(f'"{"y" * 2000}"'))
        tape.finish("completed", output=inline(f'"{"z" * 2000}"'))
        store.append(batch(tape.events))
        assert store.check() == []
        gone = store.erase([tape.run], LATER)
        assert (gone.runs, gone.events, gone.payloads) == (1, 4, 3)
        assert store.find(Query("payloads")).rows == []
        assert store.check() == []

    # ---- compare and append -----------------------------------------------------------------------------------------

    def test_of_two_that_expect_the_same_one_is_first(self, store: Any) -> None:
        """Whoever comes second stores nothing at all, however much it brings, and is told so."""
        tape, other = Tape(), Tape("other")
        tape.begin()
        tape.finish("failed")
        other.begin()
        store.append(Batch(tape.events))
        first, second = ([*tape.events], [*tape.events])
        for events, owner in ((first, "a"), (second, "b")):
            mine = Tape()
            mine.events = events
            mine.resume(owner)
            mine.add(Note(name=owner))
        expect = {tape.run: 2, other.run: 0}
        assert store.append(Batch([*first[2:], *other.events], expect=expect)) == Appended(3)
        before = dump(store)
        assert store.append(Batch(second[2:], expect={tape.run: 2})) == Appended(moved=False)
        assert store.append(Batch(second[2:], expect={tape.run: 4, other.run: 0})) == Appended(moved=False)
        assert dump(store) == before
        assert list(store.read(tape.run)) == first

    # ---- who comes too late -----------------------------------------------------------------------------------------

    def test_a_former_owner_writes_nothing(self, store: Any) -> None:
        """What its journal still brings of the run is not stored, also beyond what is there; the rest of it is."""
        tape, other = Tape(), Tape("other")
        tape.begin(owner="j1")
        tape.finish("failed")
        other.begin(owner="j1")
        store.append(Batch(tape.events, position=Position("j1", 1, 10)))
        late = Tape()
        late.events = [*tape.events]
        for name in "abc":
            late.add(Note(name=name))
        tape.resume("j2")
        tape.add(Note(name="mine"))
        store.append(Batch(tape.events[2:3], expect={tape.run: 2}))
        brought = Batch([*late.events[2:], *other.events], position=Position("j1", 1, 20, (1, 10)))
        assert store.append(brought) == Appended(1, late=3)
        assert store.append(Batch(tape.events[3:], position=Position("acme/j2", 1, 10))) == Appended(1)
        assert list(store.read(tape.run)) == tape.events
        assert list(store.read(other.run)) == other.events
        assert store.position("j1") == (1, 20)

    def test_a_run_that_nobody_took_over_is_everybodys(self, store: Any) -> None:
        """Until then it does not matter which journal brings its events: redaction may have changed its owner."""
        tape = Tape()
        tape.begin(owner="[redacted]")
        tape.finish("failed")
        assert store.append(Batch(tape.events[:1], position=Position("j1", 1, 10))) == Appended(1)
        last = Batch(tape.events[1:], position=Position("j1", 1, 20, (1, 10)))
        assert store.append(last) == Appended(1)
        assert store.append(msgspec.structs.replace(last, position=None)) == Appended(repeated=1)
