"""A store of each kind, empty."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.store.open import open_store
from tachograph.store.ports import Store


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, once in memory and once in a file."""
    opened = open_store("memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'queries.db'}")
    yield opened
    opened.close()
