from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.source import PACKAGE, ROOT

BREAKS = {
    "Rooms import downhill only": ("events/ids.py", "import tachograph.record.clock"),
    "No circles inside a room": ("events/content.py", "import tachograph.events.message"),
    "Pure rooms touch no socket, thread, clock, randomness or database": ("limits/guard.py", "import time"),
    "Only the door asks the guard": ("instrument/logs.py", "import tachograph.limits.guard"),
    "Only store.open imports backends": ("queries/shortcut.py", "import tachograph.store.sqlite.store"),
    "Backends do not know each other": ("store/sqlite.py", "import tachograph.store.memory"),
    "Wires do not know each other": ("wire/gemini.py", "import tachograph.wire.anthropic"),
    "Session readers do not know each other": ("wire/sessions/codex.py", "import tachograph.wire.sessions.claude_code"),
    "Dialects do not know each other": ("wire/dialects/one.py", "import tachograph.wire.dialects.two"),
}
"""Contract → a file of a copy of the package, and a line in it that breaks the contract."""

ROOMS_TO_COME = (
    "store/memory.py",
    "wire/anthropic.py",
    "wire/dialects/__init__.py",
    "wire/dialects/two.py",
    "wire/sessions/claude_code.py",
)
"""Modules that some breaks need; made empty in the copy where the package does not have them."""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What import-linter says about a copy of the package into which every break was written."""
    folder = tmp_path_factory.mktemp("broken")
    copy = folder / "tachograph"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ROOMS_TO_COME:
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).touch()
    for name, line in BREAKS.values():
        with (copy / name).open("a") as file:
            file.write(f"\n{line}\n")
    return _lint(folder)


@pytest.mark.parametrize("contract", BREAKS)
def test_a_broken_contract_is_noticed(contract: str, report: str) -> None:
    """A line that imports what its room must not import breaks the contract that forbids it."""
    assert re.search(rf"^{re.escape(contract)} BROKEN$", report, re.MULTILINE), report


def test_every_contract_has_a_break(report: str) -> None:
    """Each contract of pyproject.toml is shown to notice something, here."""
    assert set(re.findall(r"^(.+) (?:KEPT|BROKEN)$", report, re.MULTILINE)) == set(BREAKS)


def test_a_room_without_a_place_is_noticed(tmp_path: Path) -> None:
    """A new top-level module that the order of the rooms does not name breaks the contract."""
    shutil.copytree(PACKAGE, tmp_path / "tachograph", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tachograph" / "annex.py").touch()
    assert "tachograph.annex" in _lint(tmp_path)


def _lint(folder: Path) -> str:
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", program, "--no-cache", "--no-logo", "--config", str(ROOT / "pyproject.toml")]
    here = {**os.environ, "PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr
