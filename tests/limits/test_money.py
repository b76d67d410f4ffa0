"""What tokens may cost at worst, and what they did cost."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.usage import Usage
from tachograph.fold.cost import price_book
from tachograph.fold.price_rates import Row, rate_of, rates_of, unpriced
from tachograph.limits.money import Rate, dearest, nano_of, paid, usd_of

LISTED: dict[str, int | str] = {
    "input": "3.3",
    "cache_read": 1,
    "cache_write": 4,
    "cache_write_1h": 6,
    "output": 15,
    "reasoning": 20,
}
ROW = Row("x", rates_of({name: rate_of(Decimal(usd), 10**6) for name, usd in LISTED.items()}), by_request=10**21)
tokens = st.integers(0, 10**6)


def test_every_token_is_taken_at_the_dearest_rate_of_its_side() -> None:
    """Input as if all were written to the dearest cache, output as if all were thought, and the request itself."""
    rate = dearest(ROW, 0, output=True)
    assert isinstance(rate, Rate)
    assert rate.worst(1000, 100) == 1000 * 6_000 + 100 * 20_000 + 1_000_000


@given(tokens, tokens, tokens, tokens, tokens)
def test_no_split_of_the_tokens_costs_more_than_the_worst(
    uncached: int, read: int, write: int, hour: int, output: int
) -> None:
    """However input and output fall into classes, what they cost is within what was reckoned before."""
    rate = dearest(ROW, 0, output=True)
    usage = Usage(uncached, read, write + hour, output, output // 2, "provider", hour)
    cost = paid(ROW, usage)
    assert isinstance(rate, Rate)
    assert cost is not None
    assert cost <= rate.worst(uncached + read + write + hour, output)


@given(tokens, st.integers(0, 10**12))
def test_what_money_affords_fits_and_one_more_does_not(input_tokens: int, nano: int) -> None:
    """The inverse of the worst case, exactly."""
    rate = Rate(3 * 10**18, 15 * 10**18, 10**15)
    most = rate.afford(input_tokens, nano)
    assert most is not None
    if most < 0:
        assert rate.worst(input_tokens, 0) > nano
    else:
        assert rate.worst(input_tokens, most) <= nano < rate.worst(input_tokens, most + 1)


def test_output_that_is_free_has_no_bound() -> None:
    """Money says nothing about it."""
    assert Rate(1, 0, 0).afford(0, 0) is None


def test_a_model_without_a_price_says_why() -> None:
    """Unknown, or without a price for the side that is used: an embedding needs none for output."""
    only_input = Row("x", rates_of({"input": rate_of(Decimal(1), 10**6)}))
    assert dearest(unpriced("unknown_model"), 0, output=True) == "unknown_model"
    assert dearest(only_input, 0, output=True) == "no_price"
    assert isinstance(dearest(only_input, 0, output=False), Rate)
    assert paid(unpriced("unknown_model"), Usage(1, 0, 0, 1)) is None


def test_a_long_prompt_is_reckoned_at_its_own_rates() -> None:
    """Gemini 2.5 Pro costs twice as much for prompts of more than 200,000 tokens."""
    row = price_book().schedule("google", "gemini-2.5-pro", None).at(1_760_000_000_000_000_000)
    short, long = dearest(row, 200_000, output=True), dearest(row, 200_001, output=True)
    assert isinstance(short, Rate)
    assert isinstance(long, Rate)
    assert (long.input, long.output * 2) == (short.input * 2, short.output * 3)


def test_money_is_read_as_it_is_written() -> None:
    """No binary fraction on the way."""
    assert (nano_of(0.1), nano_of(Decimal("1.000000001")), nano_of(5)) == (100_000_000, 1_000_000_001, 5 * 10**9)
    assert usd_of(1_500_000_000) == 1.5
