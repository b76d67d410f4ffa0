from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tachograph.store.sqlite.store import SqliteStore
from tests.store.sqlite.spoiled import spoil, two_runs


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A store with two runs of one session, and a content that is packed."""
    yield from two_runs(tmp_path)


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
        ("UPDATE payloads SET run = 2 WHERE id = 1", "names it is not noted"),
        ("DELETE FROM shares", "payload 1: that run"),
        ("INSERT INTO shares (payload, run) VALUES (1, 1)", "is noted 1 times too often"),
        ("INSERT INTO shares (payload, run) VALUES (77, 2)", "is noted 1 times too often"),
        (
            "INSERT INTO erased SELECT 1, id, 9, 0, 9, 9, 9 FROM runs WHERE pk = 1",
            "was erased, and it or its number is there again",
        ),
    ],
)
def test_every_kind_of_damage_is_found(store: SqliteStore, statement: str, fault: str) -> None:
    """A sound store has no faults; each planted one is named."""
    assert store.check() == []
    spoil(store, statement)
    assert any(fault in said for said in store.check())


def test_a_damaged_file_says_so(store: SqliteStore) -> None:
    """What SQLite itself finds is passed on."""
    other = "(SELECT rootpage FROM sqlite_master WHERE name = 'erased_run')"
    spoil(store, "PRAGMA writable_schema = ON", f"UPDATE sqlite_master SET rootpage = {other} WHERE name = 'runs_user'")
    assert any(said.startswith("SQLite: ") for said in store.check())
