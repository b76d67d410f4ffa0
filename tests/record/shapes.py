"""Recorded events, seen from a distance."""

from __future__ import annotations

from tachograph.events.call import CallEnded
from tachograph.events.run import RunEnded, StepEnded
from tachograph.events.tool import ToolEnded
from tachograph.testing import Captured


def ends(events: Captured) -> list[tuple[int, str]]:
    """(step, status) of every end, in order."""
    found: list[tuple[int, str]] = []
    for event in events:
        if isinstance(event.body, (RunEnded, StepEnded, CallEnded)):
            found.append((event.step, event.body.status))
        elif isinstance(event.body, ToolEnded):
            found.append((event.step, event.body.state))
    return found


def shapes(events: Captured) -> list[tuple[str, int]]:
    """(type, step) of every event."""
    return [(type(event.body).__name__, event.step) for event in events]
