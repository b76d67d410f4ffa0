"""Heads in a file beside the store, for every process that opens it: one immediate transaction a change.

It is the ledger's kind of file, so a busy store keeps no session waiting, and what was committed survives `kill -9`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from tachograph.store.ledgers.file import AgreedFile, Layout
from tachograph.store.ledgers.turns import BUSY_SECONDS, Turns
from tachograph.store.sessions.head import Head, Key, Status
from tachograph.store.sessions.memory import MemoryTable
from tachograph.store.sessions.port import Table

T = TypeVar("T")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Head).decode
_TABLES = """
CREATE TABLE heads (
    tenant TEXT NOT NULL, id TEXT NOT NULL, status TEXT NOT NULL, run TEXT, updated_at INTEGER NOT NULL,
    head BLOB NOT NULL, PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE INDEX heads_run ON heads (run) WHERE run IS NOT NULL;
CREATE INDEX heads_age ON heads (updated_at)
"""
LAYOUT = Layout("file of sessions", 0x5441_5345, 1, _TABLES, "heads")  # "TASE"
_NAMED = 500
"""Runs that one statement names."""


class SqliteCabinet:
    """Keeps heads in a SQLite file. Thread-safe; a forked child opens the file for itself."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = AgreedFile(path, LAYOUT)
        self._turns = Turns(self._file.url, BUSY_SECONDS, self._file.close)

    def change(self, work: Callable[[Table], T]) -> T:
        """See `port.Cabinet`."""
        return self._turns.take(partial(self._change, work))

    def look(self, work: Callable[[Table], T]) -> T:
        """See `port.Cabinet`."""
        if not self.path.exists():  # who only looks makes no file
            return work(MemoryTable({}))
        return self._turns.take(partial(self._look, work))

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        self._turns.owe(self._file.close)

    def _change(self, work: Callable[[Table], T]) -> T:
        with self._file.transaction() as connection:
            return work(_SqliteTable(connection))

    def _look(self, work: Callable[[Table], T]) -> T:
        with self._file.snapshot() as connection:
            return work(_SqliteTable(connection))


class _SqliteTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def get(self, key: Key) -> Head | None:
        query = "SELECT head FROM heads WHERE tenant = ? AND id = ?"
        found = self._connection.execute(query, key).fetchone()
        return None if found is None else _decode(found[0])

    def put(self, head: Head) -> None:
        run = None if head.history is None else head.history.run
        row = (head.tenant, head.id, head.status, run, head.updated_at, _encode(head))
        self._connection.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?, ?)", row)

    def remove(self, key: Key) -> None:
        self._connection.execute("DELETE FROM heads WHERE tenant = ? AND id = ?", key)

    def told_by(self, runs: Collection[str]) -> Sequence[Key]:
        names, found = list(runs), []
        for start in range(0, len(names), _NAMED):
            some = names[start : start + _NAMED]
            query = f"SELECT tenant, id FROM heads WHERE run IN ({', '.join('?' * len(some))})"
            found += self._connection.execute(query, some).fetchall()
        return found

    def newest(self, tenant: str | None, status: Status | None, limit: int, offset: int) -> Sequence[Head]:
        query = (
            "SELECT head FROM heads WHERE (?1 IS NULL OR tenant = ?1) AND (?2 IS NULL OR status = ?2)"
            " ORDER BY updated_at DESC, tenant, id LIMIT ?3 OFFSET ?4"
        )
        return [_decode(data) for (data,) in self._connection.execute(query, (tenant, status, limit, offset))]
