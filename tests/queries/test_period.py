from __future__ import annotations

import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.queries.period import Period, Plan, Wanted, moment, plan, read, read_all
from tachograph.store.memory import MemoryStore
from tachograph.store.ports import Index
from tachograph.store.query import Page, Query
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.strategies import Tape

DAY = 24 * HOUR
MIDNIGHT = 20_000 * DAY
NOW = MIDNIGHT + 10 * HOUR + 90_000_000_000


class _Watched:
    """A store that notes which tables it is asked for, and between which bounds; errors apart."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.asked: list[tuple[str, int, int | None]] = []

    def find(self, query: Query) -> Page:
        """Answer, and note the question unless it is about dirty hours, the earliest row or errors."""
        bounds = {where.op: where.value for where in query.where if where.column in ("day", "hour", "started_at")}
        facet = next((where.value for where in query.where if where.column == "facet"), "")
        about_rows = query.group or not query.measures
        if about_rows and query.table != "dirty_hours" and facet != "error":
            self.asked.append((query.table, bounds["ge"], bounds.get("lt")))
        return self.index.find(query)


def _store(*starts: int) -> MemoryStore:
    store = MemoryStore()
    for start in starts:
        tape = Tape(str(start), at=start)
        tape.begin()
        store.append(batch(tape.events))
    return store


def _asked(store: MemoryStore, period: Period) -> list[tuple[str, int, int | None]]:
    watched = _Watched(store)
    read(watched, period, NOW, ("step",), {})
    return watched.asked


def test_days_then_hours_then_the_open_hour() -> None:
    """A long period reads whole days, the hours around them, and steps of the open hour only."""
    store = _store(MIDNIGHT - 2 * DAY)
    store.refresh(NOW)
    open_hour = MIDNIGHT + 10 * HOUR
    assert _asked(store, Period(MIDNIGHT - DAY - 3 * HOUR)) == [
        ("rollup_day", 19_999, 20_000),
        ("rollup_hour", 19_999 * 24 - 3, 19_999 * 24),
        ("rollup_hour", 20_000 * 24, 20_000 * 24 + 10),
        ("steps", open_hour, None),
        ("calls", open_hour, None),
    ]
    assert _asked(store, Period()) == [
        ("rollup_day", 19_998, 20_000),
        ("rollup_hour", 20_000 * 24, 20_000 * 24 + 10),
        ("steps", open_hour, None),
        ("calls", open_hour, None),
    ]


def test_dirty_hours_are_read_from_steps() -> None:
    """A day with a dirty hour is read by its other hours, that hour from its steps."""
    store = _store(MIDNIGHT - DAY)
    store.refresh(NOW)
    tape = Tape("late", at=MIDNIGHT - DAY + 5 * HOUR)
    tape.begin()
    store.append(batch(tape.events))
    assert _asked(store, Period(MIDNIGHT - DAY, MIDNIGHT)) == [
        ("rollup_hour", 19_999 * 24, 19_999 * 24 + 5),
        ("rollup_hour", 19_999 * 24 + 6, 20_000 * 24),
        ("steps", MIDNIGHT - DAY + 5 * HOUR, MIDNIGHT - DAY + 6 * HOUR),
        ("calls", MIDNIGHT - DAY + 5 * HOUR, MIDNIGHT - DAY + 6 * HOUR),
    ]


def test_edges_inside_an_hour_are_read_from_steps() -> None:
    """A period that begins or ends within an hour reads the steps of those parts; one within an hour nothing else."""
    store = _store(MIDNIGHT - 8 * HOUR)
    store.refresh(NOW)
    since, until = MIDNIGHT - 3 * HOUR + 7, MIDNIGHT + 9
    assert _asked(store, Period(since, until)) == [
        ("rollup_hour", 20_000 * 24 - 2, 20_000 * 24),
        ("steps", since, MIDNIGHT - 2 * HOUR),
        ("calls", since, MIDNIGHT - 2 * HOUR),
        ("steps", MIDNIGHT, until),
        ("calls", MIDNIGHT, until),
    ]
    assert _asked(store, Period(since, since + 5)) == [("steps", since, since + 5), ("calls", since, since + 5)]


def test_several_readings_of_one_moment() -> None:
    """What no roll-up covers is read once for all readings; roll-ups are added up by the store where they can be."""
    store = _store(MIDNIGHT - DAY, MIDNIGHT - DAY + HOUR, MIDNIGHT - HOUR, NOW)
    store.refresh(NOW)
    watched = _Watched(store)
    wanted = (
        Wanted(("step", "day")),
        Wanted(("step", "agent"), ("count",)),
        Wanted(("step", "hour"), ("count", "failed")),
    )
    found = read_all(watched, Period(MIDNIGHT - DAY), NOW, wanted, {})
    day, hour = 19_999, 20_000 * 24
    days_and_hours = [("rollup_day", day, day + 1), ("rollup_hour", hour, hour + 10)]
    by_hour = [("rollup_hour", hour, hour + 10), ("rollup_hour", day * 24, hour)]
    fresh = [("steps", NOW, NOW + 1), ("calls", NOW, NOW + 1)]
    assert watched.asked == [*days_and_hours, *days_and_hours, *by_hour, *fresh]
    names = ("day", "hour", "count", "failed")
    assert [[tuple(row.get(name) for name in names) for row in each.rows] for each in found] == [
        [(day, None, 3, 0), (day + 1, hour + 10, 1, 0)],
        [(None, None, 3, None), (day + 1, hour + 10, 1, 0)],
        [(day, hour - 24, 1, 0), (day, hour - 23, 1, 0), (day, hour - 1, 1, 0), (day + 1, hour + 10, 1, 0)],
    ]


def test_a_period_costs_what_is_stored_in_it() -> None:
    """However far a period reaches, what is read is that of the hours which have anything; nothing is left out."""
    store = _store(MIDNIGHT - 3 * DAY + HOUR, MIDNIGHT - DAY, NOW)
    store.refresh(NOW)
    always = Period(-(2**63), 2**63 - 1)
    parts = plan(store, always, NOW)
    open_hour = MIDNIGHT + 10 * HOUR
    assert parts == Plan(
        [(19_998, 20_000)],
        [(19_997 * 24 + 1, 19_998 * 24), (20_000 * 24, 20_000 * 24 + 10)],
        [Period(open_hour, 2**63 - 1)],
    )
    assert plan(store, Period(None, 2**63 - 1), NOW) == parts
    assert plan(_store(), always, NOW) == Plan([], [], [Period(open_hour, 2**63 - 1)])
    assert sum(row["count"] for row in read(store, always, NOW, ("step",), {}).rows) == 3


def test_a_long_plan_is_ranges() -> None:
    """A plan of many years is as small as one of a day: hours are never listed one by one."""
    store = _store(0, MIDNIGHT - DAY)
    store.refresh(NOW)
    tracemalloc.start()
    try:
        parts = plan(store, Period(-(2**63)), NOW)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (parts.days, parts.hours) == ([(0, 20_000)], [(20_000 * 24, 20_000 * 24 + 10)])
    assert peak < 500_000


@given(dirty=st.sets(st.integers(0, 99)), first=st.integers(0, 100), length=st.integers(0, 100), use_days=st.booleans())
def test_a_plan_has_every_hour_once(dirty: set[int], first: int, length: int, use_days: bool) -> None:
    """Days, hours and dirty hours together are the period, each hour once; days are used wherever they can be."""
    start, end = 20_000 * 24, 20_000 * 24 + min(first + length, 100)
    store = _store(start * HOUR - DAY)
    store.refresh(NOW + 10 * DAY)
    for hour in dirty:
        tape = Tape(f"dirty {hour}", at=(start + hour) * HOUR)
        tape.begin()
        store.append(batch(tape.events))
    period = Period((start + min(first, 100)) * HOUR, end * HOUR)
    parts = plan(store, period, NOW + 10 * DAY, use_days=use_days)
    of_days = [hour for low, high in parts.days for hour in range(low * 24, high * 24)]
    of_hours = [hour for low, high in parts.hours for hour in range(low, high)]
    of_steps = [hour for each in parts.steps for hour in range((each.since or 0) // HOUR, (each.until or 0) // HOUR)]
    asked = range(start + min(first, 100), end)
    assert sorted((*of_days, *of_hours, *of_steps)) == list(asked)
    assert set(of_steps) == {hour for hour in asked if hour - start in dirty}
    whole = Counter(hour // 24 for hour in of_hours)
    assert not parts.days if not use_days else max(whole.values(), default=0) < 24


def test_a_period_without_anything() -> None:
    """A store without roll-ups or marks reads the open hour only; a period that ends before it starts is empty."""
    assert _asked(_store(), Period()) == [("steps", MIDNIGHT + 10 * HOUR, None), ("calls", MIDNIGHT + 10 * HOUR, None)]
    assert read(_store(MIDNIGHT - HOUR), Period(MIDNIGHT, MIDNIGHT - 2 * HOUR), NOW, ("step",), {}).rows == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("45m", NOW - 45 * 60_000_000_000),
        ("30s", NOW - 30_000_000_000),
        ("12h", MIDNIGHT - 2 * HOUR),
        ("1d", MIDNIGHT - DAY),
        (" 2w ", MIDNIGHT - 14 * DAY),
        ("2024-10-04", MIDNIGHT),
        ("2024-10-04T01:00:00.5", MIDNIGHT + HOUR + 500_000_000),
        ("2024-10-04T01:00+02:00", MIDNIGHT - HOUR),
    ],
)
def test_times_as_people_say_them(text: str, expected: int) -> None:
    """Durations count back from now, to where roll-ups begin; dates are UTC unless they name a zone."""
    assert moment(text, NOW) == expected


def test_what_is_no_time() -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="yesterday"):
        moment("yesterday", NOW)
