from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tachograph.errors import StoreUnavailable
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Score
from tachograph.events.usage import Usage
from tachograph.store.ports import Batch
from tachograph.store.query import Query
from tachograph.store.sqlite import writer
from tachograph.store.sqlite.pages import PAGE_EVENTS
from tachograph.store.sqlite.store import SqliteStore
from tests.contracts.kept import call_run, dump
from tests.queries.kept import batch
from tests.strategies import Tape


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """An empty store."""
    opened = SqliteStore(tmp_path / "writer.db")
    yield opened
    opened.close()


def pages(store: SqliteStore) -> Sequence[int]:
    """How many events each page holds."""
    return [row["count"] for row in store.sql("SELECT count FROM events ORDER BY page")]


def one_by_one(store: SqliteStore, events: Sequence[Event]) -> None:
    """A batch for every event."""
    for event in events:
        store.append(batch([event]))


def test_pages_of_an_ended_run_are_packed_together(store: SqliteStore) -> None:
    """While it runs each batch is a page; when it ends they become one, with what follows the end beside it."""
    tape = call_run()
    one_by_one(store, tape.events)
    assert pages(store) == [1] * len(tape.events)
    tape.finish()
    tape.add(Score(name="reward"))
    one_by_one(store, tape.events[-2:])
    assert pages(store) == [len(tape.events) - 1, 1]
    assert [event.seq for event in store.read(tape.run, after=6)] == list(range(7, len(tape.events)))


def test_a_long_run_is_packed_as_it_goes(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No run gathers loose pages without end, and full pages are left alone."""
    monkeypatch.setattr(writer, "LOOSE_PAGES", 8)
    monkeypatch.setattr(writer, "PAGE_EVENTS", 20)
    monkeypatch.setattr("tachograph.store.sqlite.pages.PAGE_EVENTS", 20)
    tape = Tape()
    tape.begin()
    for number in range(70):
        tape.add(Score(name=str(number)))
    one_by_one(store, tape.events)
    assert sum(pages(store)) == 71
    assert max(pages(store)) == 20
    assert len(pages(store)) <= 71 // 20 + 8
    tape.finish()
    one_by_one(store, tape.events[-1:])
    assert pages(store) == [20, 20, 20, 12]
    assert [event.seq for event in store.read(tape.run)] == list(range(72))


def test_a_whole_run_makes_full_pages(store: SqliteStore) -> None:
    """A run that comes at once is cut at the bound."""
    tape = Tape()
    tape.begin()
    for number in range(2 * PAGE_EVENTS):
        tape.add(Score(name=str(number)))
    tape.finish()
    store.append(batch(tape.events))
    assert pages(store) == [PAGE_EVENTS, PAGE_EVENTS, 2]
    assert store.check() == []


def test_two_processes_may_feed_one_run(store: SqliteStore, tmp_path: Path) -> None:
    """Whoever writes next sees what the other wrote: transcripts, open steps and totals go on."""
    other = SqliteStore(store.path)
    tape = call_run(session="s")
    tape.finish("completed", stop_reason="final_answer")
    for number, event in enumerate(tape.events):
        (store, other)[number % 2].append(batch([event]))
    alone = SqliteStore(tmp_path / "alone.db")
    alone.append(batch(tape.events))
    told = [name for name in dump(alone) if name not in ("dirty_hours", "feed")]
    assert {name: dump(store)[name] for name in told} == {name: dump(alone)[name] for name in told}
    assert other.check() == []
    other.close()
    alone.close()


def test_what_another_process_wrote_is_seen_however_late(store: SqliteStore) -> None:
    """A run that both have written goes on here, though this process wrote another one in between."""
    other = SqliteStore(store.path)
    tape, between = call_run("shared", session="s"), call_run("between", session="s")
    store.append(batch(tape.events[:1]))
    other.append(batch(tape.events[1:3]))
    store.append(batch(between.events))
    assert store.append(batch(tape.events[3:])).stored == len(tape.events) - 3
    assert [event.seq for event in store.read(tape.run)] == list(range(len(tape.events)))
    assert store.check() == []
    other.close()


def test_a_run_that_was_forgotten_goes_on(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one run's state, interleaved runs still come out right."""
    monkeypatch.setattr(writer, "_STATES", 1)
    tapes = [call_run(f"run {number}", session="s") for number in range(3)]
    for place in range(len(tapes[0].events)):
        for tape in tapes:
            store.append(batch([tape.events[place]]))
    assert {row["llm_calls"] for row in store.find(Query("runs")).rows} == {1}
    assert {(row["input_node"], row["output_node"]) for row in store.find(Query("calls")).rows} == {(1, 2)}
    assert store.check() == []


def test_a_failure_leaves_nothing_behind(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that breaks at its last statement is not there, in the file or in memory, and can be sent again."""
    first, second = call_run("first", session="s"), call_run("second", session="s")
    store.append(batch(first.events[:3]))
    before = dump(store)
    monkeypatch.setattr(writer, "_MARK", "INSERT INTO nowhere VALUES (?, ?)")
    with pytest.raises(StoreUnavailable, match="nowhere"):
        store.append(batch(first.events[3:], second.events))
    assert dump(store) == before
    monkeypatch.undo()
    store.append(batch(first.events[3:], second.events))
    assert store.find(Query("sessions")).rows[0]["llm_calls"] == 2
    assert store.check() == []


def test_numbers_beyond_sql_do_not_poison(store: SqliteStore) -> None:
    """What does not fit into 64 bits is stored as the nearest that does; the log has it exactly."""
    tape = Tape()
    tape.begin()
    for _ in range(3):
        tape.reply(tape.call(), usage=Usage(2**62, output=2**62, basis="provider"))
    store.append(Batch(tape.events))
    tape.reply(tape.call(), usage=Usage(1, basis="provider"))
    store.append(Batch(tape.events[-2:]))
    row = store.find(Query("runs", columns=("uncached_tokens", "llm_calls"))).rows[0]
    assert row == {"uncached_tokens": 2**63 - 1, "llm_calls": 4}
    assert list(store.read(tape.run)) == tape.events
    before = dump(store, ("runs", "calls"))
    store.rebuild()
    assert dump(store, ("runs", "calls")) == before


def test_pages_of_another_version_stay_apart(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing never mixes codec versions."""
    monkeypatch.setattr(codec, "_LIFTS", {0: lambda fields: fields})
    tape = call_run()
    store.append(batch(tape.events[:4]))
    store.close()
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("UPDATE events SET codec = 0")
    connection.close()
    tape.finish()
    store.append(batch(tape.events[4:]))
    assert pages(store) == [4, len(tape.events) - 4]
