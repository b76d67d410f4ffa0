"""A stretch of a run's log, of all its events or of some types: read from one place, so it costs the same anywhere.

Types have no index. Where they are rare, so many events are looked through, and the answer says how far that was.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.events.note import Unknown
from tachograph.queries.events import filled
from tachograph.store.ports import Reading

LOOKED = 6_000
"""Most events that are looked through for a stretch."""
_PIECE = 1_000
EACH_BYTES = 4_096
"""Larger contents stay named by their hash."""


class Stretch(Struct, frozen=True, kw_only=True):
    """Events of one run in order."""

    events: tuple[Event, ...]
    first: int
    """Seq of the first event that was looked at."""
    last: int
    """Of the last; `first - 1` when there was none."""
    stored: int
    """Events that the run has."""

    @property
    def earlier(self) -> int | None:
        """Give it as `before` for the events before; None where there are none."""
        return self.first if self.first > 0 else None

    @property
    def later(self) -> int | None:
        """Give it as `after` for those behind."""
        return self.last if self.last < self.stored - 1 else None


def stretch(
    store: Reading, run: str, *, after: int = -1, before: int | None = None, types: Collection[str] = (), limit: int
) -> Stretch:
    """So many events of these types (none given: all) behind `after`; with `before`, those just before it."""
    found = _behind(store, run, after, types, limit) if before is None else _before(store, run, before, types, limit)
    events = tuple(filled(found.events, store.fetch, EACH_BYTES))
    return Stretch(events=events, first=found.first, last=found.last, stored=store.next_seq(run))


class _Found(NamedTuple):
    events: list[Event]
    first: int
    last: int


def _behind(store: Reading, run: str, after: int, types: Collection[str], limit: int) -> _Found:
    chosen: list[Event] = []
    last = after
    for event in store.read(run, after, LOOKED if types else limit):
        last = event.seq
        if not types or type_of(event) in types:
            chosen.append(event)
            if len(chosen) == limit:
                break
    return _Found(chosen, after + 1, last)


def _before(store: Reading, run: str, before: int, types: Collection[str], limit: int) -> _Found:
    """Reads backwards, a piece at a time."""
    chosen: list[Event] = []
    piece = _PIECE if types else limit
    first, last = before, -1
    while first > max(0, before - LOOKED) and len(chosen) < limit:
        start = max(-1, first - 1 - piece)
        events = list(store.read(run, start, first - 1 - start))
        first, last = start + 1, max([last, *(event.seq for event in events[-1:])])
        chosen = [event for event in events if not types or type_of(event) in types] + chosen
    if len(chosen) > limit:
        chosen = chosen[-limit:]
        first = chosen[0].seq
    return _Found(chosen, first, last)


def type_of(event: Event) -> str:
    """The type of an event, as the log spells it."""
    body = event.body
    return body.type if isinstance(body, Unknown) else str(type(body).__struct_config__.tag)
