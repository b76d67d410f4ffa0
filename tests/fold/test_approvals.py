from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tachograph.events.content import inline
from tachograph.events.note import Note
from tachograph.events.tool import ToolStarted
from tachograph.fold.approvals import DECIDED, REQUESTED, Approval, Approvals, Decided, approvals, decided, requested
from tests.strategies import Tape

ONE = Approval(slot="1.0", call_id="c1", tool="pay", arguments_hash="aa", arguments={"n": 1}, at=5, expires_at=100)
TWO = Approval(slot="1.1", call_id="c2", tool="pay", arguments_hash="bb", at=5)
YES = Decided(slot="1.0", call_id="c1", tool="pay", arguments_hash="aa", decision="allow", by="ada", at=7)


def note(name: str, value: Any) -> Note:
    """A note that says it."""
    return Note(name=name, data=inline(msgspec.json.encode(value).decode()))


def of(*approvals: Approval) -> Approvals:
    """By slot."""
    return {one.slot: one for one in approvals}


def test_a_request_stands_until_its_call_begins() -> None:
    """Asked, decided, begun: what is left is what still waits."""
    tape = Tape("a")
    tape.begin()
    steps: list[tuple[Any, Approvals]] = [
        (note(REQUESTED, ONE.facts()), of(ONE)),
        (note(REQUESTED, TWO.facts()), of(ONE, TWO)),
        (note(DECIDED, YES), of(msgspec.structs.replace(ONE, decided=YES), TWO)),
        (note("other", {}), of(msgspec.structs.replace(ONE, decided=YES), TWO)),
        (ToolStarted(name="pay", call_id="c1", index=0, iteration=1), of(TWO)),
        (ToolStarted(name="pay", call_id="c2", index=1, iteration=1), of()),
    ]
    for body, wanted in steps:
        tape.add(body)
        assert approvals(tape.events) == wanted


def test_the_first_request_and_the_first_decision_count() -> None:
    """Who asks again, or decides again, changes nothing."""
    known = requested(of(ONE), msgspec.structs.replace(ONE, expires_at=None))
    assert known == of(ONE)
    first = decided(known, YES)
    assert decided(first, msgspec.structs.replace(YES, decision="deny", by="bo")) == first


def test_a_decision_about_something_else_is_none() -> None:
    """Another id, another tool, other arguments; a call that nobody was asked about is remembered with its decision."""
    for name in ("call_id", "tool", "arguments_hash"):
        assert decided(of(ONE), msgspec.structs.replace(YES, **{name: "x"})) == of(ONE)
    [kept] = decided({}, YES).values()
    assert (kept.decided, kept.is_about(YES), kept.at) == (YES, True, 7)


def test_how_it_stands() -> None:
    """It waits, expires at its time, and once decided it does neither."""
    done = msgspec.structs.replace(ONE, decided=YES)
    assert [ONE.standing(now) for now in (99, 100)] == ["waiting", "expired"]
    assert [done.standing(now) for now in (99, 100)] == ["allow", "allow"]
    assert TWO.standing(2**62) == "waiting"


def test_notes_that_say_something_else_are_passed_over() -> None:
    """A foreign note of the same name breaks no reader."""
    tape = Tape("a")
    tape.begin()
    foreign: tuple[Mapping[str, Any], ...] = ({}, {"slot": 5}, {"tool": "pay"})
    for value in foreign:
        tape.add(note(REQUESTED, value))
        tape.add(note(DECIDED, value))
    assert approvals(tape.events) == {}
