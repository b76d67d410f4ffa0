"""The longest steps of a period, exactly, though nothing is sorted by duration.

A row of a roll-up knows the longest step of its hour or day. So the places where a long step can be are opened in the
order of their longest, days into hours, hours into steps, until no place is left that could hold a longer one than
those already found. A month opens some ten hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.keys import Row, key_of
from tachograph.queries.period import Period, Plan
from tachograph.queries.units import Time, ms, time
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where
from tachograph.store.rollup import DAY_HOURS, HOUR


class SlowStep(Struct, frozen=True, kw_only=True):
    """A step that took long."""

    id: Annotated[str, Meta(description="`id` of its execution log.")]
    execution_id: str
    run_id: str
    kind: str
    name: str
    agent_type: str
    status: str
    start_time: Time
    duration_ms: float


class _Place(NamedTuple):
    """Where steps can be, none of them longer than `-below`. Sorts longest first."""

    below: int
    start: int
    """UTC ns: places of one kind begin at different times."""
    kind: str
    """Kind of the steps; '' for all."""
    span: str
    """day, hour or steps."""
    period: Period


_LENGTH = ("run", "step", "duration_ns", "started_at")
_COLUMNS = (*_LENGTH, "run_id", "execution_id", "kind", "name", "agent_type", "status")
_MOST = Measure("max", "duration_max_ns")
_UNKNOWN = -(2**63)
_SPANS = {"day": DAY_HOURS * HOUR, "hour": HOUR}
_NO_CALLS = Where("kind", "ne", "llm")


def slowest(
    index: Index, plan: Plan, facet: str, rolled: Sequence[Where], where: Sequence[Where], most: int
) -> tuple[SlowStep, ...]:
    """The `most` longest steps that are no model calls, longest first; of equally long ones any.

    `facet` and `rolled` choose the rows of roll-ups, `where` are the same conditions on steps.
    """
    places = [_Place(_UNKNOWN, period.since or 0, "", "steps", period) for period in plan.steps]
    for span, ranges in (("day", plan.days), ("hour", plan.hours)):
        for start, stop in ranges:
            places += _places(index, span, facet, (*rolled, Where(span, "ge", start), Where(span, "lt", stop)))
    heapify(places)
    found: list[Row] = []
    while places and (len(found) < most or -places[0].below > found[-1]["duration_ns"]):
        place = heappop(places)
        if place.span == "day":
            for hour in _hours(index, place, facet, rolled):
                heappush(places, hour)
            continue
        shortest = found[-1]["duration_ns"] if len(found) == most else 0
        found += _steps(index, place, where, shortest, most)
        found.sort(key=lambda row: (-row["duration_ns"], -row["started_at"]))
        del found[most:]
    return _described(index, found)


def _places(index: Index, span: str, facet: str, where: Sequence[Where]) -> Iterable[_Place]:
    """Days or hours, by kind of step, with the longest step of each."""
    conditions = (Where("facet", "eq", facet), Where("step", "ne", "llm"), *where)
    rows = index.find(Query(f"rollup_{span}", conditions, group=(span, "step"), measures=(_MOST,), limit=None)).rows
    length = _SPANS[span]
    for row in rows:
        if row[_MOST.name] is not None:
            start = row[span] * length
            yield _Place(-row[_MOST.name], start, row["step"], span, Period(start, start + length))


def _hours(index: Index, day: _Place, facet: str, rolled: Sequence[Where]) -> Iterable[_Place]:
    first = (day.period.since or 0) // HOUR
    bounds = (Where("hour", "ge", first), Where("hour", "lt", first + DAY_HOURS), Where("step", "eq", day.kind))
    return _places(index, "hour", facet, (*bounds, *rolled))


def _steps(index: Index, place: _Place, where: Sequence[Where], shortest: int, most: int) -> Sequence[Row]:
    kind = Where("kind", "eq", place.kind) if place.kind else _NO_CALLS
    conditions = (kind, *within(place.period), Where("duration_ns", "ge", shortest), *where)
    return index.find(Query("steps", conditions, _LENGTH, order=("-duration_ns",), limit=most)).rows


def _described(index: Index, found: Sequence[Row]) -> tuple[SlowStep, ...]:
    """The steps with everything that an answer says of them: only these few are looked up in full."""
    where = tuple(Where(name, "in", tuple({row[name] for row in found})) for name in ("run", "step"))
    rows = index.find(Query("steps", where, _COLUMNS, limit=None)).rows if found else ()
    by_key = {key_of(row): row for row in rows}
    return tuple(_slow(by_key[key]) for key in map(key_of, found) if key in by_key)


def _slow(row: Row) -> SlowStep:
    return SlowStep(
        id=ids.step_id(row["run_id"], row["step"]),
        execution_id=row["execution_id"],
        run_id=row["run_id"],
        kind=row["kind"],
        name=row["name"],
        agent_type=row["agent_type"] or "",
        status=row["status"],
        start_time=time(row["started_at"]),
        duration_ms=ms(row["duration_ns"]),
    )
