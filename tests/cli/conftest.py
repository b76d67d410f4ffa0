"""A store that the demo's desk filled, and the command line as a function and as a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

from tachograph.cli.app import app
from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import Desk
from tachograph.compose import System, using
from tachograph.record.run import run
from tachograph.settings import Settings

OPENED_AT = 1_760_000_000_000_000_000
"""When the desk opened: 2025-10-09 08:53:20 UTC."""
PROGRAM = (sys.executable, "-c", "from tachograph.cli.main import main; main()")

Run = Callable[..., Result]


@contextmanager
def recording(store: Path) -> Iterator[Pace]:
    """What the block records goes into this file, at the pace of the desk."""
    pace = Pace(OPENED_AT)
    system = System(Settings(home=store.parent, store=f"sqlite:{store}"), clock=pace.clock())
    try:
        with using(system):
            yield pace
        assert system.worker.flush()
    finally:
        system.close()


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the desk's runs in it. Not to be written to: see `desk`."""
    store = tmp_path_factory.mktemp("desk") / "desk.db"
    with recording(store) as pace, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TACHOGRAPH_HOME", str(store.parent))  # this is made before a test has a home of its own
        Desk(pace, session="demo").open()
    return store


@pytest.fixture
def desk(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled store."""
    for file in filled.parent.glob("desk.db*"):
        if file.is_file():
            shutil.copy(file, tmp_path / file.name)
    return tmp_path / "desk.db"


@pytest.fixture
def with_a_failure(desk: Path) -> Path:
    """That copy, with one run more, which failed."""
    with recording(desk), pytest.raises(ValueError, match="no ink"), run("printer", session="demo-print"):
        raise ValueError("no ink")
    return desk


@pytest.fixture
def cli() -> Run:
    """`cli("ls", "--json", store=path)`: a command in this process; its exit code and what it wrote."""

    def given(*words: str, store: Path | None = None, **more: Any) -> Result:
        told = [*words, *(("--store", str(store)) if store else ())]
        return CliRunner().invoke(app, told, prog_name="tachograph", catch_exceptions=False, **more)

    return given


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
