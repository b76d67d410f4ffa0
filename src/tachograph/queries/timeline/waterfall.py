"""A stretch of a run's steps, as a waterfall draws them: when, how long, how it went, what it cost.

The order comes from `outline`, the rows from `lines`; here is which of them, and of which time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries.kept import Kept
from tachograph.queries.logs.keys import Row
from tachograph.queries.timeline.lines import Line, Lines
from tachograph.queries.timeline.outline import Node, Outline, outline, spans
from tachograph.store.ports import Index

MOST_LINES = 300
"""Rows of one stretch."""
_AHEAD_NS = 1_000_000_000
"""How much later than its last event an open run is taken to go on."""

Moment = Annotated[float, Meta(ge=0, le=1e12)]
Seq = Annotated[int, Meta(ge=-1, le=2**62)]
Keys = Annotated[str, Meta(pattern=r"^[0-9.,]*$", max_length=4_000)]


class TimelineAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which steps."""

    fold: Annotated[Literal["none", "all"], Meta(description="Whether steps show what is below them.")] = "none"
    but: Annotated[
        Keys, Meta(description="Steps for which it is the other way round: `<run>.<step>`, with commas.")
    ] = ""
    since: Annotated[Moment | None, Meta(description="Milliseconds from the start of the run.")] = None
    until: Annotated[Moment | None, Meta(description="Milliseconds from the start of the run.")] = None
    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="Rows to leave out before the first.")] = 0
    limit: Annotated[int, Meta(ge=1, le=MOST_LINES, description="Most rows to give.")] = MOST_LINES
    step: Annotated[str, Meta(max_length=100, description="Id of a step: the stretch in which it is.")] = ""
    after: Annotated[Seq | None, Meta(description="Seq of an event: those behind it are told, as they happen.")] = None


class Waterfall(Struct, frozen=True, kw_only=True):
    """A stretch of rows."""

    lines: tuple[Line, ...]
    offset: int
    total: int
    """Rows there are with what is folded, and within the time that is looked at."""
    all: int
    """Rows there are."""
    is_whole: bool
    """Whether all steps of the run are among them."""
    span_ns: int
    """From the start of the run to its end, or as far as it is recorded; 0 where its records have no times."""
    since_ns: int
    """The time that is looked at."""
    until_ns: int
    is_open: bool
    """Whether one of the runs goes on."""


def timeline(index: Index, pk: int, asked: TimelineAsked, now: int, kept: Kept | None = None) -> Waterfall:
    """Rows of the run with this pk at `now` (UTC ns). `kept` is what others, or the same reader, have looked at."""
    kept = kept or Kept()
    found = outline(index, pk, now, kept)
    run = found.runs[pk]
    origin = run["started_at"]
    end = _end(found.runs.values(), origin, now)
    since, until = origin + _ns(asked.since or 0), end if asked.until is None else origin + _ns(asked.until)
    is_zoomed = asked.since is not None or asked.until is not None
    times = spans(index, found, end, now, kept) if is_zoomed else None
    numbers = {run: number for number, run in enumerate(found.runs)}
    folded = _folded(found, asked, numbers)
    visible = found.visible(folded, times, (since, max(since, until)))
    offset = _offset(found, visible, asked)
    shown = visible[offset : offset + asked.limit]
    return Waterfall(
        lines=tuple(Lines(index, found, folded, numbers, origin, end).tell(shown)),
        offset=offset,
        total=len(visible),
        all=len(found.nodes),
        is_whole=found.is_whole,
        span_ns=end - origin,
        since_ns=since - origin,
        until_ns=max(until - origin, since - origin + 1),
        is_open=any(each["duration_ns"] is None for each in found.runs.values()),
    )


def _ns(ms: float) -> int:
    return round(ms * 1_000_000)


def _end(runs: Iterable[Row], origin: int, now: int) -> int:
    """Where the last of the runs ends. While one goes on, a round time behind it: then bars stay where they are."""
    ends, is_open = [origin], False
    for run in runs:
        began, took, last = run["started_at"], run["duration_ns"], run["updated_at"]
        is_open = is_open or took is None
        ends.append(max(last, min(now, last + _AHEAD_NS)) if took is None else began + took)
    end = max(ends)
    return origin + _round(end - origin) if is_open else end


def _round(ns: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, … seconds."""
    size = 1_000_000_000
    while True:
        for times in (1, 2, 5):
            if ns <= size * times:
                return size * times
        size *= 10


def _folded(found: Outline, asked: TimelineAsked, numbers: Mapping[int, int]) -> Collection[int]:
    """Places of the nodes that show nothing below them: never the first."""
    other = set(asked.but.split(",")) - {""}
    if asked.fold == "none" and not other:
        return ()
    folds_all = asked.fold == "all"
    return {
        place
        for place, node in enumerate(found.nodes)
        if place and found.ends[place] > place + 1 and folds_all != (f"{numbers[node.run]}.{node.seq}" in other)
    }


def _offset(found: Outline, visible: Sequence[int], asked: TimelineAsked) -> int:
    """Where the stretch begins: the one in which a step is, where one is named."""
    if asked.step:
        try:
            run_id, step = ids.split_step_id(asked.step)
        except ValueError:
            return asked.offset
        place = next((_place(found, Node(pk, step)) for pk, row in found.runs.items() if row["id"] == run_id), -1)
        at = bisect_left(visible, place)  # places are in order
        if at == len(visible) or visible[at] != place:
            at = asked.offset
        return at - at % asked.limit
    return asked.offset


def _place(found: Outline, node: Node) -> int:
    """Where a node stands; -1 for nowhere."""
    try:
        return found.nodes.index(node)
    except ValueError:
        return -1
