"""SQLite stores for tests that need many: their files are copies of one that was made by migrations."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tachograph.store.sqlite.store import SqliteStore


def blank(path: Path) -> SqliteStore:
    """An empty store in a new file."""
    path.write_bytes(_file())
    path.chmod(0o600)
    return SqliteStore(path)


@cache
def _file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "blank.db")
        store.position("j")
        store.close()
        return store.path.read_bytes()
