from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tachograph.cli.desk import night
from tachograph.cli.desk.pace import SECOND, Pace
from tachograph.errors import StoreUnavailable
from tachograph.settings import Settings

START = 1_760_000_000_000_000_000


def _settings(home: Path) -> Settings:
    return Settings(home=home, store=f"sqlite:{home / 'demo.db'}")


def test_the_process_is_gone_and_its_journal_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It died by SIGKILL, all that it said is in its journal and nothing in the store, and its time has passed here."""
    seen = []

    class Popen(subprocess.Popen[str]):
        def kill(self) -> None:
            seen.append(self)
            super().kill()

    monkeypatch.setattr(subprocess, "Popen", Popen)
    pace = Pace(START)
    run = night.killed(_settings(tmp_path), pace, "s")
    assert [process.returncode for process in seen] == [-signal.SIGKILL]
    [journal] = [path for path in (tmp_path / "demo.db.journals").iterdir() if path.is_dir()]
    assert run.encode() in b"".join(path.read_bytes() for path in journal.iterdir())
    assert not (tmp_path / "demo.db").exists()
    assert night.NOTICED + 1 < (pace.clock().now() - START) / SECOND < night.NOTICED + 3


def test_a_process_that_cannot_work_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the store and the exit code, and nothing to go on with."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreUnavailable, match=r"the night shift could not work \(exit code 1\)"):
        night.killed(_settings(tmp_path), Pace(START), "s")


def test_whoever_waits_to_be_killed_by_the_dead_leaves(tmp_path: Path) -> None:
    """When its stdin ends, the process that began it is gone: it does not stay behind."""
    program = f"import sys; sys.path[:] = {sys.path!r}; from {night.__name__} import main; main(*sys.argv[1:])"
    words = (str(tmp_path), f"sqlite:{tmp_path / 'demo.db'}", "s", str(START))
    done = subprocess.run(
        [sys.executable, "-c", program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, len(done.stdout.split())) == (1, "", 2)
