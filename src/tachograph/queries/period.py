"""A stretch of time, and the fewest rows that answer for it.

Whole days come from the days, the rest from the hours, and only what no roll-up covers from the steps themselves: the
hour that is open, hours marked dirty, and the edges of a period that starts or ends within an hour. Whichever rows they
are, they have one shape and add up, so an answer is exact at the moment it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where
from tachograph.store.rollup import ALWAYS, DAY_HOURS, FACETS, HOUR, VALUES, Fact, Row, counted, facts

SECOND = 1_000_000_000
_UNITS = {"s": SECOND, "m": 60 * SECOND, "h": HOUR, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_AGO = re.compile(r"(\d+)\s*([smhdw])")
RUN_KEYS = ("session", "user", "environment", "source", "version")
"""Columns of a run that no roll-up carries: grouping or filtering by them reads steps."""


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
    spans = {*ALWAYS, "hour", "day"}
    facet = _facet({*keys, *where} - spans)
    if facet is None:
        steps = _steps(index, (period,), keys, where)
        return Read(counted(steps, keys), _errors(steps), "rows")
    plan = _plan(index, period, now_ns, use_days="hour" not in keys)
    conditions = tuple(Where(key, "eq", value) for key, value in where.items())
    rows = list(_stored(index, plan, facet, conditions, VALUES))
    with_error = (*conditions, Where("error", "ne", ""))
    errors = list(_stored(index, plan, _facet({*where, "error"} - spans) or facet, with_error, ("count",)))
    steps = _steps(index, plan.steps, keys, where)
    return Read([*rows, *counted(steps, keys)], [*errors, *_errors(steps)], "rollups")


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
    return next((facet for facet, keys in FACETS.items() if wanted <= set(keys)), None)


def _stored(index: Index, plan: _Plan, facet: str, conditions: Sequence[Where], values: Sequence[str]) -> Iterator[Row]:
    """Rows of roll-ups, with their day (and hour, where they are hours)."""
    for table, span, ranges in (("rollup_day", "day", plan.days), ("rollup_hour", "hour", plan.hours)):
        columns = (span, *ALWAYS, *FACETS[facet], *values)
        for start, stop in ranges:
            bounds = (Where("facet", "eq", facet), Where(span, "ge", start), Where(span, "lt", stop))
            for row in index.find(Query(table, (*bounds, *conditions), columns, limit=None)).rows:
                yield row if span == "day" else {**row, "day": row["hour"] // DAY_HOURS}


def _steps(index: Index, periods: Iterable[Period], keys: Sequence[str], where: Mapping[str, str]) -> Sequence[Fact]:
    of_run = tuple(_of_run(key, value) for key, value in where.items() if key in _RUN_CONDITIONS)
    of_step = [(key, value) for key, value in where.items() if key not in _RUN_CONDITIONS]
    run_columns = tuple(key for key in keys if key in RUN_KEYS)
    found = (
        fact
        for period in periods
        for fact in facts(index, period.since or 0, period.until, where=of_run, run_columns=run_columns)
    )
    if not of_step:
        return list(found)
    return [fact for fact in found if all(getattr(fact, key) == value for key, value in of_step)]


def _errors(steps: Iterable[Fact]) -> list[Row]:
    return counted((fact for fact in steps if fact.error), ("step", "error"))


_RUN_CONDITIONS = frozenset(("tenant", "tag", *RUN_KEYS))


def _of_run(key: str, value: str) -> Where:
    return Where("tags", "contains", value) if key == "tag" else Where(key, "eq", value)
