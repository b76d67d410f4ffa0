"""A store of its own for each test, into which runs are recorded and out of which they go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph import compose
from tachograph.record import scope


@pytest.fixture(autouse=True)
def database(tmp_path: Path) -> Iterator[Path]:
    """The file of the process's store."""
    system = compose.configure(home=tmp_path / "home", drain_interval=0.02)
    yield tmp_path / "home" / "tachograph.db"
    system.close()
    scope._current.set(None)
