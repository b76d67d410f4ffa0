"""A store of each kind, empty, and what puts audit runs into it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.store.open import open_store
from tachograph.store.ports import Batch, Store
from tachograph.upkeep.watch import Keep


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store, once in memory and once in a file."""
    opened = open_store("memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'upkeep.db'}")
    yield opened
    opened.close()


@pytest.fixture
def keep(store: Store) -> Keep:
    """Puts audit runs into the store."""
    return lambda events: store.append(Batch(events))
