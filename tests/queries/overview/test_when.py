from __future__ import annotations

import pytest

from tachograph.queries.overview.when import Chosen, Name, chosen, newest
from tachograph.queries.period import SECOND, Period
from tachograph.store.ports import Store
from tachograph.store.rollup import HOUR
from tests.queries.kept import batch
from tests.strategies import Tape

DAY = 24 * HOUR
MIDNIGHT = 20_000 * DAY
NOW = MIDNIGHT + 10 * HOUR + 90 * SECOND


def _chosen(name: Name | None = None, given: Period | None = None, last: int = NOW - HOUR) -> tuple[int, int, str]:
    found = chosen(name, given or Period(), last, NOW)
    return found.since, found.until, found.instead


def test_the_newest_run(store: Store) -> None:
    """It is the one that began last; what the server notes of itself is none."""
    assert newest(store) is None
    for number, source in enumerate(("", "", "audit")):
        tape = Tape(str(number), at=MIDNIGHT + number * HOUR)
        tape.begin(source=source)
        store.append(batch(tape.events))
    assert newest(store) == MIDNIGHT + HOUR


def test_a_named_period_ends_now() -> None:
    """An hour begins with its minute, a day with its hour, longer ones at midnight (UTC), whatever happened in them."""
    assert _chosen("1h", last=0) == (NOW - HOUR - 30 * SECOND, NOW + 1, "")
    assert _chosen("24h", last=0) == (MIDNIGHT - 14 * HOUR, NOW + 1, "")
    assert _chosen("7d", last=0) == (MIDNIGHT - 7 * DAY, NOW + 1, "")
    assert _chosen("30d", last=0) == (MIDNIGHT - 30 * DAY, NOW + 1, "")


@pytest.mark.parametrize(
    ("last", "name", "instead"),
    [(NOW - HOUR, "24h", ""), (NOW - 3 * DAY, "7d", "longer"), (NOW - 20 * DAY, "30d", "longer")],
)
def test_unasked_it_is_one_in_which_something_happened(last: int, name: Name, instead: str) -> None:
    """Unasked it is the last day, or the first longer period that has a run, and it says which of these."""
    assert chosen(None, Period(), last, NOW) == Chosen(chosen(name, Period(), last, NOW).period, name, instead)  # type: ignore[arg-type]


def test_records_of_the_past_are_shown_where_they_lie() -> None:
    """When nothing happened for a month, it is the month up to the newest run."""
    last = MIDNIGHT - 100 * DAY + 5 * HOUR
    assert _chosen(last=last) == (MIDNIGHT - 130 * DAY, MIDNIGHT - 99 * DAY, "elsewhere")


def test_dates_come_before_a_name() -> None:
    """A date that is missing is now, or thirty days before the other one."""
    assert _chosen("1h", Period(5, 9)) == (5, 9, "")
    assert _chosen("1h", Period(5)) == (5, NOW + 1, "")
    assert _chosen("1h", Period(None, MIDNIGHT - DAY)) == (MIDNIGHT - 32 * DAY, MIDNIGHT - DAY, "")


def test_a_future_end_is_now() -> None:
    """A period does not reach beyond everything that there is."""
    assert _chosen(None, Period(5, 10**19)) == (5, NOW + 1, "")


def test_a_run_that_began_after_now() -> None:
    """A run whose clock is ahead is shown, unasked and up to a date that is missing."""
    last = MIDNIGHT + 20 * DAY + 5 * HOUR
    assert _chosen(last=last) == (MIDNIGHT - 10 * DAY, MIDNIGHT + 21 * DAY, "elsewhere")
    assert _chosen(None, Period(5), last) == (5, last + DAY, "")
