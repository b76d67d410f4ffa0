from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.events.content import digest
from tachograph.store.ports import Batch
from tachograph.store.query import Query
from tachograph.store.relations import PROJECTIONS
from tachograph.store.sqlite.maintenance import facts, replace_rollups
from tachograph.store.sqlite.store import SqliteStore
from tachograph.store.sqlite.upgrade import VERSION
from tests.contracts.kept import call_run, dump
from tests.queries.kept import batch
from tests.store.sqlite.spoiled import spoil, two_runs
from tests.strategies import BEGAN, Tape


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with two runs of one session, and a content that is packed."""
    yield from two_runs(tmp_path)


def test_a_rebuild_mends_projections(store: SqliteStore) -> None:
    """Rows that were lost or wrong are made again from the log, and everything stale is marked."""
    before = dump(store, PROJECTIONS)
    spoil(store, "DELETE FROM calls", "UPDATE steps SET name = 'x'", "DELETE FROM sessions",
          "UPDATE runs SET name = 'x'",
          "DELETE FROM dirty_hours")  # fmt: skip
    assert store.rebuild() == {table: len(before[table]) for table in PROJECTIONS}
    assert dump(store, PROJECTIONS) == before
    assert len(store.find(Query("dirty_hours")).rows) == 1


def test_a_rebuild_takes_long_and_many_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More runs than are done at once, more events than a page: the same rows."""
    monkeypatch.setattr("tachograph.store.sqlite.maintenance._REBUILD_RUNS", 2)
    monkeypatch.setattr("tachograph.store.sqlite.writer.PAGE_EVENTS", 3)
    store = SqliteStore(tmp_path / "many.db")
    store.append(batch(*(call_run(f"run {number}", session="s").events for number in range(5))))
    before = dump(store, PROJECTIONS)
    store.rebuild()
    assert dump(store, PROJECTIONS) == before
    store.close()


def test_a_backup_is_whole_while_writing_goes_on(store: SqliteStore, tmp_path: Path) -> None:
    """The copy is the store at one moment; it opens like any other, and replaces an older copy."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            store.append(batch(call_run(f"later {number}", session="s").events))
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            store.backup(tmp_path / "copy.db")
    finally:
        stop.set()
        thread.join()
    copy = SqliteStore(tmp_path / "copy.db")
    assert copy.check() == []
    assert copy.facts()["runs"] >= 2
    copy.close()
    assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]


def test_search_reads_packed_messages(store: SqliteStore) -> None:
    """What is compressed is found as well, once for each place it stands in."""
    assert [hit["hash"] for hit in store.search("LONG long")] == [
        digest(b'{"role":"user","content":"' + b"long " * 400 + b'"}').hex()
    ] * 2
    assert store.search("nowhere to be found") == []


@pytest.mark.parametrize("most", [0, 1, 20_000])
@pytest.mark.parametrize(("text", "runs"), [("größe 7 ", [7]), ("MEHR", [*range(11, -1, -1)]), ("GRÖSSE", [])])
def test_search_finds_runs_by_what_they_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, text: str, runs: list[int]
) -> None:
    """Few runs are looked up and very many are read, newest first; both ways find the same."""
    monkeypatch.setattr("tachograph.store.sqlite.maintenance._MOST_NOTED", most)
    tapes = [Tape(str(number), at=BEGAN + number) for number in range(12)]
    for number, tape in enumerate(tapes):
        tape.begin("ask")
        tape.say("system", {"content": "Mehr nicht"})
        tape.say("user", {"content": f"Größe {number} und so"})
    with contextlib.closing(SqliteStore(tmp_path / "said.db")) as store:
        store.append(batch(*(tape.events for tape in tapes)))
        assert [hit["run_id"] for hit in store.search(text)] == [tapes[number].run for number in runs]
        assert store.search(text, tenant="another") == []


def test_rollups_are_replaced_by_period_and_tenant(store: SqliteStore) -> None:
    """Rows of other tenants and hours stay; a mark goes only if nobody marked again."""
    other = {"facet": "project", "count": 1, "tenant": "b"}
    with store._connections.transaction() as connection:
        for tenant in ("a", "b"):
            connection.execute("INSERT INTO dirty_hours VALUES (?, 5, 1)", (tenant,))
            connection.execute(
                "INSERT INTO rollup_hour (facet, tenant, hour, count) VALUES ('project', ?, 5, 1)", (tenant,)
            )
        row = {**dict.fromkeys(_columns(connection), ""), "facet": "model", "count": 7, "duration_min_ns": None}
        replace_rollups(connection, [{"tenant": "a", "hour": 5, "ver": 1}], {5: [row]}, {})
        replace_rollups(connection, [{"tenant": "b", "hour": 5, "ver": 0}], {}, {})
    rows = store.find(Query("rollup_hour", columns=("facet", "count", "tenant"))).rows
    assert list(rows) == [{"facet": "model", "count": 7, "tenant": "a"}, other]
    assert [
        row["tenant"] for row in store.find(Query("dirty_hours", columns=("tenant", "ver"))).rows if row["ver"] == 1
    ] == ["b"]


def _columns(connection: sqlite3.Connection) -> list[str]:
    return [row[1] for row in connection.execute("PRAGMA table_info(rollup_hour)")]


def test_facts_say_what_there_is(store: SqliteStore) -> None:
    """Size on disk with the write-ahead log, versions and counts."""
    with store._connections.reader() as connection:
        found = facts(connection, store.path)
    assert found["bytes"] >= store.path.stat().st_size
    assert (found["backend"], found["schema"], found["sqlite"]) == ("sqlite", VERSION, sqlite3.sqlite_version)
    assert (found["runs"], found["nodes"], found["payloads"]) == (2, 3, 3)


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    """Nothing to rebuild, nothing to find, nothing wrong."""
    store = SqliteStore(tmp_path / "empty.db")
    store.append(Batch())
    assert store.check() == []
    assert set(store.rebuild().values()) == {0}
    assert store.search("x") == []
    store.append(batch(Tape().events))
    store.close()
