from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tachograph.events.content import Content
from tachograph.events.message import MessageAppended
from tachograph.store.ports import Appended, Batch, Stretch
from tachograph.store.query import Query
from tachograph.store.sqlite import erasure
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.erasing import LATER, OWN, rich_run
from tests.contracts.kept import call_run, dump, named
from tests.house.source import ROOT
from tests.queries.kept import batch
from tests.store.sqlite.blank import blank
from tests.strategies import Tape


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    opened = blank(tmp_path / "a.db")
    yield opened
    opened.close()


@pytest.fixture
def other(store: SqliteStore) -> Iterator[SqliteStore]:
    """The same file, as another process has it: with a writer of its own."""
    opened = SqliteStore(store.path)
    yield opened
    opened.close()


def spoil(store: SqliteStore, statement: str) -> None:
    """Change the file behind the store's back."""
    store.close()
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement)


def chain(source: str, *words: str) -> Tape:
    """A run that says these words one after the other."""
    tape = Tape(source)
    tape.begin()
    parent = None
    for word in words:
        parent = tape.say("user", {"role": "user", "content": word}, parent)
    return tape


def test_another_writer_stores_again_what_was_erased(store: SqliteStore, other: SqliteStore) -> None:
    """It remembers the numbers of a run's contents; after somebody else erased the run, they mean nothing any more."""
    first = chain("first", "be brief", "is it?")
    other.append(batch(first.events))
    for number in range(3):
        store.erase([first.run if number == 0 else f"none {number}"], LATER)
        again = chain(f"again {number}", "be brief", "is it?", f"so {number}")
        other.append(batch(again.events))
        assert list(other.read(again.run)) == batch(again.events).events
        assert store.fetch(list(batch(again.events).payloads)) == batch(again.events).payloads
        assert store.check() == []
        store.erase([again.run], LATER)
    assert store.facts()["payloads"] == store.facts()["nodes"] == 0


def test_another_writer_drops_what_was_erased(store: SqliteStore, other: SqliteStore) -> None:
    """Though it holds the open run in memory; and a replaced or rebuilt store is not what it remembers either."""
    tape, shared = rich_run("gone"), rich_run("kept", "kept words")
    other.append(batch(tape.events[:6], shared.events[:6]))
    store.erase([tape.run], LATER)
    assert other.append(batch(tape.events[6:])) == Appended(dropped=len(tape.events) - 6)
    store.append(batch(rich_run("kept", "new words").events[:6], replace=[shared.run]))
    other.append(batch(rich_run("late", "kept words").events))
    assert store.check() == []
    store.rebuild()
    other.append(batch(rich_run("later", "kept words").events))
    assert other.check() == []


def test_processes_take_turns(store: SqliteStore, other: SqliteStore, tmp_path: Path) -> None:
    """Two that append and erase in turns leave what one that never saw the erased runs would have."""
    tapes = [rich_run(f"run {number}", f"words {number % 3}", session="s") for number in range(12)]
    for number, tape in enumerate(tapes):
        one, two = (store, other) if number % 2 else (other, store)
        one.append(batch(tape.events[:7]))
        two.append(batch(tape.events[7:]))
        if number % 3 == 2:
            one.erase([tapes[number - 1].run, tape.run], LATER)
    alone = blank(tmp_path / "alone.db")
    for number, tape in enumerate(tapes):
        if number % 3 == 0:
            alone.append(batch(tape.events))
    left, expected = named(dump(store)), named(dump(alone))
    told = expected.keys() - {"erased", "dirty_hours"}
    assert {table: left[table] for table in told} == {table: expected[table] for table in told}
    assert store.check() == []
    alone.close()


_FEEDER = """
import sys
from pathlib import Path
from tests.contracts.kept import call_run
from tests.queries.kept import batch
from tachograph.store.sqlite.store import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
for number in range(40):
    tape = call_run(f"{sys.argv[2]} {number}")
    for start in range(0, len(tape.events), 3):
        store.append(batch(tape.events[start : start + 3]))
store.close()
"""


def test_the_feed_is_exact_while_two_processes_write(store: SqliteStore) -> None:
    """A reader that polls meets every stretch once, in order, each run's without a gap."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    command = [sys.executable, "-W", "error", "-c", _FEEDER, str(store.path)]
    children = [subprocess.Popen([*command, name], env=environment) for name in ("one", "two")]
    seen: list[Stretch] = []
    told: dict[str, int] = {}
    more = True
    while more:
        more = any(child.poll() is None for child in children)
        found = store.appended(seen[-1].id if seen else 0, 7)
        more = more or bool(found)
        for stretch in found:
            assert stretch.first == told.get(stretch.run, 0)
            told[stretch.run] = stretch.first + stretch.count
            assert len(list(store.read(stretch.run, stretch.first - 1))) >= stretch.count
        seen += found
    assert [child.returncode for child in children] == [0, 0]
    assert [stretch.id for stretch in seen] == list(range(1, store.head() + 1))
    assert told == {row["id"]: row["next_seq"] for row in store.find(Query("runs", limit=None)).rows}
    assert len(told) == 80


def test_what_an_older_version_stored_is_kept_until_a_rebuild(store: SqliteStore) -> None:
    """Whose its contents are is not known: erasing leaves them, and new runs that name them claim nothing."""
    old, kept = rich_run("old", "secret one"), rich_run("kept", "secret two")
    store.append(batch(old.events, kept.events))
    spoil(store, "UPDATE payloads SET run = NULL")
    spoil(store, "DELETE FROM shares")
    assert store.check() == []
    store.append(batch(rich_run("new", "secret one").events))
    assert store.erase([old.run], LATER).payloads == 0
    assert store.check() == []
    store.rebuild()
    assert store.check() == []
    assert store.erase([kept.run], LATER).payloads == OWN
    new = batch(rich_run("new", "secret one").events)
    assert store.fetch(list(new.payloads)) == new.payloads
    assert store.check() == []


def test_a_run_whose_log_cannot_be_read_goes_too(store: SqliteStore) -> None:
    """With everything that the tables say it names; its nodes go with their messages."""
    gone, kept = rich_run("gone", "secret one"), rich_run("kept", "secret two")
    store.append(batch(gone.events, kept.events))
    spoil(store, "UPDATE events SET body = x'00' WHERE page >> 32 = 1")
    assert store.erase([gone.run], LATER).payloads == OWN
    assert store.check() == []
    assert list(store.read(kept.run)) == batch(kept.events).events
    assert store.facts()["nodes"] == 3


def test_a_place_where_many_spoke_is_found_among_few(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which runs may have spoken at a place is told by the messages before it: other logs are not read."""
    for number in range(30):
        store.append(batch(chain(f"run {number}", f"only {number}", "shared").events))
    pair = [chain(f"pair {number}", "both", "shared") for number in range(2)]
    store.append(batch(*(tape.events for tape in pair)))
    read: list[int] = []
    look = erasure.Erasure._nodes_of

    def noted(self: erasure.Erasure, pk: int) -> frozenset[int]:
        read.append(pk)
        return look(self, pk)

    monkeypatch.setattr(erasure.Erasure, "_nodes_of", noted)
    store.erase([pair[0].run], LATER)
    assert read == [31, 32]
    assert store.facts()["nodes"] == 62
    store.erase([pair[1].run], LATER)
    assert read == [31, 32, 32]
    assert store.facts()["nodes"] == 60
    assert store.check() == []


def test_the_search_for_a_place_ends(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where many runs have said the same words in another order, a node may stay; its words are said by others."""
    monkeypatch.setattr(erasure, "LOOKED_AT", 4)
    for number in range(6):
        store.append(batch(chain(f"run {number}", "c", "b", "a").events))
    odd = chain("odd", "a", "b", "c")
    store.append(batch(odd.events))
    store.erase([odd.run], LATER)
    assert store.facts()["nodes"] == 6
    assert store.facts()["payloads"] == 3
    assert store.check() == []


def test_nodes_without_a_message_stay(store: SqliteStore) -> None:
    """Nothing of it was kept, so nobody can tell who was here; there is nothing to be read."""
    tape = Tape()
    tape.begin()
    tape.add(MessageAppended(role="user", message=Content(level="none")))
    store.append(Batch(tape.events))
    store.erase([tape.run], LATER)
    assert store.find(Query("nodes")).rows == [{"id": 1, "parent": 0, "payload": 0, "role": "user"}]
    assert store.check() == []


def test_a_reader_that_has_begun_meets_no_error(store: SqliteStore) -> None:
    """It goes on with what was there; one that comes later finds nothing, and contents that are gone are absent."""
    tape = call_run()
    sent = batch(tape.events)
    store.append(sent)
    reading = store.read(tape.run)
    next(reading)
    store.erase([tape.run], LATER)
    assert [event.seq for event in reading] == list(range(1, len(tape.events)))
    assert list(store.read(tape.run)) == []
    assert store.fetch(list(sent.payloads)) == {}


def test_a_transcript_whose_message_is_gone_has_no_text_there(store: SqliteStore) -> None:
    """A payload that a log names and that is not there reads as one that was not kept."""
    tape = chain("run", "be brief", "is it?")
    store.append(batch(tape.events))
    spoil(store, "DELETE FROM payloads WHERE id = 1")
    said = [event.body for event in store.read(tape.run) if isinstance(event.body, MessageAppended)]
    assert [body.message.level for body in said] == ["none", "full"]
    assert [hit["seq"] for hit in store.search("is it")] == [2]
