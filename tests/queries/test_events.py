from __future__ import annotations

from collections.abc import Mapping, Sequence

from tachograph.events.content import Content, inline
from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.queries.events import events, filled, kept_texts
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.strategies import Tape


def _tape() -> Tape:
    """A run with text of every kind: small, large, in messages, cut, and not kept at all."""
    tape = Tape("events")
    tape.begin(input=inline('"small"'))
    first = tape.say("user", '{"role":"user",  "content":"hé\\u00e9"}')
    call = tape.call(input=first, params=inline('{"a":"' + "x" * 900 + '"}'))
    answer = tape.say("assistant", {"role": "assistant", "content": "y" * 900}, first)
    tape.reply(call, output=answer)
    tool = tape.tool("search", '{"q": 1}')
    tape.result(tool, Content(text='"' + "z" * 700 + '"', size=702, full_size=9000, marks=("nan",)))
    hidden = tape.step("hidden", input=Content(hash="ab" * 32, size=4, level="hashed"))
    tape.done(hidden, output=Content(level="none"))
    tape.finish()
    return tape


def test_events_come_back_as_they_were_recorded(store: Store) -> None:
    """Every event of a run reads back equal, its text in place; what was never kept stays named by its hash."""
    tape = _tape()
    store.append(batch(tape.events))
    assert list(events(store, tape.run)) == tape.events


def test_events_after_a_seq(store: Store) -> None:
    """Reading on begins behind the given seq and stops at the limit; an unknown run has no events."""
    tape = _tape()
    store.append(batch(tape.events))
    assert list(events(store, tape.run, after=2, limit=3)) == tape.events[3:6]
    assert list(events(store, "no such run")) == []


def test_more_events_than_a_batch(store: Store) -> None:
    """A run longer than what is fetched at once reads back whole and in order."""
    tape = Tape("long")
    tape.begin()
    for number in range(1_100):
        tape.say("user", {"content": f"message {number}"})
    expected: list[Event] = tape.events
    store.append(batch(expected))
    assert list(events(store, tape.run)) == expected


def test_large_contents_are_fetched_few_at_a_time(store: Store) -> None:
    """What is read ahead is bounded in bytes, too; whoever stops after the first has not fetched the last."""
    tape = Tape("large")
    tape.begin()
    for number in range(12):
        tape.say("user", {"content": f"{number}" * 400_000})
    store.append(batch(tape.events))
    fetched: list[int] = []

    def fetch(hashes: Sequence[bytes]) -> Mapping[bytes, bytes]:
        found = store.fetch(hashes)
        fetched.append(sum(map(len, found.values())))
        return found

    told = filled(store.read(tape.run), fetch)
    assert [next(told), next(told)] == tape.events[:2]
    assert (len(fetched), max(fetched) < 2_000_000) == (1, True)
    assert list(told) == tape.events[2:]
    assert (len(fetched) > 3, max(fetched) < 2_000_000) == (True, True)


def test_texts_are_read_while_there_is_room(store: Store) -> None:
    """Small ones first; too large a one is not, nor one whose text was never kept."""
    tape = Tape("room")
    tape.begin()
    for size in (900, 700, 3_000):
        tape.say("user", '"' + "x" * size + '"')
    store.append(batch(tape.events))
    named = [event.body.message for event in store.read(tape.run) if isinstance(event.body, MessageAppended)]
    hidden = Content(hash="ab" * 32, size=4, level="hashed")
    assert sorted(map(len, kept_texts([*named, hidden], store.fetch, 2_000, 9_000).values())) == [702, 902]
    assert [len(text) for text in kept_texts(named, store.fetch, 9_000, 1_000).values()] == [702]
    assert kept_texts([inline('"here"')], store.fetch, 9_000, 9_000) == {}
