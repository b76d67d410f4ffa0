from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.note import Note, Unknown
from tachograph.server import chapters
from tachograph.server.chapters import (
    SMALL_BYTES,
    Chapter,
    Facts,
    Place,
    control,
    feed_chapter,
    mark,
    message,
    newest,
    place_of,
    run_chapter,
)
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch
from tachograph.store.sqlite.store import SqliteStore
from tests.queries.kept import batch
from tests.server.following import Message, Parser
from tests.strategies import Tape


def notes(label: str, count: int, *, ended: bool = False, **facts: Any) -> Tape:
    """A run of so many events."""
    made = Tape(label)
    made.begin(label, **facts)
    for number in range(count - 1 - ended):
        made.add(Note(name=f"{number}"))
    if ended:
        made.finish()
    return made


def told(found: Chapter) -> list[Message]:
    """The messages of a chapter, as a browser reads them."""
    return list(Parser().feed(b"".join(entry.message for entry in found.entries).decode().split("\n")))


@given(st.builds(Place, st.integers(0, 10**18 - 1), st.none() | st.integers(0, 2**32)) | st.just(Place(-1)))
def test_a_place_is_its_text(place: Place) -> None:
    """What stands in an id names the place again; -1 is before the first event of a run."""
    assert place_of(place.text) == place


@pytest.mark.parametrize("text", ["", "x", "1.", ".1", "1.2.3", "-2", "٣", "1" * 19, "1\n"])
def test_other_text_is_no_place(text: str) -> None:
    """Nothing is guessed."""
    assert place_of(text) is None


def test_an_event_is_a_message() -> None:
    """Its type names the message, the place is the id, and the data is the event as an export writes it."""
    event = notes("one", 1).events[0]
    text = message(event, Place(7, 3)).decode()
    assert text == f"id: 7.3\nevent: run_started\ndata: {codec.to_json(event).decode()}\n\n"
    assert list(Parser().feed(text.split("\n"))) == [
        Message("7.3", "run_started", msgspec.json.decode(codec.to_json(event)))
    ]


@pytest.mark.parametrize("name", ["", "reset", "gone", "message", "two words", "a\nid: 9", "Ünicode", "x" * 65])
def test_a_type_of_a_later_version_breaks_no_message(name: str) -> None:
    """What is no plain name, or has a meaning here, is called unknown; the data still says what it is."""
    event = Event(Tape().run, 0, 0, 0, 0, Unknown(name, {"text": "one\ntwo\r\n"}))
    (found,) = Parser().feed(message(event, Place(1)).decode().split("\n"))
    assert (found.id, found.event, found.data["body"]) == ("1", "unknown", {"type": name, "text": "one\ntwo\r\n"})


def test_other_messages_carry_the_place_too() -> None:
    """A message that is no event has data; a sign of life has only an id, which no page is told of."""
    parser = Parser()
    assert list(parser.feed(control("reset", Place(5)).decode().split("\n"))) == [
        Message("5", "reset", {"cursor": "5"})
    ]
    assert list(parser.feed(mark(Place(9), "still here").decode().split("\n"))) == []
    assert (parser.last_id, parser.comments) == ("9", 1)


# ---- the feed -------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 6)), min_size=1, max_size=12),
    st.integers(1, 7),
    st.lists(st.integers(0, 3), max_size=2),
)
def test_from_any_place_the_rest_is_told_once_in_order(
    appends: list[tuple[int, int]], size: int, erased: list[int]
) -> None:
    """Runs that grow in turns are told in the order in which they came; from each message's id on, exactly the rest."""
    store, tapes = MemoryStore(), [notes(f"run {number}", 1 + sum(n for _, n in appends)) for number in range(4)]
    for number, count in appends:
        run = tapes[number]
        start = store.next_seq(run.run)
        store.append(Batch(run.events[start : start + count]))
    store.erase([tapes[number].run for number in erased], 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chapters, "CHAPTER_EVENTS", size)
        patch.setattr(chapters, "_STRETCHES", 3)
        whole = everything(store, Place(0))
        assert [message.place for message in whole] == came(store)
        for index, each in enumerate(whole):
            place = place_of(each.id)
            assert place is not None
            assert everything(store, place) == whole[index + 1 :]


def everything(store: MemoryStore, place: Place) -> list[Message]:
    """All messages from a place on, chapter by chapter."""
    found: list[Message] = []
    while True:
        chapter = feed_chapter(store, place)
        assert chapter.state in ("more", "now")
        found += told(chapter)
        place = chapter.next
        if chapter.state == "now":
            assert place == newest(store)
            return found


def came(store: MemoryStore) -> list[tuple[str, int]]:
    """Run and seq of all events in the order of the feed."""
    return [
        (stretch.run, seq)
        for stretch in store.appended(0, 1_000)
        for seq in range(stretch.first, stretch.first + stretch.count)
    ]


def test_a_run_that_is_erased_halfway_leaves_the_rest(store: SqliteStore) -> None:
    """Whoever stood in the middle of it goes on with what came after it."""
    one, two = notes("one", 5), notes("two", 2)
    store.append(Batch(one.events))
    store.append(Batch(two.events))
    store.erase([one.run], 1)
    found = feed_chapter(store, Place(1, 2))
    assert [message.place for message in told(found)] == [(two.run, 0), (two.run, 1)]
    assert (found.next, found.state) == (Place(2), "now")
    store.erase([two.run], 1)
    assert feed_chapter(store, Place(1, 2)) == Chapter((), Place(2), "now")


def test_what_the_feed_has_forgotten_is_said(store: SqliteStore) -> None:
    """A place before the oldest stretch, or behind the newest one of another store, is answered with the newest."""
    for number in range(5):
        store.append(Batch(notes(f"run {number}", 1).events))
    with store._connections.transaction() as connection:
        connection.execute("DELETE FROM feed WHERE id <= 2")
    reset = Chapter((), Place(5), "reset")
    assert [feed_chapter(store, place) for place in (Place(0), Place(1), Place(2, 0), Place(6))] == [reset] * 4
    assert [len(told(feed_chapter(store, place))) for place in (Place(2), Place(3, 0), Place(5))] == [3, 2, 0]


def test_a_chapter_ends_when_it_is_large_enough(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the bytes it has; each holds at least one event."""
    made = notes("one", 6)
    store.append(Batch(made.events))
    monkeypatch.setattr(chapters, "CHAPTER_BYTES", 300)
    sizes, place, state = [], Place(0), "more"
    while state == "more":
        found = feed_chapter(store, place)
        sizes.append(len(found.entries))
        place, state = found.next, found.state
    assert (sum(sizes), max(sizes), place) == (6, 2, Place(1))


def test_small_contents_are_told_large_ones_named(store: SqliteStore) -> None:
    """A text up to some KiB stands in the message; beyond, its hash and size do."""
    made = Tape("texts")
    made.begin()
    for size in (10, SMALL_BYTES // 2, SMALL_BYTES * 2):
        made.say("user", {"role": "user", "content": "x" * size})
    store.append(batch(made.events))
    contents = [message.data["body"]["message"] for message in told(feed_chapter(store, Place(0)))[1:]]
    assert [("text" in content, "hash" in content) for content in contents] == [(True, False)] * 2 + [(False, True)]


def test_a_run_is_told_with_what_it_is_chosen_by(store: SqliteStore) -> None:
    """Tenant, session, agent type and tags go with every event of the run."""
    facts: dict[str, Any] = {"tenant": "acme", "session": "s", "agent_type": "planner", "tags": ("a", "b")}
    store.append(Batch(notes("one", 2, **facts).events))
    store.append(Batch(notes("two", 1).events))
    assert [entry.facts for entry in feed_chapter(store, Place(0)).entries] == [
        *[Facts("acme", "s", "planner", frozenset({"a", "b"}))] * 2,
        Facts("default", None, None, frozenset()),
    ]


# ---- one run --------------------------------------------------------------------------------------------------------


def test_a_run_is_told_from_any_event_on(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chapters, to its end; ids are the seqs."""
    monkeypatch.setattr(chapters, "CHAPTER_EVENTS", 2)
    made = notes("one", 5, ended=True)
    store.append(Batch(made.events))
    for after in range(-1, 5):
        seqs, place, state = [], Place(after), "more"
        while state == "more":
            found = run_chapter(store, made.run, place)
            seqs += [int(message.id) for message in told(found)]
            place, state = found.next, found.state
        assert (seqs, place, state) == (list(range(after + 1, 5)), Place(4), "over")


def test_how_a_run_stands_is_said(store: SqliteStore) -> None:
    """It goes on, it is over, or it is not there: which of them, the state says."""
    made = notes("one", 3, ended=True)
    states = []
    for events in (made.events[:2], made.events[2:]):
        store.append(Batch(events))
        states.append(run_chapter(store, made.run, Place(-1)).state)
    store.erase([made.run], 1)
    states.append(run_chapter(store, made.run, Place(1)).state)
    assert states == ["now", "over", "gone"]


def test_a_run_that_goes_on_can_be_followed_again() -> None:
    """A stream of it that was over goes on from its last id; one of a paused run is not over."""
    store, tape = MemoryStore(), notes("one", 2)
    states = []
    place = Place(-1)
    for status in ("paused", None, "failed", None, "completed"):
        _ = tape.finish(status) if status else tape.resume()
        store.append(Batch(tape.events[store.next_seq(tape.run) :]))
        chapter = run_chapter(store, tape.run, place)
        place = chapter.next
        states.append((chapter.state, [message.event for message in told(chapter)][-1]))
    assert states == [
        ("now", "run_ended"), ("now", "run_resumed"), ("over", "run_ended"), ("now", "run_resumed"),
        ("over", "run_ended"),
    ]  # fmt: skip
