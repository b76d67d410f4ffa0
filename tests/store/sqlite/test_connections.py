from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.store.sqlite.connections import Connections, connect, translated


def prepared(path: Path, calls: list[int] | None = None) -> Connections:
    """Connections to a file with one table."""

    def prepare() -> None:
        if calls is not None:
            calls.append(os.getpid())
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")
        connection.close()

    return Connections(path, f"sqlite:{path}", prepare)


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Connections]:
    """Connections to a file of their own."""
    opened = prepared(tmp_path / "a.db")
    yield opened
    opened.close()


def test_the_file_is_prepared_once(tmp_path: Path) -> None:
    """Before the first connection, and again only after a close."""
    calls: list[int] = []
    connections = prepared(tmp_path / "a.db", calls)
    for _ in range(2):
        with connections.reader(), connections.reader(), connections.writer():
            pass
    assert len(calls) == 1
    connections.close()
    connections.close()
    with connections.reader():
        pass
    connections.close()
    assert len(calls) == 2


def test_a_reader_cannot_write(connections: Connections) -> None:
    """Its connection refuses, and the refusal is a StoreUnavailable."""
    with pytest.raises(StoreUnavailable, match="readonly"), connections.reader() as reader:
        reader.execute("INSERT INTO t VALUES (1)")


def test_what_is_deleted_is_overwritten_in_its_page(connections: Connections) -> None:
    """No word of a row that was deleted is left among the others of its page."""
    with connections.transaction() as writer:
        writer.execute("CREATE TABLE said (words TEXT)")
        writer.executemany("INSERT INTO said VALUES (?)", [("kept words",), ("secret words",), ("kept as well",)])
    with connections.transaction() as writer:
        writer.execute("DELETE FROM said WHERE words = 'secret words'")
    connections.close()
    data = connections.path.read_bytes()
    assert (b"kept words" in data, b"secret words" in data) == (True, False)


def test_readers_see_the_last_commit_while_the_writer_works(connections: Connections) -> None:
    """Neither waits for the other."""
    with connections.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (1)")
    with connections.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (2)")
        with connections.reader() as reader:
            assert reader.execute("SELECT n FROM t").fetchall() == [(1,)]


def test_a_transaction_that_fails_leaves_nothing(connections: Connections) -> None:
    """Whatever is raised inside, the rows are gone and the writer is free again."""
    with pytest.raises(StoreUnavailable, match="no such table"), connections.transaction() as writer:
        _fail_half_way(writer)
    with connections.transaction() as writer:
        assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)


def _fail_half_way(writer: sqlite3.Connection) -> None:
    writer.execute("INSERT INTO t VALUES (1)")
    writer.execute("INSERT INTO absent VALUES (1)")


def test_threads_write_one_after_the_other(connections: Connections) -> None:
    """All of them share the one writer, each reads on a connection of its own."""

    def work() -> None:
        for _ in range(20):
            with connections.transaction() as writer:
                found = writer.execute("SELECT count(*) FROM t").fetchone()[0]
                writer.execute("INSERT INTO t VALUES (?)", (found,))
            with connections.reader() as reader:
                reader.execute("SELECT max(n) FROM t").fetchone()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connections.reader() as reader:
        assert [n for (n,) in reader.execute("SELECT n FROM t ORDER BY n")] == list(range(80))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_opens_its_own(connections: Connections) -> None:
    """Parent and child go on writing through connections that are theirs alone."""
    with connections.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (1)")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with connections.transaction() as mine:
                mine.execute("INSERT INTO t VALUES (2)")
            status = int(mine is writer)
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with connections.transaction() as writer:
        writer.execute("INSERT INTO t VALUES (3)")
        assert writer.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,), (3,)]


def test_payloads_are_bytes_or_text(tmp_path: Path) -> None:
    """Text as it is, a block unpacked, nothing for nothing; SQL sees the text."""
    connection = connect(tmp_path / "a.db")
    assert [connection.payload(0, body) for body in (None, "é", b"x")] == [None, "é".encode(), b"x"]
    assert connection.execute("SELECT payload_text(0, 'é'), payload_text(0, NULL)").fetchone() == ("é", None)
    assert connection.execute("SELECT contains('ABC', 'b'), contains(NULL, 'b')").fetchone() == (1, 0)
    connection.close()


def test_errors_say_which_store(tmp_path: Path) -> None:
    """Whatever SQLite complains of, and only that."""
    connection = sqlite3.connect(":memory:")
    with pytest.raises(StoreUnavailable, match="store u is not available: no such table"), translated("u"):
        connection.execute("SELECT * FROM absent")
    connection.close()
    with pytest.raises(KeyError), translated("u"):
        raise KeyError


def test_a_fork_in_the_middle_of_a_write_leaves_the_child_a_file_it_can_use(tmp_path: Path) -> None:
    """The fork waits until the write of another thread has ended; the child then finds no lock taken for ever."""
    connections = Connections(tmp_path / "a.db", "u", lambda: None)
    with connections.transaction() as writer:
        writer.execute("CREATE TABLE t (n)")
    writing, go_on = threading.Event(), threading.Event()

    def write() -> None:
        with connections.transaction() as mine:
            mine.execute("INSERT INTO t VALUES (1)")
            writing.set()
            go_on.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    writing.wait(10)
    threading.Timer(0.2, go_on.set).start()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with connections.transaction() as mine:
                mine.execute("INSERT INTO t VALUES (2)")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    thread.join()
    with connections.reader() as reader:
        assert sorted(reader.execute("SELECT n FROM t").fetchall()) == [(1,), (2,)]
    connections.close()
