"""A store that the demo's desk filled, and the command line as a function and as a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from tachograph.cli.app import app
from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import Desk
from tachograph.compose import System, using
from tachograph.settings import Settings

OPENED_AT = 1_760_000_000_000_000_000
"""When the desk opened: 2025-10-09 08:53:20 UTC."""
PROGRAM = (sys.executable, "-c", "from tachograph.cli.main import main; main()")

Run = Callable[..., Result]


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the desk's runs in it. Not to be written to: see `desk`."""
    folder = tmp_path_factory.mktemp("desk")
    pace = Pace(OPENED_AT)
    system = System(Settings(home=folder, store=f"sqlite:{folder / 'desk.db'}"), clock=pace.clock())
    try:
        with using(system), pytest.MonkeyPatch.context() as patch:
            patch.setenv("TACHOGRAPH_HOME", str(folder))  # this is made before a test has a home of its own
            Desk(pace, session="demo").open()
        assert system.worker.flush()
    finally:
        system.close()
    return folder / "desk.db"


@pytest.fixture
def desk(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled store."""
    for file in filled.parent.glob("desk.db*"):
        if file.is_file():
            shutil.copy(file, tmp_path / file.name)
    return tmp_path / "desk.db"


@pytest.fixture
def cli() -> Run:
    """`cli("ls", "--json", store=path)`: a command in this process; its exit code and what it wrote."""

    def run(*words: str, store: Path | None = None, **more: Any) -> Result:
        given = [*words, *(("--store", str(store)) if store else ())]
        return CliRunner().invoke(app, given, prog_name="tachograph", catch_exceptions=False, **more)

    return run


@pytest.fixture
def program(own_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`program("ls")`: a command as a process of its own."""

    def run(*words: str, environment: Mapping[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PROGRAM, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "TACHOGRAPH_HOME": str(own_home), **(environment or {})},
            **more,
        )

    return run


def objects(text: str) -> list[Any]:
    """The values of JSON lines."""
    return [msgspec.json.decode(line) for line in text.splitlines()]
