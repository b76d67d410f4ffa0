"""How a period went: a point for each of its minutes, hours or days (UTC), with nothing as zeros and unknown as None.

Sums cost little, so a week has them for each hour. Quantiles cost as much as all histograms they are made of, and those
of an hour say little: a week has them for each day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from tachograph.fold import histogram
from tachograph.queries.logs.series import MOST_POINTS
from tachograph.queries.period import SECOND, Period, from_steps
from tachograph.queries.stats import Money, Tokens, money, tokens
from tachograph.store.ports import Index
from tachograph.store.rollup import DAY_HOURS, HOUR, STATUSES, Row, merged

Interval = Literal["minute", "hour", "day"]
LENGTHS: Mapping[Interval, int] = {"minute": 60 * SECOND, "hour": HOUR, "day": DAY_HOURS * HOUR}
_DAY = LENGTHS["day"]


class Point(Struct, frozen=True, kw_only=True):
    """What began in a minute, an hour or a day."""

    start: int
    """UTC ns."""
    runs: int = 0
    completed: int = 0
    """Runs that completed."""
    unsuccessful: int = 0
    """Runs that ended otherwise; the rest is open."""
    calls: int = 0
    failed_calls: int = 0
    failed_steps: int = 0
    """Steps that failed, of all kinds but model calls."""
    tokens: Tokens = Tokens()
    cost: Money = Money()


class Times(Struct, frozen=True, kw_only=True):
    """How long the model calls took that began in a minute, an hour or a day. None when no call told."""

    start: int
    """UTC ns."""
    p50_ns: int | None = None
    p95_ns: int | None = None
    first_p50_ns: int | None = None
    """To the first token."""
    first_p95_ns: int | None = None


def interval_of(period: Period) -> Interval:
    """Of sums: minutes for up to two hours, hours for about a week, days for more."""
    length = _length(period)
    return "minute" if length <= 2 * HOUR else "hour" if length <= 8 * _DAY + HOUR else "day"


def times_of(period: Period) -> Interval:
    """Of times: the same, but hours for up to two days."""
    return "day" if _length(period) > 2 * _DAY else interval_of(period)


def minutes(index: Index, period: Period, where: Mapping[str, str]) -> Sequence[Row]:
    """Rows of each minute, from the steps of the period."""
    length = LENGTHS["minute"]
    found: list[Row] = []
    for number in _numbers((), period, length):
        start = number * length
        part = Period(max(start, period.since or 0), min(start + length, period.until or 0))
        found += ({**row, "minute": number} for row in from_steps(index, (part,), ("step",), where)[0])
    return found


def points(rows: Iterable[Row], period: Period, interval: Interval) -> tuple[Point, ...]:
    """The sums of rows that keep step and `interval` apart."""
    by_start = _by(({**row, **_NO_TIMES} for row in rows), interval)
    return tuple(_point(start, by_start.get(start, ())) for start in _starts(by_start, period, interval))


def times(rows: Iterable[Row], period: Period, interval: Interval) -> tuple[Times, ...]:
    """The times of model calls of rows that keep step and `interval` apart."""
    by_start = _by((row for row in rows if row["step"] == "llm"), interval)
    found = []
    for start in _starts(by_start, period, interval):
        calls = by_start.get(start, ())
        whole, first = _quantiles(calls, "hist"), _quantiles(calls, "first_token_hist")
        found.append(Times(start=start, p50_ns=whole[0], p95_ns=whole[1], first_p50_ns=first[0], first_p95_ns=first[1]))
    return tuple(found)


_NO_TIMES: Row = dict.fromkeys(("duration_min_ns", "duration_max_ns", "hist", "first_token_hist"))


def _length(period: Period) -> int:
    return (period.until or 0) - (period.since or 0)


def _by(rows: Iterable[Row], interval: Interval) -> Mapping[int, Sequence[Row]]:
    """Rows by when their minute, hour or day begins."""
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(row[interval] * LENGTHS[interval], []).append(row)
    return found


def _starts(known: Iterable[int], period: Period, interval: Interval) -> Sequence[int]:
    length = LENGTHS[interval]
    numbers = _numbers((start // length for start in known), period, length)
    return range(numbers.start * length, numbers.stop * length, length)


def _numbers(known: Iterable[int], period: Period, length: int) -> range:
    """All of the period; when they are too many, those from the first that has anything to the last."""
    first, last = (period.since or 0) // length, ((period.until or 1) - 1) // length
    if last - first >= MOST_POINTS:
        found = sorted(known)
        first, last = (found[0], found[-1]) if found else (0, -1)
    return range(max(first, last - MOST_POINTS + 1), last + 1)


def _point(start: int, rows: Sequence[Row]) -> Point:
    if not rows:
        return Point(start=start)
    kinds = {row["step"]: row for row in merged(rows, ("step",))}
    runs, calls = kinds.get("run"), kinds.get("llm")
    ended = 0 if calls is None else _ended(calls)
    return Point(
        start=start,
        runs=0 if runs is None else runs["count"],
        completed=0 if runs is None else runs["completed"],
        unsuccessful=0 if runs is None else _ended(runs) - runs["completed"],
        calls=0 if calls is None else calls["count"],
        failed_calls=0 if calls is None else calls["failed"],
        failed_steps=sum(row["failed"] for kind, row in kinds.items() if kind != "llm"),
        tokens=tokens(calls, ended),
        cost=money(calls, ended),
    )


def _ended(row: Row) -> int:
    return sum(row[status] for status in STATUSES)


def _quantiles(rows: Iterable[Row], column: str) -> tuple[int | None, int | None]:
    """Median and 95th percentile; nothing of nothing."""
    together = histogram.merged(row[column] for row in rows if row[column])
    half, most = together.quantile(0.5), together.quantile(0.95)
    return (None, None) if half is None or most is None else (round(half), round(most))
