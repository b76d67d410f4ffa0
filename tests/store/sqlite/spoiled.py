"""A store whose file is changed behind its back: for what is to be found and mended."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import call_run
from tests.queries.kept import batch


def two_runs(folder: Path) -> Iterator[SqliteStore]:
    """A store with two runs of one session, and a content that is packed."""
    opened = SqliteStore(folder / "kept.db")
    for number in range(2):
        tape = call_run(f"run {number}", session="s")
        tape.say("user", {"role": "user", "content": "long " * 400})
        opened.append(batch(tape.events))
    yield opened
    opened.close()


def spoil(store: SqliteStore, *statements: str) -> None:
    """Change the file behind the store's back."""
    store.close()
    connection = sqlite3.connect(store.path)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()
