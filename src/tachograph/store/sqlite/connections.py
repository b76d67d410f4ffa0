"""SQLite connections: how they are opened, shared between threads, and what their errors mean.

One writer and any number of readers. Write-ahead logging lets readers see the last commit while the writer works. A
forked child never touches its parent's connections: it opens its own, and leaves the others alone for good. A fork
waits for a write that is under way and lets the file rest first: what SQLite knows of its locks belongs to the process,
and a child that inherited one taken would find the file locked for ever.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tachograph.errors import StoreUnavailable
from tachograph.fold.histogram import Tally
from tachograph.store.evaluate import contains
from tachograph.store.sqlite import views
from tachograph.store.sqlite.squeeze import Expander

BUSY_SECONDS = 5.0
"""How long to wait for another process's write before saying that the store is locked."""
PAGE_SIZE = 4096
APPLICATION_ID = 0x5441_4348
"""Marks a database file as ours ("TACH")."""

FORK_SECONDS = 2.0
"""How long a fork waits for a write of another thread."""

_left_to_parents: list[list[StoreConnection]] = []


class Connections:
    """The connections of one database file, which `prepare` brings into shape before the first is handed out."""

    def __init__(self, path: Path, url: str, prepare: Callable[[], None]) -> None:
        self.path, self.url, self._prepare = path, url, prepare
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._write_lock = threading.RLock()
        self._writing: int | None = None
        """The thread that writes."""
        self._ready = False
        self._writer: StoreConnection | None = None
        self._idle: list[StoreConnection] = []
        _all.add(self)

    def pause(self) -> bool:
        """Before a fork: wait for the write under way, and let the file rest. False when it would not end."""
        if self._pid != os.getpid() or self._writing == threading.get_ident():
            return False
        if not self._write_lock.acquire(timeout=FORK_SECONDS):
            return False
        self.close()
        return True

    def resume(self) -> None:
        """After a fork, in the parent."""
        self._write_lock.release()

    def close(self) -> None:
        """Close what is idle and the writer. A reader in use closes when it is done with."""
        self._owned()
        with self._write_lock, self._lock:
            for connection in (*self._idle, *([self._writer] if self._writer else [])):
                connection.close()
            self._idle, self._writer, self._ready = [], None, False

    @contextlib.contextmanager
    def reader(self) -> Iterator[StoreConnection]:
        """A connection that cannot write, for this thread as long as it is open. Raises StoreUnavailable."""
        self._owned()
        with translated(self.url):
            connection = self._take()
            try:
                yield connection
            finally:
                with self._lock:
                    keep = self._ready and self._pid == os.getpid()
                    if keep:
                        self._idle.append(connection)
                if not keep and self._pid == os.getpid():
                    connection.close()

    @contextlib.contextmanager
    def writer(self) -> Iterator[StoreConnection]:
        """The one connection that writes; other threads wait. Raises StoreUnavailable."""
        self._owned()
        with self._write_lock, translated(self.url):
            if self._writer is None:
                self._make_ready()
                self._writer = connect(self.path)
            outer, self._writing = self._writing, threading.get_ident()
            try:
                yield self._writer
            finally:
                self._writing = outer

    @contextlib.contextmanager
    def transaction(self) -> Iterator[StoreConnection]:
        """A write transaction: committed when the block ends well, else rolled back."""
        with self.writer() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _take(self) -> StoreConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        self._make_ready()
        connection = connect(self.path)
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _make_ready(self) -> None:
        if self._ready:
            return
        with self._write_lock:  # a fork waits for it: what is imported to prepare would be half there in the child
            if not self._ready:
                self._prepare()
                self._ready = True

    def _owned(self) -> None:
        if self._pid != os.getpid():
            _left_to_parents.append([*self._idle, *([self._writer] if self._writer else [])])
            self._start()


class StoreConnection(sqlite3.Connection):
    """A connection that knows how contents are packed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shows_views = False
        self._expander = Expander(self._dictionary)
        self.expand = self._expander.expand
        self.create_function("contains", 2, contains, deterministic=True)
        self.create_function("payload_text", 2, self._text, deterministic=True)
        self.create_aggregate("histogram", 1, Tally)  # type: ignore[arg-type]

    def show_views(self) -> None:
        """Put views with complete contents in front of those of the database."""
        if self._shows_views:
            return
        self.execute("PRAGMA query_only = OFF")
        for statement in views.statements(whole=True):
            self.execute(statement)
        self.execute("PRAGMA query_only = ON")
        self._shows_views = True

    def forget(self) -> None:
        """Dictionaries may have come and gone with a transaction."""
        self._expander.forget()

    def payload(self, encoding: int, body: str | bytes | None) -> bytes | None:
        """The bytes that a row of `payloads` stands for; None when they were not kept."""
        if body is None:
            return None
        data = body.encode() if isinstance(body, str) else body
        return self.expand(data) if encoding else data

    def _text(self, encoding: int, body: str | bytes | None) -> str | None:
        data = self.payload(encoding, body)
        return None if data is None else data.decode("utf-8", "replace")

    def _dictionary(self, number: int) -> bytes | None:
        found = self.execute("SELECT body FROM dictionaries WHERE id = ?", (number,)).fetchone()
        return found[0] if found else None


def connect(path: Path) -> StoreConnection:
    """A connection with our settings and functions. Raises sqlite3.OperationalError."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, factory=StoreConnection
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -8000")
        connection.execute("PRAGMA temp_store = MEMORY")
        # What is deleted or moved inside a page leaves nothing there; free pages go with the next `compact`.
        connection.execute("PRAGMA secure_delete = FAST")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Database errors as StoreUnavailable, with what SQLite says."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        raise StoreUnavailable(url, str(problem)) from problem


_all: weakref.WeakSet[Connections] = weakref.WeakSet()
_paused: list[Connections] = []


def _before_fork() -> None:
    _paused.extend(one for one in list(_all) if one.pause())


def _after_fork() -> None:
    while _paused:
        _paused.pop().resume()


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_paused.clear)
