from __future__ import annotations

import msgspec
import pytest

from tachograph.errors import NotFound
from tachograph.events import codec
from tachograph.events.content import inline
from tachograph.queries.answers import run_events as module
from tachograph.queries.answers.run_events import RunEventsAsked, run_events
from tachograph.store.ports import Store
from tests.queries.kept import batch
from tests.queries.logs.desk import RUN, as_json, planner
from tests.strategies import Tape


def test_events_from_a_number_on(store: Store) -> None:
    """Events come in order and whole, as exports spell them; an answer says where to go on, and if there is more."""
    tape = planner()
    store.append(batch(tape.events))
    expected = [msgspec.json.decode(codec.to_json(event)) for event in tape.events]
    assert as_json(run_events(store, RUN, RunEventsAsked())) == {
        "run_id": RUN, "events": expected, "last_seq": 7, "has_more": False, "is_open": False,
    }  # fmt: skip
    part = as_json(run_events(store, RUN, RunEventsAsked(after=1, limit=3)))
    assert (part["events"], part["last_seq"], part["has_more"]) == (expected[2:5], 4, True)
    none = run_events(store, RUN, RunEventsAsked(after=7))
    assert (none.events, none.last_seq, none.has_more) == ((), 7, False)


def test_resuming_misses_nothing(store: Store) -> None:
    """Going on behind the last one, every event is seen once, also those that came in meanwhile."""
    tape = Tape("growing")
    tape.begin()
    seen, after, is_open = [], -1, True
    for number in range(6):
        tape.step(f"step {number}")
        store.append(batch(tape.events))
        page = run_events(store, tape.run, RunEventsAsked(after=after, limit=1))
        seen += [msgspec.json.decode(bytes(event))["seq"] for event in page.events]
        after, is_open = page.last_seq, page.is_open
    assert (seen, is_open) == ([0, 1, 2, 3, 4, 5], True)


def test_large_events(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content is in its place; an answer ends with the event that makes it too large."""
    monkeypatch.setattr(module, "MOST_BYTES", 1_000)
    tape = Tape("large")
    tape.begin(input=inline('"' + "x" * 900 + '"'))
    tape.step()
    store.append(batch(tape.events))
    found = run_events(store, tape.run, RunEventsAsked())
    assert (len(found.events), found.last_seq, found.has_more) == (1, 0, True)
    assert msgspec.json.decode(bytes(found.events[0]))["body"]["input"]["text"] == '"' + "x" * 900 + '"'


def test_no_such_run(store: Store) -> None:
    """A run that is not there is not found, and bounds are checked."""
    with pytest.raises(NotFound):
        run_events(store, "nobody", RunEventsAsked())
    for asked in ({"after": -2}, {"limit": 0}, {"limit": 5_001}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(asked, RunEventsAsked)
