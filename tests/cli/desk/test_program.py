from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import Desk
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note, Score
from tachograph.events.run import RunEnded, RunStarted, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.handoffs import handing
from tachograph.testing import Captured, capture


def _day() -> Captured:
    pace = Pace(0)
    with capture(clock=pace.clock()) as events:
        Desk(pace, session="s").open()
    return events


@pytest.fixture(scope="module")
def day() -> Captured:
    """Everything that the desk records in a day."""
    return _day()


def _runs(day: Captured, name: str) -> dict[str, str]:
    """Runs of that name → their sessions."""
    return {event.run: event.body.session or "" for event in day.of(RunStarted) if event.body.name == name}


def test_the_desk_serves_every_ticket(day: Captured) -> None:
    """Seven runs: three tickets, the refunds desk, the evening note with two helpers; each ends once."""
    started = {event.run: event.body for event in day.of(RunStarted)}
    ended = {event.run: event.body for event in day.of(RunEnded)}
    assert Counter((body.name, body.agent_type) for body in started.values()) == {
        ("front-desk", "front-desk"): 3,
        ("refunds", "refunds"): 1,
        ("evening-note", "editor"): 1,
        ("figures", "figures"): 1,
        ("listener", "listener"): 1,
    }
    assert len(day.of(RunEnded)) == len(started)
    assert Counter((ended[run].status, ended[run].stop_reason) for run in started) == {
        ("completed", "final_answer"): 6,
        ("completed", "human_handoff"): 1,
    }
    above = {body.name: started[body.parent_run].name for body in started.values() if body.parent_run}
    assert above == {"refunds": "front-desk", "figures": "evening-note", "listener": "evening-note"}
    assert {tuple(body.tags) for body in started.values()} == {("project:harbour-bikes",)}


def test_the_front_desk_hands_over_to_bookings(day: Captured) -> None:
    """In one run: what comes after is the next agent's, by its name, and the rental is moved by its tool."""
    [run] = [run for run, session in _runs(day, "front-desk").items() if session == "s-ferry"]
    tools = [(event.body.agent_type, event.body.name) for event in day.of(ToolStarted) if event.run == run]
    assert tools[:2] == [("front-desk", "find_rental"), ("front-desk", "handoff_to_bookings")]
    assert tools[2] == ("bookings", "extend_rental")
    parts = [(event.body.kind, event.body.name) for event in day.of(StepStarted) if event.run == run]
    assert [part for part in parts if part[0] in ("handoff", "agent")] == [
        ("handoff", "handoff to bookings"),
        ("agent", "bookings"),
    ]


def test_the_refunds_desk_is_asked_as_a_delegate(day: Captured) -> None:
    """Its run stands below the call, in the session of the ticket, and knows the message alone."""
    [asked] = [event for event in day.of(ToolStarted) if event.body.name == "ask_refunds"]
    [start] = [event.body for event in day.of(RunStarted) if event.body.name == "refunds"]
    assert asked.body.classification == "delegation"
    assert (start.parent_run, start.parent_step, start.session) == (asked.run, asked.seq, "s-gears")
    assert start.metadata is not None
    assert msgspec.json.decode(start.metadata.text or "")["context"] == "fresh"


def test_the_runaway_is_stopped_and_given_to_a_person(day: Captured) -> None:
    """A warning, a refusal, two skips, the hand-off: each with the calls that were repeated as evidence."""
    [run] = [run for run, session in _runs(day, "front-desk").items() if session == "s-tandem"]
    called = [event.seq for event in day.of(ToolStarted) if event.run == run]
    states = [event.body.state for event in day.of(ToolEnded) if event.run == run]
    assert states == ["completed", "completed", "rejected", "skipped", "skipped", "rejected"]
    hits = [event.body for event in day.of(LimitHit) if event.run == run]
    assert [(hit.metric, hit.mode) for hit in hits] == [
        ("tool_loop", mode) for mode in ("warn", "block", "skip", "skip", "handoff")
    ]
    assert [tuple(hit.evidence[:2]) for hit in hits] == [tuple(called[:1]), *[tuple(called[:2])] * 4]
    found = handing(event for event in day if event.run == run)
    assert found is not None
    assert (found.state, found.cause, found.metric, found.attempts) == ("applied", "limit", "tool_loop", 1)
    assert found.text == "I noticed that I was repeating myself. Transferring you to a person."


def test_the_owner_is_told_who_waits() -> None:
    """The person's effect hears of the session and why."""
    pace = Pace(0)
    desk = Desk(pace, session="s")
    with capture(clock=pace.clock()):
        desk.open()
    assert [(asked.session, asked.cause, asked.metric) for asked in desk.for_the_owner] == [
        ("s-tandem", "limit", "tool_loop")
    ]


def test_a_retry_names_what_it_repeats(day: Captured) -> None:
    """The overloaded attempt failed with its status, the second one points at it, and a note says why."""
    [retry] = [event for event in day.of(CallStarted) if event.body.attempt == 2]
    ends = {(event.run, event.step): event.body for event in day.of(CallEnded)}
    first = ends[retry.run, retry.body.retry_of or 0]
    assert (first.status, first.http_status, first.usage.basis) == ("failed", 529, "missing")
    assert ends[retry.run, retry.seq].status == "completed"
    assert ends[retry.run, retry.seq].chunks == 4
    assert [event.run for event in day.of(Note) if event.body.name == "llm_retry_attempt"] == [retry.run]


def test_a_payment_that_fails_is_tried_again_by_the_model(day: Captured) -> None:
    """Its first end is a failure, its second a success; the model is told of both."""
    names = {(event.run, event.seq): event.body.name for event in day.of(ToolStarted)}
    paid = [event.body for event in day.of(ToolEnded) if names[event.run, event.step] == "pay_refund"]
    assert [(body.state, body.error and body.error.type.rpartition(".")[2]) for body in paid] == [
        ("failed", "PaymentService"),
        ("completed", None),
    ]


def test_nobody_asks_for_what_there_is_not(day: Captured) -> None:
    """Every tool that a script asks for is there and takes its arguments: only the runaway's calls are refused."""
    names = {(event.run, event.seq): event.body.name for event in day.of(ToolStarted)}
    states = Counter((names[event.run, event.step], event.body.state) for event in day.of(ToolEnded))
    assert {name for (name, state) in states if state in ("rejected", "skipped")} == {"track_parcel"}
    assert sum(states.values()) == 16


def test_a_model_without_a_price_is_told_of(day: Captured) -> None:
    """Nobody stated a money limit for the helper in the back room: it runs, and the record says what is not bounded."""
    [run] = _runs(day, "listener")
    [warned] = [event.body for event in day.of(LimitHit) if event.run == run]
    assert (warned.metric, warned.mode) == ("cost_budget", "warn")
    assert "back-room-7b" in (warned.reason or "")


def test_steps_around_the_work_belong_to_its_run(day: Captured) -> None:
    """The order of the house stands before each ticket's first turn, the owner's verdict behind the note."""
    steps = [(event.run, event.body.kind) for event in day.of(StepStarted)]
    first = [[kind for run, kind in steps if run == ticket][:2] for ticket in _runs(day, "front-desk")]
    assert first == [["guardrail", "iteration"]] * 3
    [note] = _runs(day, "evening-note")
    assert [(event.run, event.body.name, event.body.value) for event in day.of(Score)] == [(note, "owner", 1.0)]


def test_every_day_is_the_same(day: Captured) -> None:
    """Nothing depends on chance or on how busy the machine is: the same events at the same times."""
    told = [[(type(event.body).__name__, event.seq, event.mono) for event in events] for events in (day, _day())]
    assert told[0] == told[1]
