"""The file of a ledger, or of anything else that processes agree by: made when it is first needed, for its owner alone.

It is opened anew where that is needed. It lies beside the store, not in it, so that nothing which keeps the store busy
keeps a limit waiting. Write-ahead logging without a sync at each commit: what was committed survives the process,
however it ends; a power cut may forget the last moments.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tachograph.errors import StoreUnavailable
from tachograph.store.ledgers.turns import BUSY_SECONDS

_POLL_SECONDS = 0.001
VERSION = 1
_TABLES = """
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, scope TEXT NOT NULL, key TEXT NOT NULL, of TEXT NOT NULL,
    newest INTEGER NOT NULL, reach INTEGER NOT NULL, forever INTEGER NOT NULL,
    total INTEGER NOT NULL DEFAULT 0, reset_at INTEGER, cleared INTEGER NOT NULL DEFAULT 0,
    UNIQUE (scope, key, of)
);
CREATE INDEX accounts_age ON accounts (newest + reach) WHERE NOT forever;
CREATE TABLE sums (
    account INTEGER NOT NULL, start INTEGER NOT NULL, newest INTEGER NOT NULL, amount INTEGER NOT NULL,
    PRIMARY KEY (account, start)
) WITHOUT ROWID;
CREATE TABLE grants (id INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, expires INTEGER NOT NULL);
CREATE TABLE reserved (
    grant_id INTEGER NOT NULL, position INTEGER NOT NULL, account INTEGER NOT NULL, amount INTEGER NOT NULL,
    at INTEGER NOT NULL, expires INTEGER NOT NULL, grain INTEGER NOT NULL, PRIMARY KEY (grant_id, position)
) WITHOUT ROWID;
CREATE INDEX reserved_on ON reserved (account, at, expires, amount);
"""
"""Times are UTC nanoseconds. The id of a grant is never given twice: who settles late must not settle another's."""


class Layout(NamedTuple):
    """What stands in a file."""

    noun: str
    """What it is called."""
    mark: int
    """Tells it from files of other programs."""
    version: int
    tables: str
    """The statements that make them."""
    any: str
    """One of the tables: looking there settles what a reader sees."""


LEDGER = Layout("ledger", 0x5441_4C47, VERSION, _TABLES, "accounts")  # "TALG"

_left_alone: list[sqlite3.Connection] = []
"""Not closed: to close a parent's, or one whose file was replaced, would remove files that others work with."""


class AgreedFile:
    """A connection to the file, for one thread at a time. A forked child opens its own."""

    def __init__(self, path: Path, layout: Layout = LEDGER) -> None:
        self.path, self.url, self._layout = path, f"sqlite:{path}", layout
        self.is_forked = False
        """Whether this is not the process that the file was opened for."""
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed when the block ends well, else rolled back. Raises StoreUnavailable."""
        with self._opened() as connection:
            _patiently(partial(connection.execute, "BEGIN IMMEDIATE"))
            with _committed(connection):
                yield connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """All of it as it is at one moment, to be read. Raises StoreUnavailable."""
        with self._opened() as connection:
            _patiently(partial(_look, connection, self._layout.any))
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file; the next use opens it again."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid == os.getpid() and self._file == _identity(self.path):
            with contextlib.suppress(sqlite3.Error):
                connection.close()
                return
        _left_alone.append(connection)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        if self._pid != os.getpid():
            self.close()
            self._pid, self.is_forked = os.getpid(), True
        elif self._connection is not None and self._file != _identity(self.path):
            self.close()  # it was removed, and perhaps made again by another process
        try:
            if self._connection is None:
                self._connection = self._open()
                self._file = _identity(self.path)
            yield self._connection
        except sqlite3.Error as problem:
            raise StoreUnavailable(self.url, str(problem)) from problem

    def _open(self) -> sqlite3.Connection:
        try:
            if not self.path.exists():
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600))
        except OSError as problem:
            raise StoreUnavailable(self.url, f"{problem.filename} cannot be made: {problem.strerror}") from problem
        connection = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            _patiently(partial(self._prepare, connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        if not self._is_ready(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            with _committed(connection):
                self._lay_out(connection)

    def _is_ready(self, connection: sqlite3.Connection) -> bool:
        """Whether it has our tables; False of an empty file."""
        (mark,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        wanted = self._layout
        if (mark, version) == (wanted.mark, wanted.version):
            return True
        if mark == wanted.mark:
            found = f"it is a {wanted.noun} of version {version}, this one knows {wanted.version}: upgrade"
            raise StoreUnavailable(self.url, found)
        if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreUnavailable(self.url, "it is a database of another program: move it away")
        return False

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        if self._is_ready(connection):
            return  # another process was faster
        for statement in self._layout.tables.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {self._layout.mark}")
        connection.execute(f"PRAGMA user_version = {self._layout.version}")


@contextlib.contextmanager
def _committed(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _look(connection: sqlite3.Connection, table: str) -> None:
    """Begin to read: what is seen is settled by the first look."""
    connection.execute("BEGIN")
    try:
        connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _patiently(work: Callable[[], object]) -> None:
    """Work once the file is free. SQLite's own way of waiting lets who has waited long wait ever longer."""
    patience = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            work()
            return
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > patience:
                raise
            time.sleep(_POLL_SECONDS)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
