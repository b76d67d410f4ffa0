"""The drain: exactly once, in order, and it finishes what the dead began."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph import LLMCall, run, step
from tachograph.compose import System
from tachograph.events.envelope import Event
from tachograph.events.note import Loss
from tachograph.events.run import RunEnded
from tachograph.events.usage import Cost
from tachograph.record import journal as journals
from tachograph.record import scope
from tachograph.record.admit import Admitter
from tachograph.record.drain import Drain, Drained
from tachograph.record.scrub import Scrubber
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.query import Query


class Desk:
    """A recorder whose journals are drained by hand into a store in memory."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, drain=False, segment_bytes=64 * 1024, journal_bytes=1 << 24)
        self.store = MemoryStore()
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
