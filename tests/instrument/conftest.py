"""What is recorded in a test of instruments, in memory or in a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph import compose
from tachograph.record import scope
from tachograph.testing import Captured, capture


@pytest.fixture(autouse=True)
def nowhere() -> Iterator[None]:
    """No test leaves its scope to the next."""
    yield
    scope._current.set(None)


@pytest.fixture
def events() -> Iterator[Captured]:
    """What the test records."""
    with capture() as captured:
        yield captured


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Path]:
    """The file of the process's own store, which loggers use when they are given nothing."""
    system = compose.configure(home=tmp_path / "home", drain_interval=0.02)
    yield tmp_path / "home" / "tachograph.db"
    system.close()
    for other in compose._systems():
        other.close()
