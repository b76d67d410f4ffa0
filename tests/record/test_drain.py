"""The drain: exactly once, in order, and it finishes what the dead began."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tachograph import LLMCall, run, step
from tachograph.compose import System
from tachograph.errors import StoreRefused
from tachograph.events.envelope import Event
from tachograph.events.note import Loss
from tachograph.events.run import RunEnded, RunResumed
from tachograph.events.usage import Cost
from tachograph.record import journal as journals
from tachograph.record import scope
from tachograph.record.admit import Admitter
from tachograph.record.clock import SYSTEM, Clock
from tachograph.record.drain import REFUSED, Drain, Drained
from tachograph.record.scrub import Scrubber
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Appended, Batch
from tachograph.store.query import Query
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.erasing import LATER
from tests.store.sqlite.blank import blank


class Desk:
    """A recorder whose journals are drained by hand into a store, in memory unless another is given."""

    def __init__(self, home: Path, store: MemoryStore | SqliteStore | None = None) -> None:
        self.settings = Settings(home=home, drain=False, segment_bytes=64 * 1024, journal_bytes=1 << 24)
        self.store = store or MemoryStore()
        self.folder = home / "tachograph.db.journals"
        self.system = self.started()

    def started(self) -> System:
        """A recorder without a worker."""
        system = System(self.settings)
        system.recorder.on_activity = None
        scope.use(lambda: system.recorder)
        return system

    def drain(self) -> Drain:
        """A drain that knows its own journal."""
        gate = Admitter(Scrubber(), lambda asked, ended, at: Cost())
        return Drain(self.folder, self.store, gate, own=lambda: self.system.recorder.journal.folder.name)

    def die(self) -> None:
        """Let go of the lock as a dead process does: nothing is closed."""
        self.system.recorder.journal.forsake()

    def events(self) -> list[Event]:
        """Everything stored."""
        runs = self.store.find(Query("runs", columns=("id",), order=("started_at",), limit=None)).rows
        return [event for found in runs for event in self.store.read(found["id"])]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """One for the test; the process's recorder is put back."""
    before = scope.use(None)
    made = Desk(tmp_path)
    yield made
    made.system.recorder.close()
    scope.use(before)


def talk(turns: int, size: int = 100) -> None:
    """A run of some calls."""
    with run("talk"):
        for number in range(turns):
            with step(LLMCall("m", [{"role": "user", "content": f"{number} {'x' * size}"}])) as call:
                call.reply = "ok"


def test_each_round_moves_what_is_new_once(desk: Desk) -> None:
    """Rounds between and after the events add up to all of them, over segment borders; nothing comes twice."""
    drain = desk.drain()
    done = Drained()
    for _ in range(5):
        talk(40, 1_000)
        done = done.plus(drain.round())
        assert drain.round() == Drained()
    assert (done.events, len(desk.events()), done.finished) == (desk.system.recorder.recorded,) * 2 + (True,)
    assert len(journals.segments(desk.system.recorder.journal.folder)) == 1


def test_a_second_drain_that_is_behind_stores_nothing(desk: Desk) -> None:
    """The position is compared in the store: whoever comes second learns that it moved."""
    talk(3)
    assert desk.drain().round().events > 0

    class Behind:
        """The store as it was before the first drain looked."""

        def __getattr__(self, name: str) -> object:
            return getattr(desk.store, name)

        def position(self, journal: str) -> tuple[int, int]:
            return 0, 0

    second = desk.drain()
    second._store = Behind()  # type: ignore[assignment]
    assert second.round() == Drained(finished=False)
    assert len(desk.events()) == desk.system.recorder.recorded


def test_a_round_for_a_reader_holds_nobody_up(desk: Desk) -> None:
    """It leaves the journals to whoever is at them, and is elected no longer than it takes."""
    talk(3)
    drain, reader = desk.drain(), desk.drain()
    assert drain.elected()
    assert (reader.once(), desk.events()) == (Drained(finished=False), [])
    drain.resign()
    assert reader.once().finished
    assert len(desk.events()) == desk.system.recorder.recorded
    assert drain.elected()


def test_only_one_process_is_elected(desk: Desk) -> None:
    """The lock is the process's; another process is refused until it is gone."""
    drain = desk.drain()
    assert drain.elected()
    code = "import os,sys; from tachograph.record.journal import lock\nprint(lock(os.open(sys.argv[1], os.O_RDWR)))"
    told = [
        subprocess.run([sys.executable, "-c", code, str(desk.folder / "drain.lock")], capture_output=True, check=True)
    ]
    drain.resign()
    told.append(
        subprocess.run([sys.executable, "-c", code, str(desk.folder / "drain.lock")], capture_output=True, check=True)
    )
    assert [done.stdout for done in told] == [b"False\n", b"True\n"]


def test_a_dead_owner_is_finished_for(desk: Desk) -> None:
    """Its open steps end as abandoned, innermost first, at its last sign of life; its journal goes."""
    outer = run("outer").__enter__()
    inner = step("inner").__enter__()
    call = step(LLMCall("m")).__enter__()
    journal = desk.system.recorder.journal
    alive_at = desk.system.recorder.clock.now() + 5_000_000_000
    journal.beat(alive_at)
    desk.die()
    desk.system = desk.started()
    done = desk.drain().round()
    ends = [(event.step, event.body.status, event.at) for event in desk.events()[-3:]]
    assert ends == [(2, "abandoned", alive_at), (1, "abandoned", alive_at), (0, "abandoned", alive_at)]
    assert (done.abandoned, journal.folder.exists(), desk.drain().round()) == (1, False, Drained())
    assert {name.number for name in (outer, inner, call)} == {0, 1, 2}
    assert desk.store.find(Query("runs", columns=("stop_reason",))).rows[0]["stop_reason"] == "process_died"


def test_a_journal_that_is_refused_holds_up_no_other(desk: Desk) -> None:
    """It stays whole, its folder says why, and it is left alone for a minute; then it is tried again."""
    talk(1)
    first = desk.system.recorder.journal.folder
    desk.die()
    desk.system = desk.started()
    talk(1)
    time, refusing, asked = [0], [first.name], []

    class Picky(MemoryStore):
        """Refuses one journal."""

        def append(self, batch: Batch) -> Appended:
            assert batch.position is not None
            asked.append(batch.position.journal)
            if batch.position.journal in refusing:
                raise StoreRefused("https://x", 403, "scope-needed", "this needs write")
            return super().append(batch)

    desk.store = Picky()
    drain = desk.drain()
    drain._clock = Clock(lambda: 1, lambda: time[0], SYSTEM.entropy)
    assert (drain.round().finished, len(desk.events())) == (False, 6)
    reason = "store https://x refused what was sent (403 scope-needed): this needs write"
    assert (first / REFUSED).read_text() == str(drain.refused) == reason
    time[0] = 59_000_000_000
    assert (drain.round().finished, asked.count(first.name)) == (False, 1)
    time[0] = 61_000_000_000
    refusing.clear()
    assert (drain.round().finished, drain.refused, first.exists()) == (True, None, False)
    assert [type(event.body).__name__ for event in desk.events()].count("RunEnded") == 2


def test_damage_becomes_a_loss_and_the_rest_arrives(desk: Desk) -> None:
    """A damaged record leaves one loss for each missing event; what follows keeps its seq."""
    talk(3)
    folder = desk.system.recorder.journal.folder
    desk.system.recorder.close()
    path = journals.segment_path(folder, 1)
    data = bytearray(path.read_bytes())
    second = next(iter(journals.read_records(bytes(data)))).end
    data[second + 20] ^= 0xFF
    path.write_bytes(data)
    desk.system = desk.started()
    done = desk.drain().round()
    events = desk.events()
    assert done.damaged > 0
    assert [event.seq for event in events] == list(range(len(events)))
    losses = [event.body for event in events if isinstance(event.body, Loss)]
    assert (losses, type(events[-1].body)) == ([Loss(reason="damage", events=1)] * 2, RunEnded)


def test_time_can_run_out_between_batches(desk: Desk) -> None:
    """A round past its deadline says so and loses nothing."""
    talk(3)
    drain = desk.drain()
    assert drain.round(deadline=lambda: True) == Drained(finished=False)
    assert drain.round().events == desk.system.recorder.recorded


def test_a_spare_segment_ahead_is_no_reason_to_skip(desk: Desk) -> None:
    """The next segment exists before it is used; events that still go into the current one are not passed over."""
    talk(2)
    journal = desk.system.recorder.journal
    assert journal.prepare(1) is not None
    drain = desk.drain()
    drain.round()
    talk(100, 1_000)
    drain.round()
    assert len(desk.events()) == desk.system.recorder.recorded


@pytest.fixture(params=["memory", "sqlite"])
def erasing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """A desk over each kind of store."""
    before = scope.use(None)
    made = Desk(tmp_path, MemoryStore() if request.param == "memory" else blank(tmp_path / "store.db"))
    yield made
    made.system.recorder.close()
    made.store.close()
    scope.use(before)


def opened(name: str) -> tuple[Any, str]:
    """A run that has begun: how it is left, and its id."""
    context = run(name)
    key = context.__enter__().id
    assert key is not None
    return context, key


def ask(number: int) -> None:
    """A call in the run that is open."""
    with step(LLMCall("m", [{"role": "user", "content": f"question {number}"}])) as call:
        call.reply = "ok"


def test_a_run_that_was_erased_goes_on_and_leaves_no_hole(erasing: Desk) -> None:
    """Its owner records into it as before; the drain moves on, drops what comes, and other runs lose nothing."""
    drain = erasing.drain()
    outer, erased = opened("outer")
    ask(1)
    assert drain.round().dropped == 0
    assert erasing.store.erase([erased], LATER).runs == 1
    for number in range(2, 5):
        ask(number)
        done = drain.round()
        assert (done.events, done.finished) == (0, True)
        assert done.dropped > 0
    talked = erasing.system.recorder.recorded
    talk(2)
    talked = erasing.system.recorder.recorded - talked
    ask(5)
    outer.__exit__(None, None, None)
    done = drain.round()
    assert (done.events, done.dropped) == (talked, 5)
    assert drain.caught_up()
    assert erased not in {event.run for event in erasing.events()}
    assert len(erasing.events()) == talked
    assert erasing.store.check() == []


def test_damage_beside_an_erased_run_is_still_filled(erasing: Desk) -> None:
    """A hole in one run becomes losses; the erased one, which is not known any more, gets none."""
    drain = erasing.drain()
    _, erased = opened("outer")
    ask(1)
    drain.round()
    erasing.store.erase([erased], LATER)
    ask(2)
    with run("inner"):
        for number in range(3, 6):
            ask(number)
    folder = erasing.system.recorder.journal.folder
    erasing.system.recorder.close()
    path = journals.segment_path(folder, 1)
    data = bytearray(path.read_bytes())
    records = list(journals.read_records(bytes(data)))
    data[records[-6].end + 20] ^= 0xFF
    path.write_bytes(data)
    erasing.system = erasing.started()
    done = drain.round()
    assert done.damaged > 0
    events = erasing.events()
    assert {event.run for event in events} == {events[0].run} != {erased}
    assert [event.seq for event in events] == list(range(len(events)))
    assert any(isinstance(event.body, Loss) for event in events)
    assert erasing.store.check() == []


def test_an_erased_run_of_the_dead_is_not_closed(erasing: Desk) -> None:
    """Nothing is open of it; its owner's other runs are closed, and the journal goes."""
    _, erased = opened("outer")
    _, kept = opened("inner")
    ask(1)
    erasing.drain().round()
    erasing.store.erase([erased], LATER)
    ask(2)
    journal = erasing.system.recorder.journal
    erasing.die()
    erasing.system = erasing.started()
    done = erasing.drain().round()
    assert (done.abandoned, journal.folder.exists()) == (1, False)
    assert {event.run for event in erasing.events()} == {kept}
    assert type(erasing.events()[-1].body) is RunEnded


def test_a_run_that_is_erased_while_it_is_closed_is_passed_over(erasing: Desk) -> None:
    """Between the question what is open and the answer, somebody may erase it."""
    _, erased = opened("outer")
    ask(1)
    erasing.drain().round()
    journal = erasing.system.recorder.journal
    erasing.die()
    erasing.system = erasing.started()
    drain = erasing.drain()
    real = erasing.store

    class Racing:
        """Erases the run right after it was asked what is open."""

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def open_steps(self, owner: str) -> Any:
            found = real.open_steps(owner)
            real.erase([erased], LATER)
            return found

    drain._store = cast("Any", Racing())
    assert (drain.round().abandoned, journal.folder.exists()) == (0, False)
    assert erasing.events() == []


def test_holes_in_many_runs_are_filled_at_once(desk: Desk) -> None:
    """One batch with damage in several runs, some of them new: each missing event is one loss."""
    for _ in range(4):
        talk(1)
    folder = desk.system.recorder.journal.folder
    desk.system.recorder.close()
    path = journals.segment_path(folder, 1)
    data = bytearray(path.read_bytes())
    records = [record for record in journals.read_records(bytes(data)) if isinstance(record, journals.Record)]
    for record in records[1::3]:
        data[record.end - 1] ^= 0xFF
    path.write_bytes(data)
    desk.system = desk.started()
    desk.drain().round()
    by_run: dict[str, list[Event]] = {}
    for event in desk.events():
        by_run.setdefault(event.run, []).append(event)
    assert [[event.seq for event in events] for events in by_run.values()] == [
        list(range(len(events))) for events in by_run.values()
    ]
    assert sum(isinstance(event.body, Loss) for event in desk.events()) >= 3


def test_a_paused_run_of_the_dead_is_not_buried(desk: Desk) -> None:
    """It waits for a person, and for that no process is needed; what else its process began is closed."""
    with run("waits") as waits:
        waits.stop("paused", "approval")
    _, left = opened("goes on")
    journal = desk.system.recorder.journal
    desk.die()
    desk.system = desk.started()
    done = desk.drain().round()
    assert (done.abandoned, journal.folder.exists()) == (1, False)
    rows = desk.store.find(Query("runs", columns=("id", "status"), order=("started_at",))).rows
    assert [tuple(row.values()) for row in rows] == [(waits.run_id, "paused"), (left, "abandoned")]


def test_what_comes_of_a_run_that_was_taken_over_is_noted_as_lost(desk: Desk) -> None:
    """The journal moves on, its other runs arrive, and the loss says how much and from where."""
    with run("ended") as ended:
        ended.fail("no")
    desk.drain().round()
    name = ended.run_id or ""
    last = list(desk.store.read(name))[-1]
    resumed = Event(name, last.seq + 1, last.at, last.mono, 0, RunResumed(owner="another", epoch=1))
    desk.store.append(Batch([resumed]))
    for _ in range(3):
        ended.note("late")
    talk(1)
    done = desk.drain().round()
    assert (done.late, done.finished, desk.drain().round()) == (3, True, Drained())
    assert list(desk.store.read(name))[-1] == resumed
    journal = desk.system.recorder.journal.folder.name
    rows = desk.store.find(Query("losses", columns=("journal", "reason", "events"))).rows
    assert [tuple(row.values()) for row in rows] == [(journal, "taken_over", 3)]
    runs = desk.store.find(Query("runs", columns=("status",), order=("started_at",))).rows
    assert [row["status"] for row in runs] == ["started", "completed"]
