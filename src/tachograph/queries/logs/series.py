"""How a period went, day by day or hour by hour (UTC): one point for each, with what was nothing as zeros."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tachograph.errors import InvalidParameter
from tachograph.queries.period import Period
from tachograph.queries.units import Time, time, usd
from tachograph.store.rollup import DAY_HOURS, HOUR, Row

Interval = Literal["hour", "day"]
LENGTHS: dict[Interval, int] = {"hour": HOUR, "day": DAY_HOURS * HOUR}
"""Nanoseconds of each."""
MOST_POINTS = 1_000
"""Most points of a series; one that would have more begins with the first point that has anything."""
VALUES = (
    "count", "failed", "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "cost_nano",
    "unpriced", "usage_missing",
)  # fmt: skip
"""Columns of roll-ups that a series is made of."""
_HOURS_BELOW = 2 * DAY_HOURS * HOUR
_HOURS_AT_MOST = 31 * DAY_HOURS * HOUR


class Point(Struct, frozen=True, kw_only=True):
    """One day or hour: what started in it."""

    start: Annotated[Time, Meta(description="When the day or hour begins; the period may begin later.")]
    executions: int = 0
    failed_executions: int = 0
    llm_calls: int = 0
    failed_llm_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_cost: Annotated[float, Meta(description="USD of the calls that have a price.")] = 0.0
    unpriced: int = 0
    usage_missing: int = 0


class Series(Struct, frozen=True, kw_only=True):
    """Points in the order of time, without gaps. They add up to the totals."""

    interval: Interval
    points: tuple[Point, ...]


def interval_of(wanted: Interval | None, period: Period) -> Interval:
    """Hours up to two days, days for longer, or what is wanted. Raises InvalidParameter for too many hours."""
    assert period.since is not None
    assert period.until is not None
    length = period.until - period.since
    if wanted == "hour" and length > _HOURS_AT_MOST:
        raise InvalidParameter("interval", "hour", "at most 31 days have a point for each hour; ask for `day`")
    return wanted or ("hour" if length <= _HOURS_BELOW else "day")


def series(rows: Iterable[Row], period: Period, interval: Interval) -> Series:
    """The series of rows that keep step and `interval` apart."""
    sums: dict[int, dict[str, int]] = {}
    for row in rows:
        into = sums.setdefault(row[interval], dict.fromkeys(_COUNTED, 0))
        for name, value in (_of_calls(row) if row["step"] == "llm" else _of_steps(row)).items():
            into[name] += value
    length = LENGTHS[interval]
    points = (_point(number * length, sums.get(number, {})) for number in _numbers(sums, period, length))
    return Series(interval=interval, points=tuple(points))


def _numbers(sums: Iterable[int], period: Period, length: int) -> Iterable[int]:
    first, last = (period.since or 0) // length, ((period.until or 1) - 1) // length
    known = sorted(sums)
    if last - first >= MOST_POINTS:
        first, last = (known[0], known[-1]) if known else (0, -1)
    return range(first, last + 1) if last - first < MOST_POINTS else known


def _of_steps(row: Row) -> dict[str, int]:
    return {"executions": row["count"], "failed_executions": row["failed"]}


def _of_calls(row: Row) -> dict[str, int]:
    return {
        "llm_calls": row["count"],
        "failed_llm_calls": row["failed"],
        "input_tokens": row["uncached_tokens"] + row["cache_read_tokens"] + row["cache_write_tokens"],
        "output_tokens": row["output_tokens"],
        "cost_nano": row["cost_nano"],
        "unpriced": row["unpriced"],
        "usage_missing": row["usage_missing"],
    }


_COUNTED = (
    "executions", "failed_executions", "llm_calls", "failed_llm_calls", "input_tokens", "output_tokens", "cost_nano",
    "unpriced", "usage_missing",
)  # fmt: skip


def _point(start: int, sums: dict[str, int]) -> Point:
    counts = {name: value for name, value in sums.items() if name != "cost_nano"}
    return Point(start=time(start), total_cost=usd(sums.get("cost_nano", 0)), **counts)
