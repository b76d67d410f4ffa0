"""A stretch of time, and the fewest rows that answer for it.

Whole days come from the days, the rest from the hours, and only what no roll-up covers from the steps themselves: the
hour that is open, hours marked dirty, and the edges of a period that starts or ends within an hour. Whichever rows they
are, they have one shape and add up, so an answer is exact at the moment it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where
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

    Keys are those of the roll-ups, `hour`, `day`, and RUN_KEYS; `tag` is a condition only.
    """
    facet = _facet({*keys, *where})
    if facet is None:
        rows, errors = _from_steps(index, (period,), keys, where)
        return Read(rows, errors, "rows")
    plan = _plan(index, period, now_ns, use_days="hour" not in keys)
    conditions = tuple(Where(key, "eq", value) for key, value in where.items())
    rows = _stored(index, plan, facet, conditions, VALUES)
    with_error = (*conditions, Where("error", "ne", ""))
    errors = _stored(index, plan, _facet({*where, "error"}) or facet, with_error, ("count",))
    fresh, fresh_errors = _from_steps(index, plan.steps, keys, where)
    return Read([*rows, *fresh], [*errors, *fresh_errors], "rollups")


class _Plan(Struct, frozen=True):
    """Where each part of a period is read: half-open ranges of days and hours since 1970, stretches of steps."""

    days: Sequence[tuple[int, int]]
    hours: Sequence[tuple[int, int]]
    steps: Sequence[Period]


def _plan(index: Index, period: Period, now_ns: int, *, use_days: bool) -> _Plan:
    end = now_ns // HOUR if period.until is None else min(period.until, now_ns) // HOUR
    first = _earliest(index, end) if period.since is None else -(-period.since // HOUR)
    if first > end:
        return _Plan((), (), (period,))
    dirty = _dirty(index, first, end)
    days, clean = set(), set(range(first, end)) - dirty
    for day in range(-(-first // DAY_HOURS), end // DAY_HOURS) if use_days else ():
        hours = set(range(day * DAY_HOURS, (day + 1) * DAY_HOURS))
        if hours <= clean:
            days.add(day)
            clean -= hours
    steps = [Period(start * HOUR, stop * HOUR) for start, stop in _ranges(dirty)]
    if period.since is not None and period.since < first * HOUR:
        steps.append(Period(period.since, first * HOUR))
    if period.until is None or period.until > end * HOUR:
        steps.append(Period(end * HOUR, period.until))
    return _Plan(_ranges(days), _ranges(clean), steps)


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


def _facet(wanted: set[str]) -> str | None:
    """The smallest facet that keeps these keys apart; None when no roll-up does."""
    return next((facet for facet, keys in FACETS.items() if wanted <= {*keys, *ALWAYS, *_SPANS}), None)


_SPANS: Mapping[str, int] = {"hour": HOUR, "day": DAY_HOURS * HOUR}


def _stored(index: Index, plan: _Plan, facet: str, conditions: Sequence[Where], values: Sequence[str]) -> list[Row]:
    """Rows of roll-ups, with their day (and hour, where they are hours)."""
    found: list[Row] = []
    for table, span, ranges in (("rollup_day", "day", plan.days), ("rollup_hour", "hour", plan.hours)):
        columns = (span, *ALWAYS, *FACETS[facet], *values)
        for start, stop in ranges:
            bounds = (Where("facet", "eq", facet), Where(span, "ge", start), Where(span, "lt", stop))
            rows = index.find(Query(table, (*bounds, *conditions), columns, limit=None)).rows
            found += rows if span == "day" else ({**row, "day": row["hour"] // DAY_HOURS} for row in rows)
    return found


def _from_steps(
    index: Index, periods: Iterable[Period], keys: Sequence[str], where: Mapping[str, str]
) -> tuple[list[Row], list[Row]]:
    """The same from steps: their rows, and those of the steps that had an error."""
    of_run = tuple(_of_run(key, value) for key, value in where.items() if key in _RUN_CONDITIONS)
    of_step = {key: value for key, value in where.items() if key not in _RUN_CONDITIONS}
    spans = {span: length for span, length in _SPANS.items() if span in keys}
    asked = tuple(dict.fromkeys((*(key for key in keys if key not in _SPANS), *of_step, "step", "error")))
    rows: list[Row] = []
    for period in periods:
        for part in _slices(index, period, min(spans.values(), default=None)):
            since = part.since or 0
            when = {span: since // length for span, length in spans.items()}
            found = summed(index, since, part.until, asked, of_run)
            rows += ({**row, **when} for row in found if of_step.items() <= row.items())
    return rows, [row for row in rows if row["error"]]


def _slices(index: Index, period: Period, length: int | None) -> Iterable[Period]:
    """A period in parts that lie within one hour, or one day, each; whole when `length` is None."""
    if length is None:
        return (period,)
    since = _edge(index, "min", period) if period.since is None else period.since
    last = _edge(index, "max", period) if period.until is None else period.until - 1
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
    found: int | None = index.find(Query("steps", where, measures=(measure,))).rows[0][measure.name]
    return found


_RUN_CONDITIONS = frozenset(("tenant", "tag", *RUN_KEYS))


def _of_run(key: str, value: str) -> Where:
    return Where("tags", "contains", value) if key == "tag" else Where(key, "eq", value)
