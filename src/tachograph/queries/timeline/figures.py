"""What attempts add up to, and where one of them stood still: figures that rows of several kinds share."""

from __future__ import annotations

from itertools import accumulate, islice
from statistics import median
from typing import NamedTuple

import msgspec
from msgspec import Struct

from tachograph.events.call import Timeline
from tachograph.queries.logs.keys import Row
from tachograph.queries.timeline.outline import Span

STALL_NS, STALL_TIMES = 500_000_000, 5
"""A pause between two chunks is a stall when it is as long as this, and so many times as long as the middle one."""
_MOST_STALLS = 20
COLUMNS = ("run", "step", "status", "input_tokens", "output_tokens", "cost_nano", "cost_state")
"""Of the table of calls: what is counted."""


class Sums(Struct, frozen=True, kw_only=True):
    """What attempts add up to."""

    calls: int = 0
    input: int | None = None
    """None when nobody counted; a lower bound while `missing` is not 0."""
    output: int | None = None
    missing: int = 0
    cost: int | None = None
    """Nano-USD; None when no call has a price, a lower bound while `unpriced` is not 0."""
    unpriced: int = 0


class Counted(NamedTuple):
    """Attempts in figures that can be added up."""

    calls: int
    taken: int
    taken_known: int
    given: int
    given_known: int
    missing: int
    cost: int
    priced: int
    unpriced: int

    def sums(self) -> Sums:
        """The same, unknown where nobody said."""
        return Sums(
            calls=self.calls,
            input=self.taken if self.taken_known else None,
            output=self.given if self.given_known else None,
            missing=self.missing,
            cost=self.cost if self.priced else None,
            unpriced=self.unpriced,
        )


def counted(call: Row) -> Counted:
    """What one attempt adds. One that is open lacks nothing yet."""
    ended, taken, given = call["status"] != "started", call["input_tokens"], call["output_tokens"]
    priced = call["cost_nano"] is not None and call["cost_state"] != "unpriced"
    return Counted(
        calls=1,
        taken=taken or 0,
        taken_known=int(taken is not None),
        given=given or 0,
        given_known=int(given is not None),
        missing=int(ended and taken is None and given is None),
        cost=call["cost_nano"] if priced else 0,
        priced=int(priced),
        unpriced=int(ended and not priced),
    )


def stalls(text: str | None) -> tuple[Span, ...]:
    """The longest pauses between chunks, by the times at which they came."""
    if not text:
        return ()
    try:
        told = msgspec.json.decode(text, type=Timeline)
    except msgspec.DecodeError:
        return ()
    deltas = [delta * 1_000 for delta in told.deltas_us]
    if len(deltas) < 3:
        return ()
    least = max(STALL_NS, STALL_TIMES * round(median(deltas[1:])))
    ends = list(accumulate(deltas))
    found = ((end - delta, end) for delta, end in zip(deltas[1:], ends[1:], strict=True) if delta >= least)
    return tuple(islice(found, _MOST_STALLS))
