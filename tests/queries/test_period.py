from __future__ import annotations

import pytest

from tachograph.queries.period import Period, Wanted, moment, read, read_all
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
    assert _asked(store, Period(MIDNIGHT - 2 * DAY - 3 * HOUR)) == [
        ("rollup_day", 19_998, 20_000),
        ("rollup_hour", 19_998 * 24 - 3, 19_998 * 24),
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
    store = _store(MIDNIGHT - DAY + 5 * HOUR)
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
