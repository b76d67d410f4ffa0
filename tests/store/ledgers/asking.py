"""Programs that ask a ledger from processes of their own. A process's name is a lock file that it holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tachograph.record.journal import hold, is_held
from tachograph.store.ledgers.sqlite import SqliteLedger

ROOT = Path(__file__).parents[3]


def named(folder: Path, name: str) -> SqliteLedger:
    """The ledger of a folder, for a process that holds the lock file of its name."""
    hold(folder / name)
    return SqliteLedger(folder / "a.ledger", name, partial(_lives, folder))


def start(program: str, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    """A process that runs a program; `ledger` is its own, `NOW` and `claim(amount, threshold, window)` are there."""
    text = f"""
import sys, os, time, signal
from pathlib import Path
from tachograph.events.account import Claim, Grant, Denied
from tests.contracts.accounts import DAY, HOUR, NOW, account
from tests.store.ledgers.asking import named
folder, name = Path(sys.argv[1]), sys.argv[2]
ledger = named(folder, name)
def claim(amount, threshold, window=DAY):
    return Claim(account(), amount, threshold, window)
{program}
"""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command: Sequence[str] = [sys.executable, "-W", "error", "-c", text, str(folder), *map(str, arguments)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def told(process: subprocess.Popen[str]) -> str:
    """What a process wrote; it must have ended well."""
    out, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    return out


def _lives(folder: Path, name: str) -> bool:
    return is_held(folder / name)
