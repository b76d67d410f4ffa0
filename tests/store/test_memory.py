from __future__ import annotations

from pathlib import Path

from tachograph.store.memory import MemoryStore
from tests.contracts.store import StoreContract


class TestMemoryStore(StoreContract):
    """The specification keeps to itself."""

    def open(self, folder: Path) -> MemoryStore:
        """A new store."""
        return MemoryStore()
