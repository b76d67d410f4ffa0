from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import Raw, structs

from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.queries.answers.heads import SessionCount
from tachograph.queries.answers.sessions import SessionAsked, SessionDetail
from tachograph.queries.answers.sessions import session as detail
from tachograph.queries.views.exchanges import exchanges
from tachograph.store.memory import MemoryStore
from tachograph.web.session import Shown, session
from tests.queries.kept import batch
from tests.queries.views.talk import Talk
from tests.strategies import Tape


def _shown(store: MemoryStore, **facts: Any) -> Shown:
    found = structs.replace(detail(store, "s", SessionAsked()), **facts)
    return session(found, exchanges(store, found.runs))


def test_a_conversation_across_runs() -> None:
    """The oldest run first, each with what went in, who it was handed to, and what came out."""
    store, talk = MemoryStore(), Talk(session="s")
    below, large = Tape("below", at=talk.at + 10**9), Tape("large", at=talk.at + 2 * 10**9)
    below.begin(session="s", input=inline('{"role":"user","content":"and this?"}'), parent_run=talk.run)
    large.begin("large", session="s", input=inline('"' + "x" * 20_000 + '"'))
    store.append(batch(talk.events, below.events, large.events))
    shown = _shown(store)
    first, second, third = shown.turns
    assert ([part.text for part in first.asked], [part.text for part in first.answered]) == (
        ["Where is it?"], ["It is on its way."],
    )  # fmt: skip
    assert [(step.text, step.why, step.is_bad) for step in first.steps] == [
        ("Handed to billing", "it is about money", False)
    ]
    assert (second.asked[0].text, second.answered_note, second.began_by_name) == (
        "and this?", "The answer is not there yet", "desk",
    )  # fmt: skip
    assert (third.asked_note, third.began_by) == ("Too large to stand here", "")
    assert (shown.status, shown.counters, shown.state) == ("active", (), "")


def test_a_person_that_was_asked_for() -> None:
    """What the customer was told stands in place of an answer; one who could not be reached is told as that."""
    store = MemoryStore()
    tape = Tape("person")
    tape.begin(session="s")
    facts = '"kind":"person","effect_id":"e","cause":"model","reason":"asked for one"'
    step = tape.step("person", kind="handoff", input=inline(f"{{{facts}}}"))
    tape.add(Note(name="handoff_failed", data=inline(f'{{{facts},"problem":"closed","text":"Please call."}}')), step)
    tape.done(step, "failed")
    tape.finish("failed", stop_reason="tool_error")
    store.append(batch(tape.events))
    [turn] = _shown(store).turns
    assert (turn.told, turn.answered_note) == ("Please call.", "")
    assert [(step.text, step.is_bad) for step in turn.steps] == [
        ("A person was asked for and could not be reached", True)
    ]


@pytest.fixture
def found() -> SessionDetail:
    """A session of one run."""
    store, talk = MemoryStore(), Talk(session="s")
    store.append(batch(talk.events))
    return detail(store, "s", SessionAsked())


def test_what_limits_have_counted(found: SessionDetail) -> None:
    """In words and units: money as money, the rest as whole numbers."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    counts = (
        SessionCount(of="usd", used=0.5, reserved=0.25, total=2.0, reset_at=at),
        SessionCount(of="llm_calls", used=1_200, reserved=0, total=3_000, reset_at=None),
    )
    money, calls = session(structs.replace(found, counts=counts), ()).counters
    assert (money.name, money.used, money.reserved, money.total, money.reset_at) == (
        "Cost",
        "$0.50",
        "$0.25",
        "$2.00",
        at,
    )
    assert (calls.name, calls.used, calls.total) == ("Model calls", "1,200", "3,000")


def test_a_state_is_json_on_lines(found: SessionDetail) -> None:
    """A large one is cut; an empty one is nothing."""
    assert session(structs.replace(found, state=Raw(b'{"basket":[1]}')), ()).state == '{"basket":[1]}'
    assert session(structs.replace(found, state=Raw(b"{}")), ()).state == ""
    large = session(structs.replace(found, state=Raw(b'{"a":"' + b"x" * 200_000 + b'"}')), ())
    assert (len(large.state), large.is_state_cut) == (100_000, True)
