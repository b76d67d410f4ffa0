from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import InvalidParameter
from tachograph.queries.logs import series as module
from tachograph.queries.logs.series import Interval, Point, interval_of, series
from tachograph.queries.period import Period
from tachograph.queries.units import time
from tachograph.store.rollup import HOUR, SUMS

DAY = 24 * HOUR


def _row(step: str, **values: int) -> dict[str, Any]:
    return {"step": step, **dict.fromkeys(SUMS, 0), **values}


def test_points_without_gaps() -> None:
    """Each day of the period has a point; what started in it is added up, steps and calls apart."""
    rows = [
        _row("run", day=10, count=3, failed=1),
        _row("tool", day=10, count=2),
        _row(
            "llm", day=10, count=4, failed=2, uncached_tokens=10, cache_read_tokens=5, cache_write_tokens=1,
            output_tokens=7, reasoning_tokens=3, cost_nano=2_000_000_000, unpriced=1, usage_missing=2,
        ),
        _row("llm", day=12, count=1, cost_nano=500_000_000),
    ]  # fmt: skip
    found = series(rows, Period(10 * DAY + 5, 13 * DAY), "day")
    assert (found.interval, found.points) == (
        "day",
        (
            Point(
                start=time(10 * DAY), executions=5, failed_executions=1, llm_calls=4, failed_llm_calls=2,
                input_tokens=16, output_tokens=7, total_cost=2.0, unpriced=1, usage_missing=2,
            ),
            Point(start=time(11 * DAY)),
            Point(start=time(12 * DAY), llm_calls=1, total_cost=0.5),
        ),
    )  # fmt: skip


def test_hours() -> None:
    """By hour there is a point for each hour that the period touches."""
    found = series([_row("run", hour=6, count=1)], Period(5 * HOUR + 1, 7 * HOUR), "hour")
    assert [(point.start, point.executions) for point in found.points] == [(time(5 * HOUR), 0), (time(6 * HOUR), 1)]


def test_a_period_that_ends_before_it_begins() -> None:
    """It has no points."""
    assert series([], Period(2 * DAY, DAY), "day").points == ()


def test_a_long_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """A period of too many days begins and ends with what there is; if that is too long, empty days are left out."""
    monkeypatch.setattr(module, "MOST_POINTS", 4)

    def days(*numbers: int) -> list[int]:
        found = series([_row("run", day=day, count=1) for day in numbers], Period(0, 1_000 * DAY), "day")
        return [int(point.start.timestamp()) // 86_400 for point in found.points]

    assert (days(7, 9), days(7, 10), days(7, 900), days()) == ([7, 8, 9], [7, 8, 9, 10], [7, 900], [])


@pytest.mark.parametrize(
    ("wanted", "length", "expected"),
    [
        (None, 1, "hour"),
        (None, 2 * DAY, "hour"),
        (None, 2 * DAY + 1, "day"),
        (None, -5, "hour"),
        ("day", 1, "day"),
        ("hour", 31 * DAY, "hour"),
    ],
)
def test_intervals(wanted: Interval | None, length: int, expected: Interval) -> None:
    """Hours up to two days, days for longer, unless one is wanted."""
    assert interval_of(wanted, Period(DAY, DAY + length)) == expected


def test_too_many_hours() -> None:
    """Hours are refused for more than 31 days."""
    with pytest.raises(InvalidParameter, match="interval='hour' cannot be used: at most 31 days"):
        interval_of("hour", Period(0, 31 * DAY + 1))
