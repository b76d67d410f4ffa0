"""Shared fixtures: where the recorded data lies, and a home of one's own for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tachograph.record import scope

# Two busy cores can be slow at any one example; and what passed once passes again where nobody watches.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


# A shell starts background jobs with SIGINT ignored, and programs that tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded conversations, exchanges and prices, or a visible skip."""
    folder = Path(os.environ.get("TACHOGRAPH_SHARED") or Path(__file__).parents[2] / "shared") / "data"
    if not folder.is_dir():
        pytest.skip(f"recorded data is not at {folder} (set TACHOGRAPH_SHARED to the folder that holds data/)")
    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's data folder."""
    home = tmp_path / "tachograph-home"
    monkeypatch.setenv("TACHOGRAPH_HOME", str(home))
    return home


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """No test leaves a run that it is in to the next."""
    scope._current.set(None)
    yield
    scope._current.set(None)
