from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from genai_prices.data_units import unit_data
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    PriceVariant,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from tachograph.events.usage import Cost
from tachograph.fold.price_rates import NO_PRICE, UNKNOWN_TIER, Fee, Row, rate_of
from tachograph.fold.price_windows import schedule_of


def model(prices: ModelPrice | list[ConditionalPrice]) -> ModelInfo:
    """A model of the list."""
    return ModelInfo(id="m", match=ClauseEquals("m"), prices=prices)


def at(text: str) -> int:
    """UTC nanoseconds of an ISO time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 10**9


def input_rate(row: Row | Cost) -> Decimal | str:
    """USD per million input tokens of a row, or why there is none."""
    return row.reason if isinstance(row, Cost) else Decimal(row.rates.classes[0]) / 10**18


HALF = Decimal("0.5")
DATED = model(
    [
        ConditionalPrice(None, prices=ModelPrice(input_mtok=Decimal(1))),
        ConditionalPrice(StartDateConstraint(date(2026, 3, 1)), prices=ModelPrice(input_mtok=Decimal(2))),
        ConditionalPrice(StartDateConstraint(date(2026, 5, 1)), prices=ModelPrice(input_mtok=Decimal(4))),
        ConditionalPrice(TimeOfDateConstraint(time(22), time(6, tzinfo=UTC)), prices=ModelPrice(input_mtok=HALF)),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("when", "price"),
    [
        ("2020-01-01T12:00", "1"),
        ("2026-02-28T21:59:59", "1"),
        ("2026-02-28T22:00", "0.5"),
        ("2026-03-01T05:59:59", "0.5"),
        ("2026-03-01T06:00", "2"),
        ("2026-04-30T12:00", "2"),
        ("2026-05-01T00:00", "0.5"),
        ("2026-05-01T06:00", "4"),
        ("2099-01-01T12:00", "4"),
        ("1950-01-01T12:00", "1"),
    ],
)
def test_the_price_of_the_day_and_of_the_hour(when: str, price: str) -> None:
    """A price holds from midnight UTC of its day, or between its hours each day, as the list decides."""
    assert input_rate(schedule_of(DATED, (), "p", unit_data).at(at(when))) == Decimal(price)


def test_a_tier_begins_on_its_day() -> None:
    """A tier whose price began later is unknown before; what it does not price it takes from the usual price."""
    priced = ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(3))
    flex = PriceVariant(
        {"service_tier": "flex"}, ModelPrice(input_mtok=Decimal("0.5")), StartDateConstraint(date(2026, 3, 1))
    )
    listed = ModelInfo(id="m", match=ClauseEquals("m"), prices=priced, price_variants=[flex])
    schedule = schedule_of(listed, [flex], "p/m/flex", unit_data)
    assert schedule.at(at("2026-02-28T23:59:59")) == UNKNOWN_TIER
    row = schedule.at(at("2026-03-01"))
    assert isinstance(row, Row)
    assert row.rates.classes == (5 * 10**17, 5 * 10**17, 5 * 10**17, 5 * 10**17, 3 * 10**18)
    assert row.price_id == "p/m/flex"


def test_long_prompts_take_the_highest_tier_below_them() -> None:
    """Each size at which any price changes has its rates; a price without tiers is the same in all of them."""
    tiers = TieredPrices(Decimal(1), [Tier(200, Decimal(3)), Tier(100, Decimal(2))])
    prices = ModelPrice(
        input_mtok=tiers, cache_read_mtok=TieredPrices(Decimal(4), [Tier(150, Decimal(5))]), output_mtok=Decimal(9)
    )
    row = schedule_of(model(prices), (), "p", unit_data).at(0)
    assert isinstance(row, Row)
    by_size = {size: tuple(rate // 10**18 for rate in rates.classes) for size, rates in row.longer}
    assert by_size == {200: (3, 5, 3, 3, 9), 150: (2, 5, 2, 2, 9), 100: (2, 4, 2, 2, 9)}
    assert tuple(rate // 10**18 for rate in row.rates.classes) == (1, 4, 1, 1, 9)


def test_pieces_become_fees_and_requests_a_charge() -> None:
    """What is billed by the piece is a fee on its side, less the pieces that a narrower fee bills."""
    prices = ModelPrice(
        audio_hours=Decimal("0.36"), output_audio_hours=Decimal("3.6"), requests_kcount=Decimal(5),
        input_annotated_document_kpages=Decimal(3),
    )  # fmt: skip
    row = schedule_of(model(prices), (), "p", unit_data).at(0)
    assert isinstance(row, Row)
    assert set(row.fees) == {
        Fee("audio_seconds", rate_of(Decimal("0.36")), 3600, within=("output_audio_seconds",)),
        Fee("output_audio_seconds", rate_of(Decimal("3.6")), 3600, "output"),
        Fee("input_annotated_document_pages", rate_of(Decimal(3)), 1000),
    }
    assert row.by_request == rate_of(Decimal("0.005"))
    assert row.rates.classes == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("prices", [ModelPrice(), ModelPrice(input_mtok=None), ModelPrice(input_moods=Decimal(1))])
def test_no_price_and_an_unknown_one_are_no_price(prices: ModelPrice) -> None:
    """An entry that is empty, or that prices something that cannot be counted here, gives no row."""
    assert schedule_of(model(prices), (), "p", unit_data).at(0) == NO_PRICE
