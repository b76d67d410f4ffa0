from __future__ import annotations

import pytest
from hypothesis import given

from tachograph.events.usage import MISSING, Usage, is_stated
from tests.strategies import usages


@pytest.mark.parametrize(
    ("usage", "input_total", "total"),
    [
        (MISSING, None, None),
        (Usage(input_uncached=0, output=0), 0, 0),
        (Usage(input_uncached=5, cache_read=20, cache_write=3, output=7, reasoning=6), 28, 35),
        (Usage(cache_read=20), 20, None),
        (Usage(output=7), None, None),
    ],
)
def test_totals_of_an_attempt(usage: Usage, input_total: int | None, total: int | None) -> None:
    """Input is the sum of its classes, reasoning is part of output, and what nobody said is not 0."""
    assert (usage.input_total, usage.total) == (input_total, total)


@given(usages)
def test_a_total_is_known_only_when_its_parts_are(usage: Usage) -> None:
    """A total is missing exactly when output, or every class of input, is missing."""
    inputs = (usage.input_uncached, usage.cache_read, usage.cache_write)
    assert (usage.total is None) is (usage.output is None or all(part is None for part in inputs))


@pytest.mark.parametrize(
    ("price_id", "stated"),
    [("program", True), ("program:mine", True), ("programs/gpt-4@x", False), ("override:program", False), ("", False),
     (None, False)],
)  # fmt: skip
def test_a_cost_that_a_program_states_is_known_by_its_price(price_id: str | None, stated: bool) -> None:
    """Whatever a provider is called."""
    assert is_stated(price_id) is stated
