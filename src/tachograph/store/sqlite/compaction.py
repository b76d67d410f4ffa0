"""Room that is not needed any more goes back to the file system, and what was erased leaves the file for good.

It is done in steps that let others write between them. First the dictionaries that erased contents were learned from
are given up, and the blocks that need them are packed again. Then the free pages are cut off the file's end, a few at a
time. A file that is small, or that an older version made and that keeps no track of its free pages, is written anew.

Inside a page, SQLite moves rows and leaves copies of them in the space between, which it overwrites when it needs it.
To be certain that nothing is left there either, the whole file is written anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tachograph.store.sqlite.connections import APPLICATION_ID, Connections, StoreConnection
from tachograph.store.sqlite.squeeze import PAGE, PAYLOAD, Kind, Squeezer

STEP_PAGES = 500
"""Free pages that are given back in one step: about 20 ms."""
STEP_BLOCKS = 1_000
"""Blocks that are looked at in one step."""
SMALL = 16 * 1024 * 1024
"""Bytes of a file that is written anew in about as long as a step takes."""
_INCREMENTAL = 2


def compact(connections: Connections, forget: Callable[[], object], *, whole: bool = False) -> int:
    """Give back what is free now, and empty the write-ahead log; returns the bytes. Raises StoreUnavailable.

    `forget` makes the writer look dictionaries up again; it is called where nobody writes. `whole` writes the file
    anew, however large it is. Pages that are freed meanwhile are left for the next time, and so is the log, while
    somebody goes on reading from it. A file that is an application's is not rewritten.
    """
    with connections.writer():
        before = size(connections.path)
    for kind in (PAYLOAD, PAGE):
        _unlearn(connections, kind, forget)
    with connections.writer() as connection:
        if _pragma(connection, "application_id") == APPLICATION_ID and (
            whole or before <= SMALL or _pragma(connection, "auto_vacuum") != _INCREMENTAL
        ):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
        free = _pragma(connection, "freelist_count")
    for _ in range(0, free, STEP_PAGES):
        with connections.writer() as connection:
            # A cursor would do only the first of these pages: each is a row of its own, and has no columns.
            connection.executescript(f"PRAGMA incremental_vacuum({STEP_PAGES})")
    with connections.writer() as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return max(0, before - size(connections.path))


def size(path: Path) -> int:
    """Bytes of the database and its write-ahead log."""
    beside = (path.with_name(path.name + suffix) for suffix in ("", "-wal"))
    return sum(file.stat().st_size for file in beside if file.exists())


def _unlearn(connections: Connections, kind: Kind, forget: Callable[[], object]) -> None:
    """Give up the dictionaries of which something was learned from what is gone. A crash between leaves work to do."""
    with connections.writer():
        with connections.transaction() as connection:
            given_up = Squeezer(connection, connection.expand).give_up(kind)
        if not given_up:
            return
        forget()
    key: int | None = -1
    while key is not None:
        with connections.transaction() as connection:
            key = Squeezer(connection, connection.expand).repack(kind, key, STEP_BLOCKS)


def _pragma(connection: StoreConnection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
