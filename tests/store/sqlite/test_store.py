from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tachograph.errors import SchemaMismatch, StoreUnavailable
from tachograph.store.ports import Batch
from tachograph.store.query import Query
from tachograph.store.sqlite import connections
from tachograph.store.sqlite.store import SqliteStore
from tachograph.store.sqlite.upgrade import VERSION
from tests.contracts.kept import call_run
from tests.contracts.store import StoreContract
from tests.queries.kept import batch
from tests.store.sqlite.blank import blank
from tests.strategies import Tape

ROOT = Path(__file__).parents[3]


class TestSqliteStore(StoreContract):
    """The embedded store keeps the contract."""

    def open(self, folder: Path) -> SqliteStore:
        """A store in a new file."""
        return blank(folder / "contract.db")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    opened = SqliteStore(tmp_path / "a.db")
    yield opened
    opened.close()


def test_short_commands_load_no_toolkit(store: SqliteStore) -> None:
    """Reading and writing a store that has its schema imports neither SQLAlchemy nor Alembic."""
    store.append(batch(call_run().events))
    program = (
        "import sys; from pathlib import Path; from tachograph.store.open import open_store\n"
        "from tachograph.store.ports import Batch; from tachograph.store.query import Query\n"
        f"store = open_store({store.url!r}); assert store.find(Query('calls')).rows\n"
        "store.append(Batch()); store.close()\n"
        "print([name for name in ('sqlalchemy', 'alembic') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT / "src", capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    """A new file and the folder that is made for it are for their owner; the folder that was there stays as it is."""
    store = SqliteStore(tmp_path / "new" / "deep" / "a.db")
    store.append(batch(call_run().events))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    store.close()


def test_a_store_that_is_locked_is_unavailable(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes for longer than we wait, nothing is stored; reading goes on, and later writing."""
    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.05)
    tape = call_run()
    store.append(batch(tape.events[:2]))
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.append(batch(tape.events[2:]))
        assert store.next_seq(tape.run) == 2
        other.execute("ROLLBACK")
    assert store.append(batch(tape.events[2:])).stored == len(tape.events) - 2


def test_a_full_disk_is_unavailable_until_there_is_room(store: SqliteStore) -> None:
    """A batch that does not fit leaves nothing; the same batch goes in later."""
    tape = call_run()
    tape.say("user", {"content": os.urandom(200_000).hex()})
    store.append(Batch())
    with store._connections.writer() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailable, match="full"):
        store.append(batch(tape.events))
    assert (store.next_seq(tape.run), store.facts()["payloads"]) == (0, 0)
    with store._connections.writer() as connection:
        connection.execute("PRAGMA max_page_count = 1000000")
    assert store.append(batch(tape.events)).stored == len(tape.events)
    assert store.check() == []


def test_a_place_where_no_file_can_be_is_unavailable(tmp_path: Path) -> None:
    """A folder that is a file, a file that is a folder: with the reason, and without a trace."""
    (tmp_path / "file").write_text("x")
    for path, reason in ((tmp_path / "file" / "a.db", "cannot be made"), (tmp_path, "unable to open")):
        with pytest.raises(StoreUnavailable, match=reason):
            SqliteStore(path).next_seq("r")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    """Text is not overwritten, and a database of another program not extended."""
    (tmp_path / "text").write_text("not a database, but longer than a header" * 10)
    with pytest.raises(StoreUnavailable, match="not a database"):
        SqliteStore(tmp_path / "text").next_seq("r")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE mine (n)")
    with pytest.raises(SchemaMismatch, match="of another program"):
        SqliteStore(tmp_path / "other.db").next_seq("r")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_newer_schema_is_refused(store: SqliteStore) -> None:
    """With both numbers in the error; nothing is written."""
    store.append(batch(call_run().events))
    store.close()
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SchemaMismatch) as caught:
        store.find(Query("runs"))
    assert (caught.value.found, caught.value.known) == ("99", str(VERSION))


def test_a_store_that_was_deleted_begins_again(store: SqliteStore) -> None:
    """After closing, a file that is gone is made anew."""
    tape = call_run()
    store.append(batch(tape.events))
    store.close()
    store.path.unlink()
    assert store.next_seq(tape.run) == 0
    assert store.append(batch(tape.events)).stored == len(tape.events)


_CHILD = """
import sys, time
from pathlib import Path
from tests.contracts.kept import call_run
from tests.queries.kept import batch
from tests.store.sqlite.blank import blank
from tachograph.store.sqlite.store import SqliteStore
from tachograph.store.sqlite.upgrade import VERSION
store = SqliteStore(Path(sys.argv[1]))
for number in range(15):
    tape = call_run(f"{sys.argv[2]} {number}", session="shared")
    tape.finish()
    for start in range(0, len(tape.events), 4):
        store.append(batch(tape.events[start : start + 4]))
store.close()
"""


def test_several_processes_feed_one_new_file(store: SqliteStore) -> None:
    """They open it at the same time, append side by side, and everything adds up; a reader sees sound states only."""
    command = [sys.executable, "-W", "error", "-c", _CHILD, str(store.path)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    children = [subprocess.Popen([*command, str(number)], env=environment) for number in range(4)]
    while any(child.poll() is None for child in children):
        for row in store.find(Query("runs", limit=5)).rows:
            assert len(list(store.read(row["id"]))) >= row["next_seq"]
    assert [child.returncode for child in children] == [0] * 4
    session = store.find(Query("sessions")).rows[0]
    assert (session["runs"], session["llm_calls"], session["cost_nano"]) == (60, 60, 1800)
    assert store.facts()["nodes"] == 2
    assert store.check() == []


def test_threads_append_and_read_at_once(store: SqliteStore) -> None:
    """One object serves many threads."""
    tapes = [call_run(f"run {number}", session="s") for number in range(8)]
    failures: list[BaseException] = []

    def work(tape: Tape) -> None:
        try:
            for event in tape.events:
                store.append(batch([event]))
                assert store.next_seq(tape.run) == event.seq + 1
            assert list(store.read(tape.run)) == batch(tape.events).events
        except BaseException as failure:  # noqa: BLE001 - told to the test
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(tape,)) for tape in tapes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.check() == []


def test_reading_may_be_left_early(store: SqliteStore) -> None:
    """A reader that stops half-way gives its connection back, and appending goes on under an open one."""
    tape = call_run()
    store.append(batch(tape.events))
    reading = store.read(tape.run)
    assert next(reading).seq == 0
    tape.finish()
    store.append(batch(tape.events[-1:]))
    assert [event.seq for event in reading] == list(range(1, len(tape.events) - 1))
    other = store.read(tape.run)
    next(other)
    del other
    assert store.next_seq(tape.run) == len(tape.events)
