from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.usage import Basis, Cost, Usage
from tachograph.fold.price_rates import (
    CLASSES,
    DAY_NS,
    NO_PRICE,
    PART_OF,
    USAGE_INVALID,
    USAGE_MISSING,
    Day,
    Fee,
    Rates,
    Row,
    Schedule,
    charge,
    constant,
    rate_of,
    rates_of,
)

MILLION = 1_000_000
TOKENS = st.integers(0, 10**9)
PRICES = st.decimals(0, 1000, places=4)


def listed(**prices: str) -> Rates:
    """Rates from prices per million."""
    return rates_of({name: rate_of(Decimal(price), MILLION) for name, price in prices.items()})


def used(uncached: int | None = None, output: int | None = None, basis: Basis = "provider", **more: Any) -> Usage:
    """Usage with the two figures that every chat call has."""
    return Usage(input_uncached=uncached, output=output, basis=basis, **more)


FOUR = Row("four", listed(input="3", output="15", cache_read="0.3", cache_write="3.75", cache_write_1h="6"))
TWO = Row("two", listed(input="3", output="15"))


@pytest.mark.parametrize(
    ("row", "usage", "cost"),
    [
        # every class at its own rate; cached tokens are not uncached tokens, reasoning is not on top of output
        (FOUR, used(1000, 500), Cost("priced", 3_000_000, 7_500_000, 10_500_000)),
        (FOUR, used(1000, 500, reasoning=400), Cost("priced", 3_000_000, 7_500_000, 10_500_000)),
        (
            FOUR,
            used(600, 0, cache_read=5000, cache_write=300, cache_write_1h=100),
            Cost("priced", 1_800_000 + 1_500_000 + 750_000 + 600_000, 0, 4_650_000, 1_500_000, 1_350_000),
        ),
        # a class without a rate of its own is billed as what it is part of, and says so
        (
            TWO,
            used(0, 0, cache_read=1000),
            Cost("estimated", 3_000_000, 0, 3_000_000, 3_000_000, reason="cache_read_as_input"),
        ),
        (
            TWO,
            used(0, 0, cache_write=10, cache_write_1h=10),
            Cost("estimated", 30_000, 0, 30_000, None, 30_000, reason="cache_write_1h_as_input"),
        ),
        (
            Row("5m", listed(input="3", output="15", cache_write="3.75")),
            used(0, 0, cache_write=20, cache_write_1h=10),
            Cost("estimated", 75_000, 0, 75_000, None, 75_000, reason="cache_write_1h_as_cache_write"),
        ),
        # tokens of a class with no rate at all cannot be priced; none of them cost nothing
        (Row("in", listed(input="0.02")), used(10, 0), Cost("priced", 200, 0, 200)),
        (Row("in", listed(input="0.02")), used(10, None), Cost("priced", 200, 0, 200)),
        (Row("in", listed(input="0.02")), used(10, 1), NO_PRICE),
        # a missing figure on which a price stands leaves the call unpriced; a free one does not
        (TWO, used(10, None), USAGE_MISSING),
        (TWO, used(None, 10), USAGE_MISSING),
        (TWO, used(None, 10, cache_read=10), USAGE_MISSING),
        (TWO, used(), USAGE_MISSING),
        (Row("free", listed(input="0", output="0")), used(10, None), Cost("priced", 0, 0, 0)),
        (Row("free", listed(input="0", output="0")), used(), USAGE_MISSING),
        # figures that cannot be
        (TWO, used(-1, 10), USAGE_INVALID),
        (TWO, used(1, 10, cache_write=-5), USAGE_INVALID),
        (
            FOUR,
            used(0, 0, cache_write=10, cache_write_1h=20),
            Cost("estimated", 60_000, 0, 60_000, None, 60_000, reason="parts_exceed_whole"),
        ),
        # counted tokens, not billed ones
        (TWO, used(1000, 500, basis="estimated"), Cost("estimated", 3_000_000, 7_500_000, 10_500_000)),
    ],
)
def test_what_a_call_costs(row: Row, usage: Usage, cost: Cost) -> None:
    """Each class is billed once, at its own rate or one it borrows visibly, and what is not known is not a number."""
    charged = charge(row, usage, "2026-01-01")
    if cost.state == "unpriced":
        assert charged == cost
    else:
        assert charged == Cost(
            cost.state, cost.input, cost.output, cost.total, cost.cache_read, cost.cache_write, row.price_id,
            "2026-01-01", cost.reason,
        )  # fmt: skip


AUDIO = Row(
    "audio",
    listed(
        input="1", output="2", cache_read="0.1", input_audio="10", cache_audio="0.5", output_audio="20", reasoning="3"
    ),
)


@pytest.mark.parametrize(
    ("usage", "paid_in", "paid_out", "reason"),
    [
        (used(100, 0), 100_000, 0, ""),
        (used(100, 0, extra={"input_audio": 40}), 60_000 + 400_000, 0, ""),
        (used(100, 0, cache_read=50, extra={"input_audio": 40, "cache_audio": 30}), 90_000 + 100_000 + 17_000, 0, ""),
        (used(0, 100, extra={"output_audio": 40}), 0, 120_000 + 800_000, ""),
        (used(0, 100, reasoning=40), 0, 120_000 + 120_000, ""),
        (used(10, 0, extra={"input_audio": 40}), 100_000, 0, "parts_exceed_whole"),
        (used(0, 10, reasoning=40), 0, 30_000, "parts_exceed_whole"),
        (used(100, 0, extra={"input_smell": 40}), 100_000, 0, ""),
        (used(100, 0, extra={"input_image": 40}), 100_000, 0, ""),
    ],
)  # fmt: skip
def test_tokens_with_a_price_of_their_own(usage: Usage, paid_in: int, paid_out: int, reason: str) -> None:
    """Audio and reasoning are taken out of the class that counts them; kinds without a price are billed as it."""
    cost = charge(AUDIO, usage, "")
    assert (cost.input, cost.output, cost.reason) == (paid_in, paid_out, reason)


LONG = Row(
    "long",
    listed(input="1", output="10"),
    longer=((200_000, listed(input="2", output="15")), (100_000, listed(input="1.5", output="12"))),
)


@pytest.mark.parametrize(
    ("usage", "total"),
    [
        (used(100_000, 1), 100_000_000 + 10_000),
        (used(100_001, 1), 150_001_500 + 12_000),
        (used(200_000, 1), 300_000_000 + 12_000),
        (used(200_001, 1), 400_002_000 + 15_000),
        (used(1, 1, cache_read=150_000, cache_write=50_000), 400_002_000 + 15_000),
    ],
)
def test_long_prompts_have_a_price_of_their_own(usage: Usage, total: int) -> None:
    """All input tokens, cached ones included, decide the price of every token of the call; the edge itself is below."""
    assert charge(LONG, usage, "").total == total


FEES = Row(
    "fees",
    listed(input="1", output="1"),
    fees=(
        Fee("web_searches", rate_of(Decimal(10)), 1000),
        Fee("audio_seconds", rate_of(Decimal("0.36")), 3600, within=("input_audio_seconds",)),
        Fee("input_audio_seconds", rate_of(Decimal("0.72")), 3600),
        Fee("output_audio_seconds", rate_of(Decimal("3.6")), 3600, "output"),
    ),
    by_request=rate_of(Decimal(5), 1000),
)


@pytest.mark.parametrize(
    ("usage", "paid_in", "paid_out", "reason"),
    [
        (used(0, 0), 5_000_000, 0, ""),
        (used(0, 0, extra={"web_searches": 3}), 5_000_000 + 30_000_000, 0, ""),
        (used(0, 0, extra={"audio_seconds": 10}), 5_000_000 + 1_000_000, 0, ""),
        (used(0, 0, extra={"audio_seconds": 10, "input_audio_seconds": 4}), 5_000_000 + 600_000 + 800_000, 0, ""),
        (used(0, 0, extra={"output_audio_seconds": 1}), 5_000_000, 1_000_000, ""),
        (used(0, 0, extra={"rerank_searches": 1}), 5_000_000, 0, "no_price:rerank_searches"),
        (used(0, 0, extra={"rerank_searches": 0}), 5_000_000, 0, ""),
    ],
)
def test_pieces_and_requests_are_billed_too(usage: Usage, paid_in: int, paid_out: int, reason: str) -> None:
    """Searches, seconds and the request itself cost what is listed; a search without a listed fee is marked."""
    cost = charge(FEES, usage, "")
    assert (cost.input, cost.output, cost.reason) == (paid_in, paid_out, reason)
    assert cost.state == ("estimated" if reason else "priced")


def test_a_model_billed_by_pieces_needs_no_tokens() -> None:
    """Where only pieces have a price, pieces are enough; without any there is nothing to price."""
    row = Row("hours", rates_of({}), fees=(Fee("audio_seconds", rate_of(Decimal("3.6")), 3600),))
    assert charge(row, used(extra={"audio_seconds": 5}), "").total == 5_000_000
    assert charge(row, used(extra={"web_searches": 5}), "") == USAGE_MISSING
    assert charge(row, used(), "") == USAGE_MISSING
    assert charge(row, used(1, 0, extra={"audio_seconds": 5}), "") == NO_PRICE


@given(
    prices=st.fixed_dictionaries(dict.fromkeys(CLASSES, PRICES)),
    tokens=st.fixed_dictionaries(dict.fromkeys(("uncached", "read", "five", "hour", "output"), TOKENS)),
    more=st.sampled_from(["uncached", "read", "five", "hour", "output"]),
    by=TOKENS,
)
def test_more_tokens_never_cost_less(prices: dict[str, Decimal], tokens: dict[str, int], more: str, by: int) -> None:
    """Without long-context prices, no cost goes down when a class has more tokens; parts never exceed their whole."""
    row = Row("any", listed(**{name: str(price) for name, price in prices.items()}))
    before, after = (
        charge(row, used(one["uncached"], one["output"], cache_read=one["read"], cache_write=one["five"] + one["hour"],
                         cache_write_1h=one["hour"]), "")
        for one in (tokens, {**tokens, more: tokens[more] + by})
    )  # fmt: skip
    for cost in (before, after):
        assert cost.total == (cost.input or 0) + (cost.output or 0)
        assert (cost.cache_read or 0) + (cost.cache_write or 0) <= (cost.input or 0)
    assert (after.input or 0) >= (before.input or 0)
    assert (after.output or 0) >= (before.output or 0)


@given(price=st.decimals(0, 1000, places=9), count=TOKENS)
def test_amounts_are_exact_to_half_a_nano(price: Decimal, count: int) -> None:
    """An amount is the exact product, rounded once, half up: no float ever touches it."""
    total = charge(Row("any", listed(input=str(price), output="0")), used(count, 0), "").total
    exact = price * count * 1000
    assert total is not None
    assert -Decimal("0.5") < total - exact <= Decimal("0.5") or total == exact


@given(rates=st.dictionaries(st.sampled_from((*CLASSES, *PART_OF)), st.integers(0, 10**20)))
def test_a_class_borrows_from_the_one_it_belongs_to(rates: dict[str, int]) -> None:
    """A class without a rate takes the nearest one above it, with a note; the note of one without any is empty."""
    made = rates_of(rates)
    wanted = {
        "input": ["input"],
        "cache_read": ["cache_read", "input"],
        "cache_write": ["cache_write", "input"],
        "cache_write_1h": ["cache_write_1h", "cache_write", "input"],
        "output": ["output"],
    }
    notes = dict(made.marks)
    for index, (name, chain) in enumerate(wanted.items()):
        lender = next((one for one in chain if one in rates), None)
        assert made.classes[index] == (0 if lender is None else rates[lender])
        assert notes.get(index) == (None if lender == name else "" if lender is None else f"{name}_as_{lender}")
    own = {name: (rate, "") for name, rate in rates.items() if name in PART_OF}
    sent = {name: rate for name, rate in rates.items() if name.startswith("input_") and "cache_read" not in rates}
    lent = {f"cache_{name[6:]}": (rate, f"cache_{name[6:]}_as_{name}") for name, rate in sent.items()}
    assert made.apart == {**lent, **own}


@given(prices=st.dictionaries(st.sampled_from((*CLASSES, *PART_OF)), PRICES))
def test_prices_can_be_read_back(prices: dict[str, Decimal]) -> None:
    """Rates give back the prices per million that they were made of, and none that were borrowed."""
    assert listed(**{name: str(price) for name, price in prices.items()}).per_million() == prices


def test_a_schedule_knows_days_and_hours() -> None:
    """The row in force is that of the last day plan that has begun, and in it of the last time of day that has come."""
    old, day, night = (Row(name, rates_of({})) for name in ("old", "day", "night"))
    six, midnight = 6 * 3600 * 10**9, 100 * DAY_NS
    plan = Schedule((0, midnight), (Day((0,), (old,)), Day((0, six), (night, day))))
    assert [plan.at(at) for at in (-DAY_NS, 0, midnight - 1)] == [old, old, old]
    assert [plan.at(midnight + at) for at in (0, six - 1, six, DAY_NS - 1, DAY_NS)] == [night, night, day, day, night]
    later = plan.then(constant(old, midnight + DAY_NS))
    assert [later.at(midnight + at) for at in (0, six, DAY_NS, DAY_NS + six)] == [night, day, old, old]
    assert plan.then(constant(day, midnight)).at(midnight) == day
    assert plan.then(constant(day, midnight)).at(midnight - 1) == old
