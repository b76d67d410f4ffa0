from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tachograph.store.sqlite.connections import APPLICATION_ID
from tachograph.store.sqlite.upgrade import upgrade

TABLES = {
    "calls", "dictionaries", "dirty_hours", "events", "imports", "journals", "limit_hits", "losses", "nodes",
    "payloads", "prices", "rollup_day", "rollup_hour", "runs", "scores", "sessions", "steps", "tool_calls",
}  # fmt: skip


def test_the_first_version_stays_what_it_was(tmp_path: Path) -> None:
    """These tables and columns, however the schema moves on: files of this version are out there."""
    path = tmp_path / "first.db"
    upgrade(path, "u", 1)
    with closing(sqlite3.connect(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        columns = {table: len(connection.execute(f"PRAGMA table_xinfo({table})").fetchall()) for table in TABLES}
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert tables == {*TABLES, "tachograph_version"}
    assert columns == {
        "calls": 49, "dictionaries": 4, "dirty_hours": 3, "events": 4, "imports": 5, "journals": 5, "limit_hits": 14,
        "losses": 7, "nodes": 4, "payloads": 6, "prices": 3, "rollup_day": 32, "rollup_hour": 32, "runs": 59,
        "scores": 10, "sessions": 24, "steps": 26, "tool_calls": 20,
    }  # fmt: skip
