from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from tachograph.errors import SequenceGap, SettingsError, StoreRefused, StoreUnavailable, WriteOnly
from tachograph.events import codec
from tachograph.events.content import Content, digest, inline
from tachograph.events.note import Note
from tachograph.events.run import Failure, StepEnded
from tachograph.queries.events import events as events_of
from tachograph.server.service import Service
from tachograph.store import remote
from tachograph.store.memory import MemoryStore
from tachograph.store.open import open_store
from tachograph.store.ports import Appended, Batch, OpenStep, Position, Store
from tachograph.store.query import Query
from tachograph.store.remote import RemoteStore
from tachograph.store.rows import JournalRow, LossRow
from tests.queries.kept import batch
from tests.server.conftest import serving
from tests.server.serving import service_over
from tests.store.scripted import Answer, Asked, Script, given, problem, scripted
from tests.strategies import Tape

JOURNAL = "019a0000-0000-7000-8000-000000000000"
TAKEN = {"stored": 0, "repeated": 0, "dropped": 0, "moved": True, "runs": {}}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A server's surroundings."""
    return service_over(MemoryStore(), home=tmp_path)


@pytest.fixture
def store(service: Service) -> Iterator[Store]:
    """That server as a store, opened without a key."""
    with serving(service) as base:
        opened = open_store(base)
        yield opened
        opened.close()


@pytest.fixture
def script() -> Iterator[Script]:
    """A server that answers by a script."""
    with scripted() as made:
        made.answer = lambda asked: given(TAKEN)
        yield made


def tape(label: str = "one") -> Tape:
    """A run with messages and an open call."""
    made = Tape(label)
    made.begin(owner=JOURNAL)
    tip = made.say("user", {"role": "user", "content": "hello " * 300})
    made.call(input=tip, tools=inline('["%s"]' % ("look" * 200)))
    return made


def test_events_arrive_whole(store: Store, service: Service) -> None:
    """Contents that a batch names by hash and brings along are sent as texts; the server places them anew."""
    made = tape()
    assert store.append(batch(made.events)) == Appended(3)
    assert list(events_of(service.store, made.run)) == made.events
    assert store.append(batch(made.events)) == Appended(0, 3)


def test_what_was_only_hashed_is_sent_as_it_is(store: Store, service: Service) -> None:
    """No text is made up for it, and none is asked for."""
    made = Tape("hashed")
    hashed = Content(hash=digest(b'"x"').hex(), size=5, level="hashed")
    made.begin(input=hashed, metadata=Content(size=9, level="none"))
    assert store.append(Batch(made.events, {digest(b'"x"'): b'"x"'})) == Appended(1)
    assert list(service.store.read(made.run)) == made.events


def test_a_gap_is_told_as_by_any_store(store: Store) -> None:
    """With run and seqs, and nothing is stored."""
    made = tape()
    with pytest.raises(SequenceGap) as caught:
        store.append(batch(made.events[1:]))
    assert (caught.value.run, caught.value.expected, caught.value.found) == (made.run, 0, 1)
    assert store.next_seq(made.run) == 0


def test_a_position_moves_with_its_batch(store: Store, service: Service) -> None:
    """Once; whoever is behind learns it, and asks the server the next time."""
    made, other = tape(), open_store(store.url)
    assert (store.position(JOURNAL), other.position(JOURNAL)) == ((0, 0), (0, 0))
    position = Position(JOURNAL, 1, 700)
    assert store.append(msgspec.structs.replace(batch(made.events), position=position)) == Appended(3)
    assert other.append(msgspec.structs.replace(batch(made.events), position=position)) == Appended(moved=False)
    assert (store.position(JOURNAL), other.position(JOURNAL), service.store.position(JOURNAL)) == ((1, 700),) * 3
    other.close()


def test_what_a_drain_asks_about_the_dead(store: Store) -> None:
    """Open steps of a journal, the next seq of a run, and the last event of it."""
    made = tape()
    store.append(batch(made.events))
    assert list(store.open_steps(JOURNAL)) == [
        OpenStep(made.run, 2, "llm", made.events[2].at), OpenStep(made.run, 0, "run", made.events[0].at),
    ]  # fmt: skip
    assert store.next_seq(made.run) == 3
    (last,) = store.read(made.run, after=1)
    assert (last.seq, last.at, last.mono, type(last.body)) == (
        2,
        made.events[2].at,
        made.events[2].mono,
        type(made.events[2].body),
    )
    assert list(store.read(made.run, after=2)) == list(store.read(made.run, after=1, limit=0)) == []
    assert list(store.read(tape("none").run)) == []


def test_a_loss_is_noted_there(store: Store, service: Service) -> None:
    """Other rows are the server's own affair."""
    store.note(LossRow(at=5, journal=JOURNAL, reason="journal_full", events=2, bytes=7, detail="d"))
    (row,) = service.store.find(Query("losses")).rows
    assert (row["journal"], row["reason"], row["events"], row["bytes"], row["detail"]) == (
        JOURNAL,
        "journal_full",
        2,
        7,
        "d",
    )
    with pytest.raises(WriteOnly):
        store.note(JournalRow(id=JOURNAL))


QUESTIONS: Mapping[str, Callable[[Store], Any]] = {
    "find": lambda store: store.find(Query("runs")),
    "fetch": lambda store: store.fetch([bytes(32)]),
    "search": lambda store: store.search("x"),
    "appended": lambda store: store.appended(0),
    "head": lambda store: store.head(),
    "erase": lambda store: store.erase(["x"], 1),
    "compact": lambda store: store.compact(),
    "rebuild": lambda store: store.rebuild(),
    "check": lambda store: store.check(),
    "replace": lambda store: store.append(Batch(replace=frozenset({"x"}))),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_whatever_is_read_is_read_at_the_server(script: Script, question: str) -> None:
    """The answer says so, without asking the server, and where to go instead."""
    store = open_store(script.url)
    with pytest.raises(WriteOnly, match=f"{script.url} only takes events in .*{script.url}/openapi.json"):
        QUESTIONS[question](store)
    assert script.asked == []
    store.close()


def test_the_events_of_a_run_are_not_read_here(store: Store) -> None:
    """Only its last one, which a drain needs."""
    made = tape()
    store.append(batch(made.events))
    with pytest.raises(WriteOnly):
        list(store.read(made.run))


def test_its_own_upkeep_is_none_of_ours(script: Script) -> None:
    """Nothing is asked for a refresh."""
    store = open_store(script.url)
    assert store.refresh(1) == 0
    assert script.asked == []
    store.close()


def test_facts_tell_whether_the_server_would_take_events(store: Store, script: Script) -> None:
    """For `doctor`: an answer, or the reason why not."""
    assert store.facts() == {"backend": "remote"}
    script.answer = lambda asked: problem(401, "key-refused")
    other = open_store(script.url, "tg_key")
    with pytest.raises(StoreRefused, match="key-refused"):
        other.facts()
    other.close()


# ---- what goes over the line ----------------------------------------------------------------------------------------


def sent(asked: Asked) -> list[int]:
    """The seqs of the events of a request."""
    body = zstandard.decompress(asked.body) if asked.headers.get("content-encoding") == "zstd" else asked.body
    return [event.seq for event in codec.decode_all(body)]


def test_what_is_large_goes_packed_and_in_parts(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, and the position comes with the last part alone: what went before may be sent again."""
    monkeypatch.setattr(remote, "PART_EVENTS", 3)
    made = Tape()
    made.begin()
    for number in range(6):
        made.add(Note(name=f"{number}"))
    store = RemoteStore(script.url, "tg_key", direct=True)
    store.append(Batch(made.events, position=Position(JOURNAL, 2, 9, (1, 8))))
    assert [sent(asked) for asked in script.asked] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [asked.path for asked in script.asked] == [
        "/api/events", "/api/events",
        f"/api/events?journal={JOURNAL}&segment=2&offset=9&before_segment=1&before_offset=8",
    ]  # fmt: skip
    monkeypatch.setattr(remote, "PART_BYTES", 2_000)
    monkeypatch.setattr(remote, "PART_EVENTS", 5_000)
    script.asked.clear()
    failed = Tape()
    failed.begin()
    for _ in range(7):
        failed.add(StepEnded(status="failed", error=Failure("E", "m" * 100, "bug", "t" * 600)))
    store.append(batch(failed.events))
    assert [sent(asked) for asked in script.asked] == [[0, 1, 2], [3, 4], [5, 6], [7]]
    script.asked.clear()
    store.append(batch(tape().events))
    assert [sent(asked) for asked in script.asked] == [[0], [1], [2]]
    assert [asked.headers.get("content-encoding") for asked in script.asked] == [None, "zstd", None]
    store.close()


def test_a_part_that_fails_leaves_the_position(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole batch is sent again by the next round; the server is asked how far it is."""
    monkeypatch.setattr(remote, "PART_EVENTS", 1)
    answers = iter([given({"segment": 0, "offset": 0}), given(TAKEN), problem(422, "malformed-event")])
    script.answer = lambda asked: next(answers, given({"segment": 0, "offset": 0}))
    store = RemoteStore(script.url, "tg_key", direct=True)
    assert store.position(JOURNAL) == store.position(JOURNAL) == (0, 0)
    with pytest.raises(StoreRefused):
        store.append(Batch(tape().events[:1] + tape().events[:1], position=Position(JOURNAL, 1, 9)))
    assert store.position(JOURNAL) == (0, 0)
    assert script.paths().count(f"GET /api/journals/{JOURNAL}") == 2
    store.close()


def test_an_empty_batch_still_moves_the_position(script: Script) -> None:
    """As after damage at the end of a journal."""
    store = RemoteStore(script.url, "tg_key", direct=True)
    assert store.append(Batch(position=Position(JOURNAL, 1, 9))) == Appended()
    assert (sent(script.asked[0]), store.position(JOURNAL)) == ([], (1, 9))
    store.close()


# ---- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["http://example.org", "http://10.0.0.1:4319/", "http://key@tachograph.example"])
def test_nothing_is_sent_in_the_clear_to_others(url: str) -> None:
    """http: is for this machine; the error does not show the key."""
    with pytest.raises(SettingsError, match="https: to other machines") as caught:
        open_store(url)
    assert "key@" not in str(caught.value)


def test_another_machine_wants_a_key() -> None:
    """In the URL or beside it; what cannot be one is refused unseen."""
    with pytest.raises(SettingsError, match=r"an access key of https://example\.org: TACHOGRAPH_KEY"):
        open_store("https://example.org/")
    for key in ("two words", "a\nb", "ü"):
        with pytest.raises(SettingsError) as caught:
            open_store("https://example.org", key)
        assert key not in str(caught.value)
    assert open_store("https://tg_1_x@EXAMPLE.org:443/base/").url == "https://example.org/base"
    assert open_store("https://example.org", "tg_1_x").url == "https://example.org"


def test_the_key_is_shown_nowhere(script: Script) -> None:
    """Neither by the store nor by its errors; it is sent, and that is all."""
    script.answer = lambda asked: Answer(500)
    store = open_store(script.url.replace("http://", "http://tg_1_secret@"))
    with pytest.raises(StoreUnavailable) as caught:
        store.next_seq(JOURNAL)
    assert "tg_1_secret" not in f"{store!r} {store.url} {vars(store)} {caught.value} {caught.value!r}"
    assert script.asked[0].headers["authorization"] == "Bearer tg_1_secret"
    store.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.0.1"])
def test_this_machine_needs_no_key(host: str) -> None:
    """Under any of its names."""
    assert open_store(f"http://{host}:4319/").url == f"http://{host}:4319"


def test_what_a_former_owner_sends_is_told_as_late(service: Service, store: Store) -> None:
    """The server keeps it out, and says how much that was."""
    made = Tape("over")
    made.begin(owner=JOURNAL)
    made.finish("failed")
    assert store.append(Batch(made.events, position=Position(JOURNAL, 1, 9))) == Appended(2)
    made.resume("another")
    service.store.append(Batch(made.events[2:]))
    late = msgspec.structs.replace(made.events[1], seq=2, body=Note(name="late"))
    assert store.append(Batch([late], position=Position(JOURNAL, 1, 20, (1, 9)))) == Appended(late=1)


def test_nothing_can_be_expected_of_a_run_far_away(script: Script) -> None:
    """Compare and append is for those who can read the run: here it is refused before anything is sent."""
    store = RemoteStore(script.url, "tg_key", direct=True)
    with pytest.raises(WriteOnly, match="how far a run has come"):
        store.append(Batch(tape().events, expect={tape().run: 0}))
    assert script.asked == []
    store.close()
