from __future__ import annotations

from tachograph.compose import admitter_for, scrubber_for
from tachograph.events.call import CallRepriced
from tachograph.events.envelope import Event
from tachograph.events.note import Note
from tachograph.events.run import RunResumed
from tachograph.events.usage import Cost
from tachograph.record.after.append import append, following, lived
from tachograph.settings import Settings
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Batch
from tests.strategies import BEGAN, Tape

SETTINGS = Settings(store="memory:")
GOES_ON = RunResumed(owner="me", epoch=1)


def ended() -> Tape:
    """A run that is over."""
    tape = Tape()
    tape.begin()
    tape.finish("failed")
    return tape


def test_of_two_one_is_first() -> None:
    """Both bring several events from the same place on: those of one are stored, and none of the other."""
    store = MemoryStore()
    gate = admitter_for(SETTINGS, store, scrubber_for(SETTINGS))
    tape = ended()
    store.append(Batch(tape.events))
    first, second = (
        following(tape.events, [(GOES_ON, 0), *((Note(name=name), 0) for name in names)], BEGAN)
        for names in ("a", "bcd")
    )
    assert [append(store, gate.admit(events, scrubbed=True)) for events in (first, second)] == [True, False]
    assert list(store.read(tape.run)) == [*tape.events, *first]


def test_it_passes_the_gate() -> None:
    """Content is scrubbed and kept by hash as any other."""
    store = MemoryStore()
    gate = admitter_for(SETTINGS, store, scrubber_for(SETTINGS))
    tape = ended()
    store.append(Batch(tape.events))
    other = ended()
    said = other.events[other.say("user", {"role": "user", "content": "x" * 9_000})].body
    assert append(store, gate.admit(following(tape.events, [(said, 0)], BEGAN), scrubbed=True))
    assert [event.body.message.text for event in store.read(tape.run, after=1)] == [None]


def test_the_clock_of_a_run_goes_on() -> None:
    """By what the wall clock says, never back, and not by the clock of who priced it again."""
    tape = ended()
    last = tape.events[-1]
    assert lived(tape.events, last.at + 7) == last.mono + 7
    assert lived(tape.events, last.at - 7) == last.mono
    stranger = Event(tape.run, 2, last.at + 1_000, 3, 0, CallRepriced(call=1, cost=Cost()))
    assert lived([*tape.events, stranger], last.at + 7) == last.mono + 7
    assert following([*tape.events, stranger], [(GOES_ON, 0)], last.at + 7) == [
        Event(tape.run, 3, last.at + 7, last.mono + 7, 0, GOES_ON)
    ]
