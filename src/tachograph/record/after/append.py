"""Adding to a run that nobody owns any more: at the place where it stands, or not at all.

Of several who want to, one is first, and the others learn that from the store. Nobody's events ever stand between those
of another: all of them are stored, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from tachograph.events.call import CallRepriced
from tachograph.events.envelope import Body, Event
from tachograph.store.ports import Batch, Store


def append(store: Store, batch: Batch) -> bool:
    """Store events of one run if it stands where they begin; False when somebody else was faster. Raises StoreError."""
    first = batch.events[0]
    done = store.append(replace(batch, expect={first.run: first.seq}))
    return done.moved and done.stored == len(batch.events)


def following(log: Sequence[Event], bodies: Iterable[tuple[Body, int]], now: int) -> list[Event]:
    """The (body, step) pairs as the next events of a run, at UTC nanoseconds `now`."""
    mono = lived(log, now)
    run, first = log[0].run, log[-1].seq + 1
    return [Event(run, seq, now, mono, step, body) for seq, (body, step) in enumerate(bodies, first)]


def lived(log: Sequence[Event], now: int) -> int:
    """What a run's own monotonic clock says at UTC nanoseconds `now`, which other processes cannot read.

    It goes on from the last event by as much as the wall clock did, and never back.
    """
    # New prices are written by processes that the run never belonged to: their clock is another one.
    last = next(event for event in reversed(log) if not isinstance(event.body, CallRepriced))
    return last.mono + max(0, now - last.at)
