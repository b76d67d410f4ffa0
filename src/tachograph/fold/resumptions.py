"""When a run went on after it had ended, or was paused: each time with who wanted it, and how it stood until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.events.run import RunEnded, RunResumed


class Resumption(Struct, frozen=True, kw_only=True):
    """One time."""

    seq: int
    """Of the event that says it: steps of a higher number came afterwards."""
    at: int
    """UTC ns."""
    epoch: int
    """Which time this is, from 1."""
    by: str | None = None
    """Who wanted it."""
    status: str
    """How the run had ended; `started` where its end was lost."""
    stop_reason: str = ""
    stood_ns: int | None = None
    """How long nothing had happened, by the clocks of both processes, at least 0; None where its end was lost."""


def resumptions(events: Iterable[Event]) -> Iterator[Resumption]:
    """Each time, from all events of one run in order."""
    ended: tuple[int, RunEnded] | None = None
    for event in events:
        body = event.body
        if isinstance(body, RunEnded):
            ended = event.at, body
        elif isinstance(body, RunResumed):
            facts: dict[str, Any] = {"seq": event.seq, "at": event.at, "epoch": body.epoch, "by": body.by}
            if ended is None:
                yield Resumption(**facts, status="started")
            else:
                at, end = ended
                stood = max(0, event.at - at)
                yield Resumption(**facts, status=end.status, stop_reason=end.stop_reason, stood_ns=stood)
            ended = None
