from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tachograph.wire.money import nano_usd, reported_cost
from tests.wire.test_usage import exchanges


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (Raw(b"0.021688000000000002"), 21_688_000),
        (Raw(b"1e-05"), 10_000),
        (Raw(b"null"), None),
        (Raw(b'"free"'), None),
        ("0.000000001", 1),
        (0.1, 100_000_000),
        (3, 3_000_000_000),
        (Decimal("0.0000000005"), 0),
        (Decimal("0.0000000015"), 2),
        (0, 0),
        (-0.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (1e300, None),
        (True, None),
        (None, None),
        ([], None),
    ],
)  # fmt: skip
def test_amounts_become_whole_nano_usd(said: Any, wanted: int | None) -> None:
    """Digits are taken as they stand, rounded half to even at a billionth; what is no amount is None."""
    assert nano_usd(said) == wanted


@given(st.integers(0, 2**61))
def test_no_digit_is_lost_on_the_way(nano: int) -> None:
    """An amount written out with nine decimals comes back exactly, however large."""
    assert nano_usd(f"{nano // 10**9}.{nano % 10**9:09}") == nano
    assert nano_usd(Raw(f"{nano // 10**9}.{nano % 10**9:09}".encode())) == nano


@pytest.mark.parametrize(
    ("usage", "wanted"),
    [
        ({"cost": 0.0004970133333333333}, 497_013),
        ({"cost": {"total_cost": 0.00504, "request_cost": 0.005}}, 5_040_000),
        ({"cost_in_usd_ticks": 1_497_500}, 149_750),
        ({"cost": None, "cost_in_usd_ticks": True}, None),
        ({"prompt_tokens": 3}, None),
    ],
)
def test_usage_that_names_its_cost_is_believed(usage: dict[str, Any], wanted: int | None) -> None:
    """OpenRouter's and Perplexity's cost in USD, xAI's in ticks of 1e-10 USD."""
    assert reported_cost(usage) == wanted


def test_recorded_costs_are_found(shared_data: Path) -> None:
    """Every recorded reply that names its cost is read to the nano-USD, 47 in USD and 18 in ticks."""
    wanted, found = [], []
    for row in exchanges(shared_data):
        extra = (row["usage_reported"] or {}).get("extra") or {}
        if "cost_reported" in extra or "cost_in_usd_ticks" in extra:
            usd = extra.get("cost_reported")
            wanted.append(round(extra["cost_in_usd_ticks"] / 10 if usd is None else usd * 1e9))
            found.append(reported_cost(row["usage_raw"]))
    assert len(wanted) == 65
    assert found == wanted
