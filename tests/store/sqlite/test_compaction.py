from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tachograph.store.ports import Batch
from tachograph.store.sqlite import compaction
from tachograph.store.sqlite.connections import Connections
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.erasing import LATER, rich_run
from tests.contracts.kept import call_run, dump
from tests.queries.kept import batch
from tests.store.sqlite.blank import blank
from tests.strategies import Tape

MARK = "zq7marker"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store alone in its folder."""
    (tmp_path / "alone").mkdir()
    opened = blank(tmp_path / "alone" / "a.db")
    yield opened
    opened.close()


def written(store: SqliteStore) -> bytes:
    """Every byte of the store's files."""
    return b"".join(path.read_bytes() for path in store.path.parent.iterdir())


def secrets(count: int) -> list[Tape]:
    """Runs that say words of their own in messages, inputs, notes and names."""
    tapes = []
    for number in range(count):
        words = f"{MARK}{number:03}:" + " ".join(f"{number * place * 7919 % 10007:x}" for place in range(number % 40))
        tapes.append(rich_run(f"run {number}", words, session=f"s{number % 5}", user=f"{MARK}{number:03}:"))
    return tapes


def fed(store: SqliteStore, tapes: list[Tape]) -> None:
    """Record runs side by side, a few events of each at a time."""
    queues = [list(tape.events) for tape in tapes]
    turn = 0
    while any(queues):
        some = [queue[:3] for queue in queues[turn % 7 :: 7]]
        for queue in queues[turn % 7 :: 7]:
            del queue[:3]
        store.append(batch(*some))
        turn += 1


def test_what_was_erased_is_in_no_file(store: SqliteStore) -> None:
    """Words of a message, an input, a note and a user that nobody else said; the others read on."""
    gone, kept = rich_run("gone", MARK, user=MARK), rich_run("kept", "other words")
    store.append(batch(gone.events, kept.events))
    assert MARK.encode() in written(store)
    store.erase([gone.run], LATER)
    before = dump(store)
    assert store.compact() > 0
    assert MARK.encode() not in written(store)
    assert dump(store) == before
    assert store.check() == []


@pytest.mark.parametrize("whole", [False, True])
def test_what_was_learned_from_it_is_forgotten_too(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    """Many runs, so that dictionaries are learned; many of them erased. A whole rewrite leaves no word of them."""
    monkeypatch.setattr(compaction, "SMALL", 0)
    monkeypatch.setattr(compaction, "STEP_BLOCKS", 50)
    tapes = secrets(90)
    fed(store, tapes)
    assert _bodies(store)
    store.erase([tape.run for tape in tapes[:60]], LATER)
    before = dump(store)
    store.compact(whole=whole)
    said = [number for number in range(60) if f"{MARK}{number:03}:".encode() in b"".join(_bodies(store))]
    assert said == []
    if whole:
        assert [number for number in range(60) if f"{MARK}{number:03}:".encode() in written(store)] == []
    assert dump(store) == before
    fed(store, secrets(100)[90:])
    assert store.check() == []


def _bodies(store: SqliteStore) -> list[bytes]:
    return [row["body"] for row in store.sql("SELECT body FROM dictionaries WHERE body IS NOT NULL")]


def test_room_is_given_back_in_steps(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that keeps track of its free pages shrinks by them, and the log beside it to nothing."""
    monkeypatch.setattr(compaction, "SMALL", 0)
    monkeypatch.setattr(compaction, "STEP_PAGES", 3)
    tapes = secrets(40)
    fed(store, tapes)
    store.erase([tape.run for tape in tapes], LATER)
    before = compaction.size(store.path)
    returned = store.compact()
    assert returned == before - compaction.size(store.path) > 0
    assert store.facts()["free_bytes"] == 0
    assert Path(f"{store.path}-wal").stat().st_size == 0
    assert store.compact() == 0


def test_an_older_file_is_written_anew_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps no track of free pages does so from then on, and everything is still there."""
    monkeypatch.setattr(compaction, "SMALL", 0)
    store = SqliteStore(tmp_path / "a.db")
    fed(store, secrets(5))
    store.close()
    with closing(sqlite3.connect(store.path, isolation_level=None)) as old:
        old.execute("PRAGMA auto_vacuum = NONE")
        old.execute("VACUUM")
        assert old.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    before = dump(store)
    store.compact()
    store.close()
    with closing(sqlite3.connect(store.path)) as file:
        assert [file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("auto_vacuum", "journal_mode")] == [2, "wal"]
    assert dump(store) == before
    assert store.check() == []
    store.close()


def test_a_file_of_an_application_is_not_rewritten(store: SqliteStore) -> None:
    """Its layout is the application's: rows of its tables that are known by their place keep it."""
    fed(store, secrets(5))
    store.close()
    with closing(sqlite3.connect(store.path)) as file, file:
        file.execute("PRAGMA application_id = 7")
        file.execute("CREATE TABLE orders (name)")
        file.executemany("INSERT INTO orders (rowid, name) VALUES (?, 'x')", [(3,), (9,)])
    connections = Connections(store.path, store.url, lambda: None)
    compaction.compact(connections, lambda: None, whole=True)
    connections.close()
    with closing(sqlite3.connect(store.path)) as file:
        assert file.execute("SELECT rowid FROM orders").fetchall() == [(3,), (9,)]


def test_others_read_and_write_meanwhile(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process appends, and a reader reads, while blocks are packed again and pages given back."""
    monkeypatch.setattr(compaction, "SMALL", 0)
    monkeypatch.setattr(compaction, "STEP_BLOCKS", 5)
    monkeypatch.setattr(compaction, "STEP_PAGES", 2)
    tapes = secrets(60)
    fed(store, tapes)
    store.erase([tape.run for tape in tapes[:30]], LATER)
    other = SqliteStore(store.path)
    stop, failures = threading.Event(), list[BaseException]()

    def write() -> None:
        number = 0
        try:
            while not stop.is_set():
                tape = rich_run(f"late {number}", f"late words {number} " * 30)
                other.append(batch(tape.events))
                assert list(other.read(tape.run)) == batch(tape.events).events
                number += 1
        except BaseException as failure:  # noqa: BLE001 - told to the test
            failures.append(failure)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            store.compact()
    finally:
        stop.set()
        thread.join()
    other.close()
    assert failures == []
    assert store.check() == []
    for tape in tapes[30:]:
        sent = batch(tape.events)
        assert store.fetch(list(sent.payloads)) == sent.payloads


def test_an_open_reader_delays_only_the_log(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who goes on reading sees what was there when he began; what is free is given back all the same."""
    monkeypatch.setattr("tachograph.store.sqlite.connections.BUSY_SECONDS", 0.05)
    tape, other = call_run(), rich_run()
    store.append(batch(tape.events, other.events))
    reading = store.read(tape.run)
    next(reading)
    store.erase([tape.run], LATER)
    store.compact()
    assert len(list(reading)) == len(tape.events) - 1
    store.append(Batch())
    store.compact()
    assert store.check() == []
