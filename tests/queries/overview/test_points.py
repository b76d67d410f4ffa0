from __future__ import annotations

from typing import Any

import pytest

from tachograph.events.usage import Cost, Usage
from tachograph.queries.overview.figures import figures
from tachograph.queries.overview.points import Interval, Point, Times, interval_of, times_of
from tachograph.queries.period import SECOND, Period
from tachograph.queries.stats import Money, Tokens
from tachograph.store.ports import Store
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.strategies import Tape

DAY = 24 * HOUR
MIDNIGHT = 20_000 * DAY
MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("length", "sums", "times"),
    [
        (HOUR + MINUTE, "minute", "minute"),
        (2 * HOUR + 1, "hour", "hour"),
        (25 * HOUR, "hour", "hour"),
        (8 * DAY, "hour", "day"),
        (9 * DAY, "day", "day"),
    ],
)
def test_how_long_a_point_is(length: int, sums: Interval, times: Interval) -> None:
    """Minutes for an hour, hours for a week, days for a month; what a time is of is never shorter than half a day."""
    period = Period(MIDNIGHT, MIDNIGHT + length)
    assert (interval_of(period), times_of(period)) == (sums, times)


def _recorded(store: Store, at: int) -> None:
    tape = Tape(str(at), at=at, tick=SECOND)
    tape.begin(agent_type="desk")
    cost = Cost("priced", input=4_000, output=2_000, total=6_000)
    tape.reply(tape.call(), usage=Usage(100, 20, 3, 50, 10, basis="provider"), cost=cost, first_token_ns=SECOND // 2)
    tape.reply(tape.call(), "failed", usage=Usage(), cost=Cost(reason="no_price"))
    tape.result(tape.tool("pay"), state="failed")
    tape.finish("failed")
    store.append(batch(tape.events))


POINT: dict[str, Any] = {
    "runs": 1,
    "unsuccessful": 1,
    "calls": 2,
    "failed_calls": 1,
    "failed_steps": 2,
    "tokens": Tokens(100, 20, 3, 50, 10, missing=1),
    "cost": Money(6_000, 4_000, 2_000, unpriced=1),
}


@pytest.mark.parametrize(("length", "points"), [(MINUTE, 60), (HOUR, 24), (DAY, 31)])
def test_each_point_has_what_began_in_it(store: Store, length: int, points: int) -> None:
    """A point has what began in its minute, hour or day, whichever rows tell it; one without anything has zeros."""
    _recorded(store, MIDNIGHT + 3 * length)
    period = Period(MIDNIGHT, MIDNIGHT + points * length)
    for _ in range(2):
        found = figures(store, period, MIDNIGHT + 40 * DAY, {}).points
        assert [point.start for point in found] == [MIDNIGHT + number * length for number in range(points)]
        assert found[3] == Point(start=MIDNIGHT + 3 * length, **POINT)
        assert {point for place, point in enumerate(found) if place != 3} == {
            Point(start=MIDNIGHT + number * length) for number in range(points) if number != 3
        }
        store.refresh(MIDNIGHT + 40 * DAY)


def test_times_of_nothing_are_unknown(store: Store) -> None:
    """Where no call ended, nobody knows how long one takes."""
    _recorded(store, MIDNIGHT + HOUR)
    first, second, third = figures(store, Period(MIDNIGHT, MIDNIGHT + 3 * HOUR), MIDNIGHT + DAY, {}).times
    assert (first, third) == (Times(start=MIDNIGHT), Times(start=MIDNIGHT + 2 * HOUR))
    assert second.p50_ns == pytest.approx(SECOND, rel=0.03)
    assert second.first_p95_ns == pytest.approx(SECOND // 2, rel=0.03)


def test_very_long_periods_have_few_points(store: Store) -> None:
    """Of centuries only the days around those that have anything are points."""
    for number in (0, 4):
        _recorded(store, MIDNIGHT + number * DAY)
    found = figures(store, Period(0, MIDNIGHT + 10_000 * DAY), MIDNIGHT + 10 * DAY, {}).points
    assert [point.runs for point in found] == [1, 0, 0, 0, 1]
