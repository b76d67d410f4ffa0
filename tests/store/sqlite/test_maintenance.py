from __future__ import annotations

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
from tests.contracts.store import call_run, dump
from tests.queries.kept import batch
from tests.strategies import Tape


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with two runs of one session, and a content that is packed."""
    opened = SqliteStore(tmp_path / "kept.db")
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


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM events WHERE page = 1 << 32", "events are counted, the log ends at 0"),
        ("UPDATE events SET page = page + 2 WHERE page = 1 << 32", "the log goes from event 0 to event 2"),
        ("UPDATE events SET count = count + 1 WHERE page = 1 << 32", "page 0 holds"),
        ("UPDATE events SET body = x'00' WHERE page = 1 << 32", "page 0 of run"),
        ("UPDATE events SET page = 9 << 32 WHERE page = 1 << 32", "run number 9, which does not exist"),
        ("UPDATE payloads SET body = 'other' WHERE id = 1", "payload 1 is not what its hash"),
        ("UPDATE payloads SET size = 1 WHERE id = 1", "payload 1 has"),
        ("UPDATE payloads SET body = x'28b52ffd00' WHERE id = 3", "payload 3:"),
        (
            "UPDATE payloads SET hash = (SELECT hash FROM payloads WHERE id = 1) WHERE id = 2",
            "2 payloads have the hash",
        ),
        ("DELETE FROM payloads WHERE id = 2", "its message, payload 2, does not exist"),
        ("UPDATE nodes SET parent = 77 WHERE id = 2", "node 2: there is no node 77 before it"),
        ("UPDATE nodes SET parent = 2 WHERE id = 2", "node 2: there is no node 2 before it"),
        (
            "INSERT INTO nodes (parent, payload, role) SELECT parent, payload, role FROM nodes WHERE id = 1",
            "2 nodes stand",
        ),
        ("UPDATE runs SET cost_nano = cost_nano + 1 WHERE pk = 1", "cost_nano is 31, its calls add up to 30"),
        ("UPDATE sessions SET llm_calls = 9", "does not add up to its runs"),
        ("DELETE FROM sessions", "has runs but no row"),
    ],
)
def test_every_kind_of_damage_is_found(store: SqliteStore, statement: str, fault: str) -> None:
    """A sound store has no faults; each planted one is named."""
    assert store.check() == []
    spoil(store, statement)
    assert any(fault in said for said in store.check())


def test_a_damaged_file_says_so(store: SqliteStore) -> None:
    """What SQLite itself finds is passed on."""
    spoil(store, "PRAGMA writable_schema = ON", "UPDATE sqlite_master SET rootpage = 3 WHERE name = 'runs_user'")
    assert any(said.startswith("SQLite: ") for said in store.check())


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
    assert (found["backend"], found["schema"], found["sqlite"]) == ("sqlite", 1, sqlite3.sqlite_version)
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
