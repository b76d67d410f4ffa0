"""What is new: the events that came into the store since somebody looked last."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from operator import itemgetter

from msgspec import Struct

from tachograph.events.envelope import Event
from tachograph.queries.runs import COLUMNS, Filter, Run, conditions, run_of
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

WINDOW = 200
"""Newest runs that are watched for a beginning. Runs that were open when last seen are followed at any age."""


class News(Struct, frozen=True):
    """New events, and what to give to `tail` the next time."""

    events: tuple[Event, ...]
    """In order of time; in order of seq within a run. Large content is named by hash (see `events.filled`)."""
    runs: Mapping[str, Run]
    """The runs that these events belong to, as they stand now."""
    seen: Mapping[str, int]
    """Run → events seen, for the runs that are watched."""


def tail(store: Reading, seen: Mapping[str, int] | None = None, where: Filter | None = None) -> News:
    """Events that were stored since `seen`; without `seen` none, only the place to begin from.

    Watches the newest WINDOW runs that meet the filter, and those of `seen`.
    """
    newest = _runs(store, Query("runs", conditions(where or Filter()), COLUMNS, order=("-started_at",), limit=WINDOW))
    if seen is None:
        return News((), {}, {key: run.events for key, run in newest.items()})
    older = tuple(key for key in seen if key not in newest)
    followed = _runs(store, Query("runs", (Where("id", "in", older),), COLUMNS, limit=None)) if older else {}
    watched = {**followed, **newest}
    changed = {key: run for key, run in watched.items() if run.events > seen.get(key, 0)}
    events = {key: list(store.read(key, seen.get(key, 0) - 1)) for key in changed}
    reached = {
        key: seen.get(key, 0) + len(events.get(key, ())) for key, run in watched.items() if key in newest or run.is_open
    }
    return News(tuple(_in_time(events.values())), changed, reached)


def _runs(store: Reading, query: Query) -> dict[str, Run]:
    return {row["id"]: run_of(row) for row in store.find(query).rows}


def _in_time(runs: Iterable[list[Event]]) -> Iterator[Event]:
    """Events of several runs by time; within a run by seq, even where its clock stepped back."""
    return (event for _, event in heapq.merge(*map(_ranked, runs), key=itemgetter(0)))


def _ranked(events: list[Event]) -> Iterator[tuple[int, Event]]:
    return zip(accumulate((event.at for event in events), max), events, strict=True)
