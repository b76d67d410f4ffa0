from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tachograph.queries import units


def test_what_is_known() -> None:
    """Times are UTC to the microsecond, durations are rounded milliseconds, money is dollars."""
    assert units.time(1_750_000_000_123_456_789) == datetime(2025, 6, 15, 15, 6, 40, 123456, UTC)
    assert [units.whole_ms(ns) for ns in (0, 499_999, 500_000, 5_000_000_000)] == [0, 0, 1, 5_000]
    assert (units.ms(1_234_567), units.ms(0)) == (1.235, 0.0)
    assert units.usd(75_000_000) == 0.075


def test_what_is_not_known() -> None:
    """What nobody knows stays None."""
    found = (units.maybe_time(None), units.whole_ms(None), units.maybe_ms(None), units.maybe_usd(None))
    assert found == (None, None, None, None)
    assert (units.maybe_time(0), units.maybe_ms(1_000), units.maybe_usd(1)) == (
        datetime(1970, 1, 1, tzinfo=UTC), 0.001, 1e-9,
    )  # fmt: skip


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_time_that_can_be_stored(ns: int) -> None:
    """Every time of a store is a moment, at most a microsecond before it."""
    found = units.time(ns) - datetime(1970, 1, 1, tzinfo=UTC)
    micros = (found.days * 86_400 + found.seconds) * 1_000_000 + found.microseconds
    assert 0 <= ns - micros * 1_000 < 1_000
