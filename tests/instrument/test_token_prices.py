"""Prices that a program gives its logger."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tachograph.events.usage import Cost, Usage
from tachograph.instrument.token_prices import USUAL, Stated, usual

USED = Usage(1500, output=500, basis="instrumentation")
AT = 1_750_000_000_000_000_000


def test_the_usual_table_leaves_pricing_to_the_price_list() -> None:
    """Whole or in a copy, even with an entry taken out: nothing of it was stated by the program."""
    prices = usual()
    del prices["gpt-4"]
    assert [Stated().cost(prices, model, USED, AT) for model in (*USUAL, "unheard-of")] == [None] * 8


def test_each_logger_has_a_table_of_its_own() -> None:
    """An entry that is changed in place is changed for one logger."""
    prices = usual()
    prices["gpt-4"]["input"] = 1.0
    assert (USUAL["gpt-4"]["input"], usual()["gpt-4"]["input"]) == (0.03, 0.03)
    cost = Stated().cost(prices, "gpt-4", USED, AT)
    assert cost is not None
    assert (cost.state, cost.input, cost.output, cost.total) == ("priced", 1_500_000_000, 30_000_000, 1_530_000_000)


def test_an_entry_prices_exactly_its_model() -> None:
    """Not those whose name begins or ends so."""
    prices = {**usual(), "custom-model": {"input": 0.001, "output": 0.002}}
    stated = Stated()
    cost = stated.cost(prices, "custom-model", USED, AT)
    assert cost == Cost(
        "priced", 1_500_000, 1_000_000, 2_500_000, price_id="override:custom-model", price_date="2025-06-15"
    )
    assert [stated.cost(prices, model, USED, AT) for model in ("custom-model-2", "my-custom-model", "custom")] == [
        None
    ] * 3


def test_an_entry_may_be_changed_at_any_time() -> None:
    """The next call costs by what it says then."""
    prices: dict[str, dict[str, Any]] = {"m": {"input": 1, "output": 1}}
    stated, seen = Stated(), []
    for price in (1, 2, 2, 1):
        prices["m"]["input"] = price
        cost = stated.cost(prices, "m", Usage(1000, output=0, basis="instrumentation"), AT)
        seen.append(None if cost is None else cost.total)
    assert seen == [1_000_000_000, 2_000_000_000, 2_000_000_000, 1_000_000_000]


def test_missing_tokens_have_no_cost() -> None:
    """Stated prices do not make a figure known that nobody said."""
    cost = Stated().cost({"m": {"input": 1, "output": 1}}, "m", Usage(), AT)
    assert cost is not None
    assert (cost.state, cost.total, cost.reason) == ("unpriced", None, "usage_missing")


@pytest.mark.parametrize("entry", [{"input": "dear"}, {"price": 1}, {}, 5, ["input"], None, {"input": -1}])
def test_an_entry_that_cannot_be_used_is_left_aside(entry: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The log says so once, and the price list prices the call."""
    stated = Stated()
    with caplog.at_level(logging.ERROR):
        assert [stated.cost({"m": entry}, "m", USED, AT) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == (entry is not None)
