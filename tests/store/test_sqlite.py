from __future__ import annotations

from pathlib import Path

from tachograph.store.sqlite import SqliteStore
from tests.contracts.store import StoreContract


class TestSqliteStore(StoreContract):
    """The embedded store keeps the contract."""

    def open(self, folder: Path) -> SqliteStore:
        """A store in a new file."""
        return SqliteStore(folder / "contract.db")
