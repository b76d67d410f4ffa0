from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import ENDS, STARTS, Body, Event
from tachograph.events.note import Note
from tachograph.events.run import Failure, RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.fold.steps import Family, Open, closes, ending, family_of, kind_of, opened, status_of
from tests.strategies import any_runs


@pytest.mark.parametrize(
    ("body", "step"),
    [
        (RunStarted(name="desk", execution_id="e"), Open(0, "run", "desk", None, 70, 7, "run")),
        (StepStarted(name="plan it", kind="plan", parent=3), Open(5, "plan", "plan it", 3, 70, 7, "step")),
        (CallStarted(provider="openai", model="gpt-4o"), Open(5, "llm", "gpt-4o", 0, 70, 7, "call")),
        (ToolStarted(name="search", parent=2), Open(5, "tool", "search", 2, 70, 7, "tool")),
        (RunEnded(status="completed"), None),
        (Note(name="n"), None),
    ],
)
def test_a_start_opens_a_step(body: Body, step: Open | None) -> None:
    """A start event says what its step is, where it belongs and when it began; no other event opens one."""
    assert opened(Event("r", 5, 70, 7, 5, body)) == step


@pytest.mark.parametrize(
    ("body", "step", "closed"),
    [
        (RunEnded(status="failed"), 4, 0),
        (StepEnded(status="completed"), 4, 4),
        (CallEnded(status="completed"), 8, 8),
        (ToolEnded(state="skipped"), 1, 1),
        (ToolEnded(state="skipped"), 0, None),
        (ToolEnded(state="skipped"), 9, None),
        (ToolEnded(state="skipped"), 12, None),
        (Note(name="n"), 4, None),
    ],
)
def test_an_end_closes_an_earlier_step(body: Body, step: int, closed: int | None) -> None:
    """The end of a run closes step 0, any other the step it names, if that lies between the run and itself."""
    assert closes(Event("r", 9, 70, 7, step, body)) == closed


@pytest.mark.parametrize(
    ("body", "family", "kind", "status"),
    [
        (RunEnded(status="cancelled"), "run", "run", "cancelled"),
        (StepEnded(status="failed"), "step", "custom", "failed"),
        (CallEnded(status="abandoned"), "call", "llm", "abandoned"),
        (ToolEnded(state="rejected"), "tool", "tool", "rejected"),
    ],
)
def test_an_end_says_its_kind_and_how_it_went(body: Any, family: Family, kind: str, status: str) -> None:
    """What is known of a step from its end alone: its family and kind, and its status or state."""
    assert (family_of(body), kind_of(body), status_of(body)) == (family, kind, status)


@given(any_runs)
def test_every_event_opens_closes_or_neither(events: list[Event]) -> None:
    """Starts open, ends may close, and no event does both."""
    for event in events:
        assert (opened(event) is not None) is isinstance(event.body, STARTS)
        assert closes(event) is None or isinstance(event.body, ENDS)


@pytest.mark.parametrize(
    ("kind", "status", "family", "said"),
    [
        ("llm", "cancelled", "call", "cancelled"),
        ("tool", "abandoned", "tool", "abandoned"),
        ("iteration", "paused", "step", "paused"),
        ("llm", "paused", "call", "cancelled"),
        ("tool", "paused", "tool", "cancelled"),
    ],
)
def test_any_kind_can_be_ended(kind: str, status: str, family: Family, said: str) -> None:
    """By the event of its family; a call cannot wait for a person, so with a paused run it is cancelled."""
    why = Failure("Gone")
    end = ending(kind, status, why)
    assert (family_of(end), status_of(end), end.error) == (family, said, why)
