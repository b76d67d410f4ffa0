from __future__ import annotations

from collections import Counter

from tachograph.cli.desk.pace import Pace
from tachograph.cli.desk.program import MOST_EQUAL_CALLS, Desk
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.run import RunEnded, RunStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.testing import capture


def test_the_desk_serves_every_ticket_through_the_door() -> None:
    """Seven runs: three tickets, the refunds desk, the evening note with two helpers; each ends once."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events:
        Desk(pace, session="s").open()
    started = {event.run: event.body for event in events if isinstance(event.body, RunStarted)}
    ended = {event.run: event.body for event in events if isinstance(event.body, RunEnded)}
    assert Counter(body.name for body in started.values()) == {
        "front-desk": 3,
        "refunds": 1,
        "evening-note": 1,
        "figures": 1,
        "listener": 1,
    }
    assert Counter((ended[run].status, ended[run].stop_reason) for run in started) == {
        ("completed", "final_answer"): 6,
        ("failed", "tool_loop"): 1,
    }
    assert sum(body.parent_run in started for body in started.values()) == 3


def test_the_runaway_is_stopped_by_the_desks_rule() -> None:
    """The same question is asked so often and no more; the last time it is refused."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events:
        Desk(pace, session="s").open()
    runs = {event.run for event in events if isinstance(event.body, ToolStarted) and event.body.name == "track_parcel"}
    states = [event.body.state for event in events if isinstance(event.body, ToolEnded) and event.run in runs]
    assert states == ["completed"] * MOST_EQUAL_CALLS + ["rejected"]


def test_a_retry_names_what_it_repeats() -> None:
    """The overloaded attempt failed with its status, and the second one points at it."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events:
        Desk(pace, session="s").open()
    [retry] = [event for event in events if isinstance(event.body, CallStarted) and event.body.attempt == 2]
    ends = {(event.run, event.step): event.body for event in events if isinstance(event.body, CallEnded)}
    assert isinstance(retry.body, CallStarted)
    first = ends[retry.run, retry.body.retry_of or 0]
    assert (first.status, first.http_status, first.usage.basis) == ("failed", 529, "missing")
    assert ends[retry.run, retry.seq].status == "completed"
    assert ends[retry.run, retry.seq].chunks == 3
