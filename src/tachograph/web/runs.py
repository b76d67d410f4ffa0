"""Rows of the list of runs: each with its length beside the longest of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from msgspec import Struct

from tachograph.events.run import STOP_REASONS
from tachograph.queries.answers.runs import RunOrder, RunOverview, RunStatus
from tachograph.queries.units import time
from tachograph.web.lists import ROWS, Field, words


class Row(Struct, frozen=True):
    """A run in the list."""

    run: RunOverview
    lasted: int | None
    """Milliseconds; of one that goes on, up to now."""
    share: float | None
    """Of the longest of the page."""

    @property
    def is_open(self) -> bool:
        """Whether it goes on, or waits for a person."""
        return self.run.status in ("started", "paused")


def rows(runs: Sequence[RunOverview], now: int, longest: int | None = None) -> tuple[Row, ...]:
    """The rows at `now` (UTC ns); `longest` (ms) is what the bars of the page are drawn against, if that is known."""
    lasted = [_lasted(run, now) for run in runs]
    against = longest or longest_of(lasted)
    return tuple(
        Row(run, some, None if some is None else min(1.0, some / against))
        for run, some in zip(runs, lasted, strict=True)
    )


def longest_of(lasted: Iterable[int | None]) -> int:
    """What the bars of a page are drawn against, at least a millisecond."""
    return max((1, *(each for each in lasted if each is not None)))


def _lasted(run: RunOverview, now: int) -> int | None:
    if run.status != "started":
        return run.duration_ms
    return max(0, round((time(now) - run.start_time).total_seconds() * 1_000))


_ORDER_WORDS: dict[RunOrder, str] = {
    "newest": "newest first",
    "oldest": "oldest first",
    "longest": "longest first",
    "dearest": "dearest first",
    "most_tokens": "most tokens first",
    "most_errors": "most errors first",
}
_REASONS = sorted({reason for reasons in STOP_REASONS.values() for reason in reasons})

FIELDS: tuple[Field, ...] = (
    Field(name="name", label="Name", kind="search", hint="a part of it"),
    Field(name="status", label="Status", kind="choice", choices=words(*get_args(RunStatus))),
    Field(name="stop_reason", label="Stop reason", choices=words(*_REASONS)),
    Field(name="agent_type", label="Agent"),
    Field(name="order", label="Order", kind="choice", choices=tuple(_ORDER_WORDS.items()), default="newest"),
    Field(name="start_date", label="From (UTC)", hint="2026-01-31", is_rare=True),
    Field(name="end_date", label="To (UTC)", hint="2026-01-31T12:00", is_rare=True),
    Field(name="session_id", label="Session", is_rare=True),
    Field(name="user", label="User", is_rare=True),
    Field(name="environment", label="Environment", is_rare=True),
    Field(name="tag", label="Tag", is_rare=True),
    Field(name="project", label="Project", is_rare=True),
    Field(name="source", label="Source", hint="format, or format and file", is_rare=True),
    Field(name="parent_run_id", label="Started by run", is_rare=True),
    Field(name="top", label="No sub-runs", kind="flag", is_rare=True),
    ROWS,
)
"""The conditions of the list of runs."""
