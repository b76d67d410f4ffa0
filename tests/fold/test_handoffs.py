from __future__ import annotations

from typing import Any

import msgspec

from tachograph.events.content import Content, inline
from tachograph.events.note import Note
from tachograph.fold.handoffs import Handing, handing, handing_of, note_of, value_of
from tests.strategies import Tape

ASKED = Handing(effect_id="handoff_1", cause="limit", metric="deadline", reason="45 s")
DONE = msgspec.structs.replace(ASKED, state="applied", attempts=2, text="Transferring you.")


def taped(*handings: Handing) -> Tape:
    """A run with these notes."""
    tape = Tape("h")
    tape.begin()
    for one in handings:
        tape.add(Note(name=note_of(one), data=inline(msgspec.json.encode(one.facts()).decode())))
    return tape


def test_the_last_note_is_the_state() -> None:
    """Nobody, then requested, then applied with what was told; what follows changes nothing."""
    events = [*taped(ASKED, DONE).events]
    assert [handing(events[:end]) for end in range(len(events) + 1)] == [None, None, ASKED, DONE]


def test_hand_offs_between_agents_are_others() -> None:
    """A note of the same name about an agent, or about nothing that can be read, says nothing of a person."""
    facts = ASKED.facts()
    assert handing_of("handoff_requested", facts) == ASKED
    others: list[Any] = [{**facts, "kind": "agent"}, {**facts, "cause": "mood"}, {"kind": "person"}, None, []]
    for data in others:
        assert handing_of("handoff_requested", data) is None
    assert handing_of("handoff_retry", facts) is None


def test_what_was_not_kept_has_no_value() -> None:
    """Neither has what is no JSON; what is kept elsewhere is fetched."""
    assert [value_of(None, None), value_of(Content(level="none"), None), value_of(Content(text="{"), None)] == [
        None
    ] * 3
    assert value_of(Content(hash="00" * 32), lambda names: dict.fromkeys(names, b"5")) == 5
