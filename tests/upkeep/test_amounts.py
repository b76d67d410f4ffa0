from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.upkeep import amounts
from tachograph.upkeep.amounts import SECOND


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (amounts.duration, "30d", 30 * 86_400 * SECOND),
        (amounts.duration, "2w", 14 * 86_400 * SECOND),
        (amounts.duration, " 1.5 h ", 5_400 * SECOND),
        (amounts.duration, "45m", 2_700 * SECOND),
        (amounts.duration, "90s", 90 * SECOND),
        (amounts.duration, "800ms", 800_000_000),
        (amounts.size, "5 GB", 5 * 10**9),
        (amounts.size, "5gib", 5 * 2**30),
        (amounts.size, "1.5 MB", 1_500_000),
        (amounts.size, "10B", 10),
        (amounts.size, 4096, 4096),
        (amounts.dollars, "$2.50", 2.5),
        (amounts.dollars, "0.004", 0.004),
        (amounts.dollars, 3, 3.0),
        (amounts.share, "10 %", 0.1),
        (amounts.share, 0.25, 0.25),
        (amounts.share, "100%", 1.0),
        (amounts.count, 0, 0),
    ],
)
def test_an_amount_is_read(read: Callable[[object], Any], text: object, value: float) -> None:
    """Every unit counts what people mean by it; plain numbers are taken where they can mean one thing only."""
    assert read(text) == value


@pytest.mark.parametrize("read", [amounts.duration, amounts.size, amounts.dollars, amounts.share, amounts.count])
@pytest.mark.parametrize(
    "text", ["", "x", "-1", "-1s", "1 parsec", "nan", "inf", True, None, [], "1e400s", "9" * 30 + "d"]
)
def test_what_is_no_amount_is_refused(read: Callable[[object], Any], text: object) -> None:
    """Bad text, the wrong type and what no number holds are all refused with an example of what would do."""
    with pytest.raises(ValueError, match=r"such as|whole number"):
        read(text)


@pytest.mark.parametrize(
    ("read", "text"), [(amounts.duration, "0s"), (amounts.duration, 5), (amounts.size, 0), (amounts.share, "101 %")]
)
def test_amounts_that_make_no_sense_are_refused(read: Callable[[object], Any], text: object) -> None:
    """No time, a time without a unit, no size, more than all."""
    with pytest.raises(ValueError, match="such as"):
        read(text)


@given(st.integers(1, 2**33))
def test_a_time_is_told_as_it_is_read(seconds: int) -> None:
    """What `time_text` writes, `duration` reads back exactly."""
    assert amounts.duration(amounts.time_text(seconds * SECOND)) == seconds * SECOND


def test_a_time_is_told_shortly() -> None:
    """In the largest unit that is exact."""
    told = [amounts.time_text(ns * SECOND // 2) for ns in (1, 2, 180, 7_200, 14_400, 5_184_000)]
    assert told == ["500ms", "1s", "90s", "1h", "2h", "30d"]
