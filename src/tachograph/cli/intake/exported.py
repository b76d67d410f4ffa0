"""Our own export read back: one event a line, as `tachograph export` writes them."""

from __future__ import annotations

from collections.abc import Iterable

from tachograph.errors import CodecError
from tachograph.events import codec
from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunResumed
from tachograph.wire.lines import members
from tachograph.wire.sessions.draft import Found, Origin, Problem, Recorded

FORMAT = "tachograph"
_KEYS = frozenset({"run", "seq", "at", "mono", "step", "body"})


def is_event(line: bytes) -> bool:
    """Whether a line is an event."""
    return members(line).keys() >= _KEYS


def read(lines: Iterable[tuple[int, bytes]], origin: Origin) -> Found:
    """Runs of an export. A run with a gap is cut before it, for a store keeps no run with holes."""
    events: list[Event] = []
    first = 1
    for number, line in lines:
        try:
            event = codec.from_json(line)
        except CodecError as problem:
            yield Problem(number, str(problem))
            continue
        if events and event.run != events[0].run:
            yield _recorded(events, first)
            events = []
        first = first if events else number
        if event.seq == len(events):
            events.append(event)
        else:
            yield Problem(number, f"run {event.run}: expected event {len(events)}, found {event.seq}")
    if events:
        yield _recorded(events, first)


def _recorded(events: list[Event], line: int) -> Recorded:
    turns = (event.body for event in reversed(events) if isinstance(event.body, RunEnded | RunResumed))
    last = next(turns, None)
    over = isinstance(last, RunEnded) and last.status != "paused"
    return Recorded(events[0].run, tuple(events), line, growing=not over)
