from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.wire.times import duration, nanoseconds

NEW_YEAR = 1_767_225_600_000_000_000


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("2026-01-01T00:00:00Z", NEW_YEAR),
        ("2026-01-01T00:00:00.250Z", NEW_YEAR + 250_000_000),
        ("2026-01-01T02:00:00+02:00", NEW_YEAR),
        ("2026-01-01T00:00:00.000001", NEW_YEAR + 1_000),
        ("2026-01-01 00:00:00", NEW_YEAR),
        (1_767_225_600, NEW_YEAR),
        (1_767_225_600.571877, NEW_YEAR + 571_877_000),
        (1_767_225_600_250, NEW_YEAR + 250_000_000),
        ("1767225600000001", NEW_YEAR + 1_000),
        (NEW_YEAR + 7, NEW_YEAR + 7),
        (f"{NEW_YEAR}.0", NEW_YEAR),
        (Decimal("0.000000001"), 1),
        ("1969-12-31T23:59:59Z", None),
        ("9999-12-31T00:00:00Z", None),
        ("soon", None),
        ("", None),
        ("-5", None),
        ("12:30", None),
        ("1e999999999", None),
        (True, None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        ([1], None),
    ],
)  # fmt: skip
def test_times_in_all_spellings_become_nanoseconds(said: Any, wanted: int | None) -> None:
    """ISO with and without a zone, seconds to nanoseconds by their size, and None for what is no time since 1970."""
    assert nanoseconds(said) == wanted


@given(st.integers(0, 7 * 10**15), st.integers(-23 * 60, 23 * 60))
def test_iso_times_agree_with_the_standard_library(micros: int, offset: int) -> None:
    """Every time of every zone is the instant that datetime writes, to the microsecond."""
    there = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    assert nanoseconds(there.astimezone(timezone(timedelta(minutes=offset))).isoformat()) == micros * 1_000


@pytest.mark.parametrize(
    ("said", "wanted"),
    [(6.516070127487183, 6_516_070_127), (0, 0), (-1, None), ("2", None), (True, None), (1e300, None), (None, None)],
)
def test_durations_are_seconds(said: Any, wanted: int | None) -> None:
    """A duration is a number of seconds, not below zero; anything else is unknown."""
    assert duration(said) == wanted
