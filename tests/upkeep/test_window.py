from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.upkeep.window import BUCKETS, Window
from tests.upkeep.kept import BEGAN, HOUR, SECOND

happenings = st.lists(st.tuples(st.integers(0, 3 * HOUR), st.booleans(), st.integers(0, 10**9), st.integers(1, 10**10)))


@given(happenings, st.integers(0, HOUR))
def test_a_window_holds_what_is_inside(found: list[tuple[int, bool, int, int]], later: int) -> None:
    """Whatever comes in whatever order: all of the last hour, nothing older than an hour and a sixtieth."""
    window, now = Window(HOUR), BEGAN
    for after, failed, cost, took in found:
        now = max(now, BEGAN + after)
        window.add(BEGAN + after, now, 1, int(failed), cost, took)
    now += later
    window.advance(now)
    inside = [each for each in found if BEGAN + each[0] >= window.since(now)]
    sums = window.total
    assert (sums.count, sums.failed) == (len(inside), sum(each[1] for each in inside))
    assert (sums.cost, sums.times.total()) == (sum(each[2] for each in inside), len(inside))
    assert now - HOUR - window.width < window.since(now) <= now - HOUR


def test_what_leaves_is_taken_out() -> None:
    """Bucket by bucket the total goes back to nothing, and the window knows that it is empty."""
    window = Window(60 * SECOND)
    for second in range(3):
        assert window.add(BEGAN + second * SECOND, BEGAN + 3 * SECOND, cost=10, failed=1, duration_ns=SECOND)
    told = []
    for second in (3, 61, 62, 63):
        window.advance(BEGAN + second * SECOND)
        told.append((window.total.count, window.total.cost, window.total.error_rate, window.empty))
    assert told == [(3, 30, 1.0, False), (2, 20, 1.0, False), (1, 10, 1.0, False), (0, 0, None, True)]
    assert window.total.quantile(0.5) is None


def test_what_is_too_old_does_not_count() -> None:
    """A sample from before the window is refused and says so; one from the future counts as now."""
    window = Window(60 * SECOND)
    assert not window.add(BEGAN - 62 * SECOND, BEGAN)
    assert window.add(BEGAN - 60 * SECOND, BEGAN)
    assert window.add(BEGAN + HOUR, BEGAN)
    assert window.total.count == 2
    window.advance(BEGAN + 2 * 61 * SECOND)
    assert window.total.count == 0


def test_memory_is_bounded() -> None:
    """However much happens, there are no more buckets than the window has."""
    window = Window(HOUR)
    for number in range(20_000):
        at = BEGAN + number * SECOND
        window.add(at, at, cost=1, duration_ns=number)
    assert len(window._buckets) <= BUCKETS + 1
    assert window.total.count == 3_600 + 60


def test_time_does_not_go_back() -> None:
    """A clock that is set back neither empties the window nor refuses what comes."""
    window = Window(60 * SECOND)
    window.add(BEGAN, BEGAN)
    assert window.add(BEGAN - SECOND, BEGAN - SECOND)
    assert window.total.count == 2


def test_quantiles_are_those_of_the_histogram() -> None:
    """As exact as its buckets: within a tenth of the value."""
    window = Window(HOUR)
    for milliseconds in range(1, 1001):
        window.add(BEGAN, BEGAN, duration_ns=milliseconds * 1_000_000)
    median = window.total.quantile(0.5)
    assert median is not None
    assert abs(median / 500e6 - 1) < 0.01


def test_what_is_taken_back_had_not_been() -> None:
    """Count, failure and time go out of the bucket they went into."""
    window = Window(60 * 10**9)
    window.add(5, 10, 1, 1, 0, 1_000)
    window.add(6, 10, 1, 0, 0, 9_000_000)
    window.add(5, 10, -1, -1, 0, 1_000)
    assert (window.total.count, window.total.failed, window.total.error_rate) == (1, 0, 0.0)
    assert window.total.quantile(0.5) == pytest.approx(9_000_000, rel=0.1)
