from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tachograph.server.keeping import LOCK, Keeping
from tachograph.store.memory import MemoryStore
from tachograph.upkeep.alert import Alert
from tachograph.upkeep.keeper import Keeper
from tachograph.upkeep.policies import Policies

_HOLDER = """
import os, sys
from tachograph.record import journal
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
print(journal.lock(descriptor), flush=True)
sys.stdin.read()
"""


@contextmanager
def another_server(folder: Path) -> Iterator[None]:
    """Another process that holds the lock."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _HOLDER, str(folder / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield
        process.kill()


def keeper(*alerts: Alert) -> Keeper:
    """A keeper over an empty store."""
    return Keeper(MemoryStore(), Policies(alerts=alerts), lambda events: None)


def test_a_second_server_waits_until_the_first_is_gone(tmp_path: Path) -> None:
    """While another process keeps the store nothing is started; when it is gone, the next round takes over."""
    keeping = Keeping(tmp_path / "journals", keeper(Alert(name="dear", metric="cost", threshold=1)))
    with another_server(tmp_path / "journals"):
        keeping.take()
        assert keeping.health.last_watch_at == 0
        held = [keeping.holds]
    keeping.take()
    held.append(keeping.holds)
    keeping.close()
    assert [*held, keeping.holds] == [False, True, False]


def test_with_nothing_to_keep_no_lock_is_taken(tmp_path: Path) -> None:
    """Without rules and alerts there is nothing to start, and no file is made."""
    keeping = Keeping(tmp_path / "journals", keeper())
    keeping.take()
    assert not (tmp_path / "journals").exists()
    keeping.close()
