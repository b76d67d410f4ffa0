from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tachograph.store.sqlite.upgrade import upgrade

GONE = {"steps_started", "calls_started", "tool_calls_started", "sessions_updated", "runs_tenant", "payloads_hash"}
MADE = {"steps_list", "calls_list", "tool_calls_list", "sessions_list", "runs_list", "payloads_prefix"}


def indexes(path: Path) -> set[str]:
    """Names of the indexes of a file."""
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")}


def test_lists_get_their_indexes(tmp_path: Path) -> None:
    """Those in the order of time alone go, and what is stored is found by the new ones."""
    path = tmp_path / "second.db"
    upgrade(path, "u", 2)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO payloads (hash, size, encoding) VALUES (x'0102030405060708090a', 1, 0)")
        for step, kind in enumerate(("run", "llm", "tool")):
            row = (step, kind, step)
            connection.execute("INSERT INTO steps (run, step, kind, name, started_at) VALUES (1, ?, ?, 'a', ?)", row)
    assert indexes(path) > GONE
    upgrade(path, "u", 3)
    assert indexes(path) > MADE
    assert indexes(path) & GONE == set()
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT hex(prefix) FROM payloads WHERE prefix = x'0102030405060708'").fetchall()
        query = "SELECT kind FROM steps INDEXED BY steps_list WHERE kind <> 'llm' ORDER BY started_at DESC"
        listed = connection.execute(query).fetchall()
        parts = [row[2] for row in connection.execute("PRAGMA index_info(runs_user)")]
    assert (found, listed) == ([("0102030405060708",)], [("tool",), ("run",)])
    assert parts == ["user", "started_at"]
