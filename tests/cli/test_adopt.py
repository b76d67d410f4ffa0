from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli.adopt import Adoption
from tachograph.compose import journals_folder, open_store
from tachograph.errors import StoreUnavailable
from tachograph.queries.runs import runs
from tachograph.record import journal as journals
from tachograph.settings import Settings

DYING = """
import os, signal, sys, tachograph
tachograph.configure(store=sys.argv[1], drain=False)
run = tachograph.run("doomed").__enter__()
step = tachograph.step("halfway").__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def orphaned(tmp_path: Path) -> Settings:
    """A store whose only events wait in the journal of a process that was killed."""
    settings = Settings(home=tmp_path, store=f"sqlite:{tmp_path / 'runs.db'}")
    done = subprocess.run([sys.executable, "-c", DYING, settings.store], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, b"")
    return settings


def test_a_killed_programs_journal_is_adopted(orphaned: Settings) -> None:
    """One round moves its events into the store, ends its run as abandoned, and takes the journal away."""
    store = open_store(orphaned)
    done = Adoption(orphaned, store).round()
    assert (done.events, done.abandoned, done.finished) == (2, 1, True)
    assert [(run.name, run.status, run.stop_reason) for run in runs(store).runs] == [
        ("doomed", "abandoned", "process_died")
    ]
    assert journals.segments(journals_folder(orphaned)) == []
    assert Adoption(orphaned, store).round().events == 0
    store.close()


def test_a_drain_at_work_is_left_alone(orphaned: Settings) -> None:
    """While another process holds the election nothing is moved, and nothing is wrong."""
    holding = """
import sys, tachograph.record.journal as journals, os
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
assert journals.lock(descriptor)
print("held", flush=True)
sys.stdin.read()
"""
    lock = journals_folder(orphaned) / "drain.lock"
    command = [sys.executable, "-c", holding, str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        store = open_store(orphaned)
        adoption = Adoption(orphaned, store)
        done = adoption.round()
        assert (done.events, done.finished, adoption.problem) == (0, False, None)
        holder.communicate()
    assert adoption.round().events == 2
    store.close()


def test_a_failure_is_kept_not_raised(orphaned: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that does not take events leaves them where they are, and the reason is told."""
    store = open_store(orphaned)

    def refuse(batch: object) -> None:
        raise StoreUnavailable(store.url, "database is locked")

    monkeypatch.setattr(store, "append", refuse)
    adoption = Adoption(orphaned, store)
    assert adoption.round().finished is False
    assert str(adoption.problem) == f"store {store.url} is not available: database is locked"
    assert len(list(journals_folder(orphaned).iterdir())) == 2
    store.close()
