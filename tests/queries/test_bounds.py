from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import InvalidParameter
from tachograph.queries.bounds import between
from tachograph.queries.period import Period
from tachograph.queries.units import time

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
MIDNIGHT = 19_723 * DAY
"""2024-01-01."""


@pytest.mark.parametrize(
    ("start", "since"),
    [
        (None, None),
        ("2024-01-01", MIDNIGHT),
        ("20240101", MIDNIGHT),
        ("2024-W01-1", MIDNIGHT),
        ("2024-01-01T10:00:00Z", MIDNIGHT + 36_000 * SECOND),
        ("2024-01-01t10:00:00z", MIDNIGHT + 36_000 * SECOND),
        ("2024-01-01 10:00", MIDNIGHT + 36_000 * SECOND),
        ("2024-01-01T10:00:00+02:00", MIDNIGHT + 28_800 * SECOND),
        ("2024-01-01T10:00:00 02:00", MIDNIGHT + 28_800 * SECOND),
        ("2024-01-01T10:00:00-0530", MIDNIGHT + 55_800 * SECOND),
        (" 2024-01-01T00:00:00.5 ", MIDNIGHT + SECOND // 2),
        ("0001-01-01", -(2**63)),
        ("9999-12-31T23:59:59-12:00", 2**63 - 1),
    ],
)
def test_a_start(start: str | None, since: int | None) -> None:
    """A start is any ISO date or time, in its zone or UTC; beyond what can be stored it is the last time that can."""
    assert between(start, None) == Period(since)


@pytest.mark.parametrize(
    ("end", "until"),
    [
        ("2024-01-01", MIDNIGHT + DAY),
        ("20240101", MIDNIGHT + DAY),
        ("2024-W01-1", MIDNIGHT + DAY),
        ("2024-01-01T00:00:00Z", MIDNIGHT + 1_000),
        ("2024-01-01T23:59:59.999999", MIDNIGHT + DAY),
        ("2024-01-01T00:00:00+00:00", MIDNIGHT + 1_000),
        ("9999-12-31", 2**63 - 1),
    ],
)
def test_an_end(end: str, until: int) -> None:
    """An end is included: a date with its whole day, a time with its whole microsecond."""
    assert between(None, end) == Period(None, until)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2024-13-01", "2024-01-01T25:00", "2024-01-01T10:00+25:00", "30d", "1704067200", "2024-01"],
)
@pytest.mark.parametrize("name", ["start_date", "end_date"])
def test_what_is_no_date(name: str, text: str) -> None:
    """Anything else is refused, by the name of the parameter and with what was given."""
    given = {"start_date": (text, None), "end_date": (None, text)}[name]
    with pytest.raises(InvalidParameter, match="an ISO 8601 date or time is wanted") as caught:
        between(*given)
    assert (caught.value.name, caught.value.value) == (name, text)


@given(st.integers(-(2**60), 2**62))
def test_a_time_from_an_answer_as_a_bound(ns: int) -> None:
    """A time as answers show it, given back as start and end, includes the very moment it was made from."""
    shown = msgspec.json.decode(msgspec.json.encode(time(ns)), type=str)
    period = between(shown, shown)
    assert period.since is not None
    assert period.until is not None
    assert period.since <= ns < period.until == period.since + 1_000


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    """Whatever text comes, it is a period or the one error."""
    with contextlib.suppress(InvalidParameter):
        assert isinstance(between(text, text), Period)
