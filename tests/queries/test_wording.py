from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.queries import wording


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "—"),
        (0, "0 s"),
        (1, "1 ns"),
        (1_500, "1.5 µs"),
        (12_345_678, "12.3 ms"),
        (999_999_999, "1000 ms"),
        (1_234_000_000, "1.23 s"),
        (59_900_000_000, "59.9 s"),
        (59_990_000_000, "1 m 00 s"),
        (125_000_000_000, "2 m 05 s"),
        (11_220_000_000_000, "3 h 07 m"),
        (190_000_000_000_000, "2 d 04 h"),
    ],
)
def test_durations_have_the_unit_that_fits(ns: int | None, text: str) -> None:
    """A duration is told with two or three digits that matter, whatever its size."""
    assert wording.duration(ns) == text


def test_a_moment_for_machines_is_utc() -> None:
    """A moment for machines is ISO 8601 in UTC, with microseconds; none stays none."""
    assert wording.iso(1_760_000_000_123_456_789) == "2025-10-09T08:53:20.123456Z"
    assert wording.iso(None) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "—"), (0, "0"), (9_999, "9999"), (12_345, "12.3k"), (1_250_000, "1.25M"), (3_000_000_000, "3G")],
)
def test_large_numbers_become_short(number: int | None, text: str) -> None:
    """Tokens are told in three digits; nobody knows is not zero."""
    assert wording.short(number) == text


def test_a_cost_is_never_rounded_to_nothing() -> None:
    """Money that somebody spent never reads as zero; unknown money is unknown; a part unknown is a lower bound."""
    assert wording.money(1) == "$0.000000001"
    assert wording.money(0) == "$0.00"
    assert wording.money(None) == "—"
    assert wording.money(0, unpriced=2) == "—"
    assert wording.money(420_000_000, unpriced=1) == "≥ $0.42"


@given(st.integers(min_value=1, max_value=10**15))
def test_any_amount_shows_a_digit_that_is_not_zero(nano: int) -> None:
    """Whatever was spent, the text of it holds a digit other than 0."""
    assert set(wording.money(nano)) & set("123456789")


def test_small_words_agree_with_their_numbers() -> None:
    """One call, two calls; shares, sizes and outcomes as people say them."""
    assert [wording.some(number, "call") for number in (0, 1, 1200)] == ["0 calls", "1 call", "1,200 calls"]
    assert (wording.share(None), wording.share(0.9754)) == ("—", "97.5 %")
    assert (wording.size(None), wording.size(512), wording.size(3 << 20), wording.size(1 << 50)) == (
        "—",
        "512 B",
        "3 MiB",
        "1024 TiB",
    )
    assert wording.outcome("failed", "tool_loop") == "failed: tool_loop"
    assert wording.outcome("completed", "final_answer") == "completed"
    assert (wording.count(None), wording.count(12345)) == ("—", "12,345")
