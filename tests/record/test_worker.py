"""The worker: life signs, flushing, leaving in bounded time."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import tachograph
from tachograph import LLMCall, compose, run, step
from tachograph.record import journal as journals
from tachograph.record.clock import SYSTEM
from tachograph.record.drain import Drain
from tachograph.store.query import Query


def threads() -> int:
    """How many workers run."""
    return sum(thread.name == "tachograph" for thread in threading.enumerate())


def test_it_starts_with_the_first_run_and_leaves_with_the_system(tmp_path: Path) -> None:
    """Configuring starts nothing; closing stops it, and may be done twice."""
    system = compose.configure(home=tmp_path)
    before = threads()
    with run("desk"):
        during = threads()
    system.close()
    system.close()
    assert (during - before, threads() - before) == (1, 0)


def test_it_beats_and_prepares(tmp_path: Path) -> None:
    """The current segment's heartbeat moves while nothing is recorded; the next segment is ready."""
    system = compose.configure(home=tmp_path, drain_interval=0.02)
    with run("desk"):
        path = journals.segment_path(system.recorder.journal.folder, 1)
        first = journals.read_header(path)
        time.sleep(0.3)
        second = journals.read_header(path)
        ready = journals.segments(system.recorder.journal.folder)
    system.close()
    assert first is not None
    assert second is not None
    assert (second.heartbeat > first.heartbeat, ready) == (True, [1, 2])


def test_leaving_is_bounded_when_the_store_hangs(tmp_path: Path) -> None:
    """Events that could not be moved wait on disk for the next process."""
    system = compose.configure(home=tmp_path, exit_seconds=0.5, drain_interval=0.02)

    class Stuck(Drain):
        def round(self, deadline: Any = None) -> Any:
            time.sleep(30)

    system.worker._open_drain = lambda: Stuck(
        compose.journals_folder(system.settings),
        compose.open_store(system.settings),
        None,  # type: ignore[arg-type]
    )
    with run("desk"):
        pass
    start = time.monotonic()
    system.close()
    assert time.monotonic() - start < 6
    assert len(journals.segments(system.recorder.journal.folder)) >= 1


def test_a_store_fault_of_any_kind_leaves_the_thread_alive(tmp_path: Path) -> None:
    """What raises is counted; the next round works."""
    system = compose.configure(home=tmp_path, drain_interval=0.02)
    good, failed = system.worker._open_drain, []

    def broken() -> Drain:
        failed.append(1)
        if len(failed) == 1:
            raise RuntimeError("bug")
        assert good is not None
        return good()

    system.worker._open_drain = broken
    with run("desk"):
        pass
    assert tachograph.flush(20)
    assert system.recorder.health.faults == {"drain:RuntimeError": 1}
    system.close()


def test_two_processes_share_a_store_and_both_can_flush(own_home: Path) -> None:
    """The one that is not the drain waits until the other has stored its events."""
    code = "import sys, tachograph\nwith tachograph.run('other'): pass\nprint(tachograph.flush(20), flush=True)\n"
    system = compose.configure(home=own_home, drain_interval=0.02)
    with run("mine"):
        pass
    assert tachograph.flush(20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    store = compose.open_store(system.settings)
    names = sorted(row["name"] for row in store.find(Query("runs", columns=("name",), limit=None)).rows)
    store.close()
    system.close()
    assert (done.stdout, names) == ("True\n", ["mine", "other"])


def test_roll_ups_of_closed_hours_are_kept_up_to_date(tmp_path: Path) -> None:
    """Calls of an hour that is over are summed by the drain without anybody asking."""
    hour_ago = SYSTEM.now() - 2 * 3_600_000_000_000
    system = compose.configure(home=tmp_path, drain_interval=0.02, clock=SYSTEM._replace(now=lambda: hour_ago))
    with run("desk"), step(LLMCall("m")):
        pass
    assert tachograph.flush(20)
    system.recorder._now = SYSTEM.now
    system.recorder.clock = SYSTEM
    system.worker._refresh_at = 0.0
    store = compose.open_store(system.settings)
    until = time.monotonic() + 10
    while not (rows := store.find(Query("rollup_hour", limit=None)).rows) and time.monotonic() < until:
        time.sleep(0.02)
    store.close()
    system.close()
    assert len(rows) > 0


def test_a_process_that_is_not_the_drain_goes_on_recording(own_home: Path) -> None:
    """Its journal counts what is gone from disk, whoever drained it, and never fills up."""
    code = (
        "import sys, tachograph, time\n"
        "system = tachograph.configure(segment_bytes=65536, journal_bytes=262144, drain_interval=0.02)\n"
        "for _ in range(12):\n"
        "    with tachograph.run('other', input='x' * 50_000): pass\n"
        "    assert tachograph.flush(20)\n"
        "    time.sleep(0.05)\n"
        "print(dict(system.recorder.health.lost), system.recorder.health.shed, flush=True)\n"
    )
    system = compose.configure(home=own_home, drain_interval=0.02)
    with run("mine"):
        pass
    assert tachograph.flush(20)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    system.close()
    assert done.stdout == "{} 0\n"


def test_what_could_not_be_recorded_is_written_down_for_doctor(tmp_path: Path) -> None:
    """Losses of the process reach the store's table of losses."""
    system = compose.configure(home=tmp_path, drain_interval=0.02)
    with run("desk"):
        system.recorder.lose("journal_write", OSError("full"))
    assert tachograph.flush(20)
    system.close()
    store = compose.open_store(system.settings)
    rows = store.find(Query("losses", columns=("reason", "events"), limit=None)).rows
    store.close()
    assert [dict(row) for row in rows] == [{"reason": "journal_write", "events": 1}]
