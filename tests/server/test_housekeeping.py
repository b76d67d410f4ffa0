from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from tachograph.compose import System, drain_for, scrubber_for
from tachograph.errors import StoreUnavailable
from tachograph.record import scope
from tachograph.record.clock import SYSTEM
from tachograph.record.run import run
from tachograph.server.housekeeping import Housekeeping
from tachograph.settings import Settings
from tachograph.store.open import open_store
from tachograph.store.query import Query


def wait_for(true: Callable[[], bool]) -> bool:
    """Whether something becomes true within five seconds."""
    until = time.monotonic() + 5
    while not true() and time.monotonic() < until:
        time.sleep(0.02)
    return true()


def test_moves_what_programs_record_into_the_store(tmp_path: Path) -> None:
    """What another recorder leaves in its journal is in the store soon, and the counters say so."""
    settings = Settings(home=tmp_path, drain=False)
    system = System(settings)
    before = scope.use(lambda: system.recorder)
    woken = threading.Event()
    housekeeping = Housekeeping(drain_for(settings, scrubber_for(settings)), SYSTEM, on_moved=woken.set)
    housekeeping.start()
    try:
        with run("answer"):
            pass
        store = open_store(settings.store_url)
        assert wait_for(lambda: [row["status"] for row in store.find(Query("runs")).rows] == ["completed"])
        store.close()
        assert woken.wait(5)
        rounds = housekeeping.rounds
        assert (rounds.drained.events, rounds.elected, rounds.failures, rounds.failing) == (2, True, 0, "")
    finally:
        housekeeping.stop()
        scope.use(before)
        system.close()


def test_a_round_that_fails_is_counted_and_followed_by_the_next(tmp_path: Path) -> None:
    """A failure is told as long as it lasts; when the next round goes through it is over, and stays counted."""
    settings = Settings(home=tmp_path)
    failures = iter([StoreUnavailable("sqlite:a", "locked"), RuntimeError("ours")])

    def fail() -> None:
        problem = next(failures, None)
        if problem is not None:
            raise problem

    housekeeping = Housekeeping(drain_for(settings, scrubber_for(settings)), SYSTEM, each_round=fail)
    housekeeping.start()
    try:
        assert wait_for(lambda: housekeeping.rounds.failing != "")
        assert wait_for(lambda: housekeeping.rounds.last_success_at > 0)
        assert (housekeeping.rounds.failures, housekeeping.rounds.failing) == (2, "")
    finally:
        housekeeping.stop()


def test_stops_at_once_and_lets_others_drain(tmp_path: Path) -> None:
    """After `stop` the thread is gone and another drain is elected."""
    settings = Settings(home=tmp_path)
    housekeeping = Housekeeping(drain_for(settings, scrubber_for(settings)), SYSTEM)
    housekeeping.start()
    assert wait_for(lambda: housekeeping.rounds.elected)
    other = drain_for(settings, scrubber_for(settings))
    # The lock is one of the process: another descriptor of ours would get it, so its state is read instead.
    housekeeping.stop()
    assert not any(thread.name == "tachograph-housekeeping" for thread in threading.enumerate())
    assert other.elected()
    other.close()
