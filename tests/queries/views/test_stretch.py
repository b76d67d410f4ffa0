from __future__ import annotations

from tachograph.events.envelope import Event
from tachograph.events.message import MessageAppended
from tachograph.events.note import Unknown
from tachograph.queries.views.stretch import stretch, type_of
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.views.talk import LONG, Talk
from tests.strategies import Tape


def test_a_log_is_read_both_ways(store: Store) -> None:
    """From the beginning, behind an event, before one; and it says whether there is more on either side."""
    talk = Talk()
    store.append(batch(talk.events))
    count = len(talk.events)
    first = stretch(store, talk.run, limit=5)
    assert ([event.seq for event in first.events], first.earlier, first.later) == ([0, 1, 2, 3, 4], None, 4)
    on = stretch(store, talk.run, after=4, limit=5)
    assert ([event.seq for event in on.events], on.earlier, on.later) == ([5, 6, 7, 8, 9], 5, 9)
    back = stretch(store, talk.run, before=on.earlier, limit=5)
    assert back == first
    last = stretch(store, talk.run, before=count, limit=5)
    assert ([event.seq for event in last.events], last.later) == (list(range(count - 5, count)), None)
    assert stretch(store, talk.run, before=0, limit=5).events == ()


def test_a_log_is_read_by_type(store: Store) -> None:
    """Only events of these types are given, and where to look on is behind or before the last one given."""
    talk = Talk()
    store.append(batch(talk.events))
    messages = [event.seq for event in talk.events if type_of(event) == "message_appended"]
    found = stretch(store, talk.run, types={"message_appended"}, limit=3)
    assert ([event.seq for event in found.events], found.later) == (messages[:3], messages[2])
    back = stretch(store, talk.run, before=len(talk.events), types={"message_appended"}, limit=3)
    assert ([event.seq for event in back.events], back.earlier) == (messages[-3:], messages[-3])
    none = stretch(store, talk.run, types={"loss"}, limit=3)
    assert (none.events, none.first, none.last, none.later) == ((), 0, len(talk.events) - 1, None)


def test_small_text_is_in_place_and_large_text_is_named(store: Store) -> None:
    """What a line shows is read; the rest waits until somebody asks for the event."""
    talk = Talk()
    store.append(batch(talk.events))
    texts = {
        event.seq: event.body.message.text
        for event in stretch(store, talk.run, limit=99).events
        if isinstance(event.body, MessageAppended)
    }
    assert texts[talk.at_seq["system"]] is not None
    assert texts[talk.at_seq["found"]] is None
    assert len(LONG) > 4_096


def test_a_type_that_nobody_knows_is_named_as_it_is() -> None:
    """An event of a later version has its own type."""
    tape = Tape()
    assert type_of(Event(tape.run, 0, 0, 0, 0, Unknown("from_later", {}))) == "from_later"
