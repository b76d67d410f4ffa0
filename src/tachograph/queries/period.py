"""A stretch of time, and the fewest rows that answer for it.

Whole days come from the days, the rest from the hours, and only what no roll-up covers from the steps themselves: the
hour that is open, hours marked dirty, and the edges of a period that starts or ends within an hour. Whichever rows they
are, they have one shape and add up, so an answer is exact at the moment it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from tachograph.store.ports import Index
from tachograph.store.query import Function, Measure, Query, Where
from tachograph.store.rollup import ALWAYS, DAY_HOURS, FACETS, HOUR, RUN_KEYS, VALUES, Row, summed

SECOND = 1_000_000_000
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_AGO = re.compile(r"(\d+)\s*([smhdw])")


class Period(Struct, frozen=True):
    """From `since` up to but not including `until`, UTC nanoseconds; None is unbounded."""

    since: int | None = None
    until: int | None = None


class Read(Struct, frozen=True):
    """Rows that answer a question; `source` is `rollups`, or `rows` when every step of the period had to be read."""

    rows: Sequence[Row]
    errors: Sequence[Row]
    """Of the steps that had an error, by kind of step and error."""
    source: str


def moment(text: str, now_ns: int) -> int:
    """UTC ns of a time as people say it: `30d`, `12h`, `45m` ago, or an ISO date or time (UTC unless it names a zone).

    Days and weeks ago begin at midnight and hours ago at the full hour (UTC), where roll-ups do. Raises ValueError.
    """
    if ago := _AGO.fullmatch(text.strip()):
        unit = _UNITS[ago[2]]
        then = now_ns - int(ago[1]) * unit
        return then - then % min(unit, _UNITS["d"]) if unit >= HOUR else then
    when = datetime.fromisoformat(text.strip())
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    since_epoch = when - datetime.fromtimestamp(0, UTC)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * SECOND + since_epoch.microseconds * 1_000


def read(index: Index, period: Period, now_ns: int, keys: Sequence[str], where: Mapping[str, str]) -> Read:
    """Rows of the period that keep `keys` apart (others may be apart too) and meet every equality in `where`.

    Keys are those of the roll-ups, `hour`, `day`, and RUN_KEYS; `tag` and `report_id` are conditions only.
    """
    return read_all(index, period, now_ns, (Wanted(tuple(keys)),), where)[0]


class Wanted(Struct, frozen=True):
    """Rows to be read: what they keep apart, and which sums they need. What is not needed is None."""

    keys: tuple[str, ...]
    values: tuple[str, ...] = VALUES


def read_all(
    index: Index, period: Period, now_ns: int, wanted: Sequence[Wanted], where: Mapping[str, str]
) -> tuple[Read, ...]:
    """Several readings of one period, all of the same moment: what no roll-up covers is read once for all of them."""
    facets = [facet_of({*each.keys, *where}) for each in wanted]
    every = tuple(dict.fromkeys(key for each in wanted for key in each.keys))
    if None in facets:
        rows, errors = from_steps(index, (period,), every, where)
        return tuple(Read(rows, errors, "rows") for _ in wanted)
    parts = plan(index, period, now_ns, use_days=any("hour" not in each.keys for each in wanted))
    conditions = tuple(Where(key, "eq", value) for key, value in where.items())
    found = [
        (stored if _PACKED & set(each.values) else added)(index, parts, facet or "", conditions, each)
        for facet, each in zip(facets, wanted, strict=True)
    ]
    with_error = (*conditions, Where("error", "ne", ""))
    old_errors = added(index, parts, facet_of({*where, "error"}) or facets[0] or "", with_error, _ERRORS)
    fresh, errors = from_steps(index, parts.steps, every, where)
    return tuple(Read([*rows, *fresh], [*old_errors, *errors], "rollups") for rows in found)


class Plan(Struct, frozen=True):
    """Where each part of a period is read: half-open ranges of days and hours since 1970, stretches of steps."""

    days: Sequence[tuple[int, int]]
    hours: Sequence[tuple[int, int]]
    steps: Sequence[Period]


def plan(index: Index, period: Period, now_ns: int, *, use_days: bool = True) -> Plan:
    """The fewest rows that answer for a period. Its size follows from what is stored, however long the period is."""
    end = now_ns // HOUR if period.until is None else min(period.until, now_ns) // HOUR
    earliest = _earliest(index, end)
    first = earliest if period.since is None else max(earliest, -(-period.since // HOUR))
    if first > end:
        return Plan((), (), (period,))
    dirty = _ranges(_dirty(index, first, end))
    days, hours = _days_and_hours(_between(dirty, first, end), use_days=use_days)
    steps = [Period(start * HOUR, stop * HOUR) for start, stop in dirty]
    if period.since is not None and earliest * HOUR < period.since < first * HOUR:
        steps.append(Period(period.since, first * HOUR))
    if period.until is None or period.until > end * HOUR:
        steps.append(Period(end * HOUR, period.until))
    return Plan(days, hours, steps)


def _earliest(index: Index, end: int) -> int:
    """The first hour that has a roll-up or is marked dirty."""
    hour = Measure("min", "hour")
    rolled = Query("rollup_hour", where=(Where("facet", "eq", "project"),), measures=(hour,))
    found = [
        row[hour.name] for query in (rolled, Query("dirty_hours", measures=(hour,))) for row in index.find(query).rows
    ]
    return min((first for first in found if first is not None and first < end), default=end)


def _dirty(index: Index, first: int, end: int) -> set[int]:
    bounds = (Where("hour", "ge", first), Where("hour", "lt", end))
    return {row["hour"] for row in index.find(Query("dirty_hours", bounds, ("hour",), limit=None)).rows}


def _ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Half-open ranges that cover exactly these numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number:
            found[-1] = (found[-1][0], number + 1)
        else:
            found.append((number, number + 1))
    return found


def _between(ranges: Sequence[tuple[int, int]], first: int, end: int) -> Iterator[tuple[int, int]]:
    """What these ranges, which are in order, leave of the numbers from `first` up to and without `end`."""
    for start, stop in ranges:
        if first < start:
            yield first, start
        first = stop
    if first < end:
        yield first, end


def _days_and_hours(
    clean: Iterable[tuple[int, int]], *, use_days: bool
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Ranges of hours as ranges of the whole days in them, and of the hours before and after these."""
    days: list[tuple[int, int]] = []
    hours: list[tuple[int, int]] = []
    for start, stop in clean:
        day, last = -(-start // DAY_HOURS), stop // DAY_HOURS
        if not use_days or day >= last:
            hours.append((start, stop))
            continue
        days.append((day, last))
        around = ((start, day * DAY_HOURS), (last * DAY_HOURS, stop))
        hours += (part for part in around if part[0] < part[1])
    return days, hours


def facet_of(wanted: set[str]) -> str | None:
    """The smallest facet that keeps these keys apart; None when no roll-up does."""
    return next((facet for facet, keys in FACETS.items() if wanted <= {*keys, *ALWAYS, *_SPANS}), None)


_SPANS: Mapping[str, int] = {"hour": HOUR, "day": DAY_HOURS * HOUR}
_NOTHING: Row = dict.fromkeys(VALUES)
_PACKED = frozenset(("hist", "first_token_hist"))
_ADDING: Mapping[str, Function] = {"duration_min_ns": "min", "duration_max_ns": "max"}
_ERRORS = Wanted(("step", "error"), ("count",))


def stored(index: Index, parts: Plan, facet: str, where: Sequence[Where], wanted: Wanted) -> list[Row]:
    """Rows of roll-ups as they are, with their day (and hour, where they are hours)."""
    columns = (*ALWAYS, *FACETS[facet], *wanted.values)
    found: list[Row] = []
    for table, span, conditions in _ranged(parts, facet, where, wanted):
        rows = index.find(Query(table, conditions, (span, *columns), limit=None)).rows
        found += ({**_NOTHING, **row, **_day_of(row, span)} for row in rows)
    return found


def added(index: Index, parts: Plan, facet: str, where: Sequence[Where], wanted: Wanted) -> list[Row]:
    """The same, added up by the store: for values that are not packed."""
    measures = {name: Measure(_ADDING.get(name, "sum"), name) for name in wanted.values}
    found: list[Row] = []
    for table, span, conditions in _ranged(parts, facet, where, wanted):
        group = tuple(dict.fromkeys(span if key in _SPANS else key for key in wanted.keys))
        query = Query(table, conditions, group=group, measures=tuple(measures.values()), limit=None)
        for row in index.find(query).rows:
            if any(row[measure.name] is not None for measure in measures.values()):
                keys = {name: row[name] for name in group}
                sums = {name: row[measure.name] for name, measure in measures.items()}
                found.append({**_NOTHING, **keys, **sums, **(_day_of(row, span) if span in row else {})})
    return found


def _ranged(
    parts: Plan, facet: str, where: Sequence[Where], wanted: Wanted
) -> Iterator[tuple[str, str, tuple[Where, ...]]]:
    """(table, its column of time, conditions) for each range of days or hours of the plan."""
    by_hour = "hour" in wanted.keys
    days = () if by_hour else parts.days
    hours = (*parts.hours, *((start * DAY_HOURS, stop * DAY_HOURS) for start, stop in parts.days if by_hour))
    for table, span, ranges in (("rollup_day", "day", days), ("rollup_hour", "hour", hours)):
        for start, stop in ranges:
            bounds = (Where("facet", "eq", facet), Where(span, "ge", start), Where(span, "lt", stop))
            yield table, span, (*bounds, *where)


def _day_of(row: Row, span: str) -> Row:
    return {"day": row[span] if span == "day" else row[span] // DAY_HOURS}


def from_steps(
    index: Index, periods: Iterable[Period], keys: Sequence[str], where: Mapping[str, str]
) -> tuple[list[Row], list[Row]]:
    """The same from steps alone: rows, and those of the steps that had an error. Reads every step of the periods."""
    of_rows = tuple(of_row(key, value) for key, value in where.items() if key in _OF_ROW)
    of_step = {key: value for key, value in where.items() if key not in _OF_ROW}
    spans = {span: length for span, length in _SPANS.items() if span in keys}
    asked = tuple(dict.fromkeys((*(key for key in keys if key not in _SPANS), *of_step, "step", "error")))
    rows: list[Row] = []
    for period in periods:
        for part in _slices(index, period, min(spans.values(), default=None)):
            since = part.since or 0
            when = {span: since // length for span, length in spans.items()}
            found = summed(index, since, part.until, asked, of_rows)
            rows += ({**row, **when} for row in found if of_step.items() <= row.items())
    return rows, [row for row in rows if row["error"]]


def _slices(index: Index, period: Period, length: int | None) -> Iterable[Period]:
    """A period in parts that lie within one hour, or one day, each; whole when `length` is None.

    Only from its first step to its last: a period may well reach to the year 2100.
    """
    if length is None:
        return (period,)
    since, last = _edge(index, "min", period), _edge(index, "max", period)
    if since is None or last is None:
        return ()
    starts = range(since // length * length, last + 1, length)
    return [Period(max(since, start), min(last + 1, start + length)) for start in starts]


def _edge(index: Index, function: Literal["min", "max"], period: Period) -> int | None:
    """When the first or the last step of a period started; None when there is none."""
    measure = Measure(function, "started_at")
    where: tuple[Where, ...] = (Where("started_at", "ge", period.since or 0),)
    if period.until is not None:
        where = (*where, Where("started_at", "lt", period.until))
    # Two questions, since each list has an index and all steps together have none.
    lists = (
        Query("steps", (*where, Where("kind", "ne", "llm")), measures=(measure,)),
        Query("calls", where, measures=(measure,)),
    )
    found = [row[measure.name] for query in lists for row in index.find(query).rows if row[measure.name] is not None]
    return (min if function == "min" else max)(found, default=None)


_OF_ROW = frozenset(("tenant", "tag", "report_id", *RUN_KEYS))
"""Conditions that steps are asked for; what else is asked, they are grouped by."""


def of_row(key: str, value: str) -> Where:
    """A condition as it is asked of steps."""
    return Where("tags", "contains", value) if key == "tag" else Where(key, "eq", value)
