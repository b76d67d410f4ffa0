from __future__ import annotations

import pytest

from tachograph.server.pages.admins import MANY_EVENTS, MANY_RUNS, Confirmed, is_large, objection


@pytest.mark.parametrize(
    ("runs", "events", "large"),
    [(1, 1, False), (MANY_RUNS, MANY_EVENTS, False), (MANY_RUNS + 1, 1, True), (1, MANY_EVENTS + 1, True)],
)
def test_much_is_many_runs_or_many_events(runs: int, events: int, large: bool) -> None:
    """A click is enough for a few; for more somebody has to type a word."""
    assert is_large(runs, events) is large
    assert bool(objection(Confirmed(seen=runs), runs, events)) is large
    assert objection(Confirmed(seen=runs, typed=" Delete "), runs, events) == ""


def test_more_than_was_seen_does_not_go() -> None:
    """Fewer runs than the page named may go, more may not, whatever was typed."""
    assert objection(Confirmed(seen=3), 2, 10) == ""
    assert "3 runs, not 2" in objection(Confirmed(seen=2, typed="delete"), 3, 10)
