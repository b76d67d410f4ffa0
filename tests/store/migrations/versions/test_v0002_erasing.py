from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tachograph.store.sqlite.upgrade import upgrade

ADDED = {"shares": 2, "erased": 7, "feed": 4, "access_keys": 8, "payloads": 7, "dictionaries": 5}


def test_payloads_of_before_have_no_owner_yet(tmp_path: Path) -> None:
    """The tables of erasing are added; what is there stays, and nobody claims it."""
    path = tmp_path / "first.db"
    upgrade(path, "u", 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO payloads (hash, size, encoding, body) VALUES (x'00', 1, 0, 'a')")
    upgrade(path, "u", 2)
    with closing(sqlite3.connect(path)) as connection:
        columns = {table: len(connection.execute(f"PRAGMA table_xinfo({table})").fetchall()) for table in ADDED}
        kept = connection.execute("SELECT id, hash, size, body, run FROM payloads").fetchall()
        indexes = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}
    assert columns == ADDED
    assert kept == [(1, b"\0", 1, "a", None)]
    assert {"runs_audit", "runs_tenant", "erased_run"} <= indexes
