"""One listed model → what it costs at any time: list entries become rows of integer rates, their dates become windows.

Which entry holds at a moment is the list's own decision (`ModelInfo.get_prices`); it is asked once for each window that
the dates and times of day in the entries cut, not once for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tachograph.events.usage import Cost
from tachograph.fold.price_rates import (
    ALWAYS,
    DAY_NS,
    NO_PRICE,
    UNKNOWN_TIER,
    Day,
    Fee,
    Rates,
    Row,
    Schedule,
    rate_of,
    rates_of,
)

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, PriceVariant, TieredPrices

_MILLION = 1_000_000
_EPOCH = date(1970, 1, 1)

_TOKENS: Mapping[str, str] = {
    "input_mtok": "input",
    "output_mtok": "output",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "input_image_mtok": "input_image",
    "input_video_mtok": "input_video",
    "cache_audio_read_mtok": "cache_audio",
    "cache_image_read_mtok": "cache_image",
    "cache_video_read_mtok": "cache_video",
    "output_audio_mtok": "output_audio",
    "output_image_mtok": "output_image",
    "output_video_mtok": "output_video",
    "output_reasoning_mtok": "reasoning",
    "output_citation_mtok": "citation",
}
"""The list's name for a price per million tokens → ours."""


def schedule_of(
    model: ModelInfo, variants: Sequence[PriceVariant], price_id: str, units: Mapping[str, Any]
) -> Schedule:
    """What the model costs, at any time. With `variants`: in the tier that they describe.

    `units` is what the list says about its units: usage key → per, price key, dimensions.
    """
    context = {key: value for variant in variants for key, value in variant.when.items()}

    def row_at(moment: datetime) -> Row | Cost:
        if variants and not any(item.constraint is None or item.constraint.active(moment) for item in variants):
            return UNKNOWN_TIER
        return _row(model.get_prices(moment, context), price_id, units)

    constraints = [entry.constraint for entry in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in variants]
    dates = sorted({start for item in constraints if (start := getattr(item, "start_date", None)) is not None})
    edges = sorted({0, *(edge for item in constraints for edge in _edges(item))})
    starts = (ALWAYS, *((day - _EPOCH).days * DAY_NS for day in dates))
    samples = [dates[0] - timedelta(days=1), *dates] if dates else [_EPOCH]
    return Schedule(starts, tuple(_day(sample, edges, row_at) for sample in samples))


def _day(day: date, edges: Sequence[int], row_at: Callable[[datetime], Row | Cost]) -> Day:
    midnight = datetime.combine(day, time(), UTC)
    rows = [(edge, row_at(midnight + timedelta(microseconds=edge // 1000))) for edge in edges]
    firsts = [next(same) for _, same in groupby(rows, key=lambda item: item[1])]
    return Day(tuple(edge for edge, _ in firsts), tuple(row for _, row in firsts))


def _edges(constraint: Any) -> Iterator[int]:
    """Times of day at which a constraint may change its mind: ns since midnight, UTC."""
    for name in ("start_time", "end_time"):
        if edge := getattr(constraint, name, None):
            moment = datetime.combine(_EPOCH, edge, edge.tzinfo or UTC).astimezone(UTC)
            yield (moment - datetime.combine(moment.date(), time(), UTC)) // timedelta(microseconds=1) * 1000


def _row(prices: ModelPrice, price_id: str, units: Mapping[str, Any]) -> Row | Cost:
    """A row of rates. A price in a unit that this version cannot count is no price: the sum would leave it out."""
    listed = {key: price for key, price in vars(prices).items() if price is not None}
    tokens = {_TOKENS[key]: price for key, price in listed.items() if key in _TOKENS}
    pieces = {name: unit for name, unit in units.items() if unit["price_key"] in listed.keys() - _TOKENS.keys()}
    if not listed or len(tokens) + len(pieces) < len(listed):
        return NO_PRICE
    tiered = [price for price in tokens.values() if not isinstance(price, Decimal)]
    sizes = sorted({tier.start for price in tiered for tier in price.tiers}, reverse=True)
    request = pieces.pop("requests", None)
    return Row(
        price_id,
        _rates(tokens, None),
        tuple((size, _rates(tokens, size)) for size in sizes),
        tuple(_fee(name, unit, listed[unit["price_key"]], pieces) for name, unit in pieces.items()),
        rate_of(listed[request["price_key"]], request["per"]) if request else 0,
    )


def _rates(prices: Mapping[str, Decimal | TieredPrices], above: int | None) -> Rates:
    """Rates for prompts just above a size; None for the base."""
    return rates_of({name: rate_of(_price(price, above), _MILLION) for name, price in prices.items()})


def _price(price: Decimal | TieredPrices, above: int | None) -> Decimal:
    if isinstance(price, Decimal):
        return price
    if above is None:
        return price.base
    return next((tier.price for tier in reversed(price.tiers) if tier.start <= above), price.base)


def _fee(name: str, unit: Mapping[str, Any], price: Decimal, pieces: Mapping[str, Any]) -> Fee:
    facts = unit["dimensions"]
    return Fee(
        name=name,
        amount=rate_of(price),
        per=unit["per"],
        side="output" if facts.get("direction") == "output" else "input",
        within=tuple(other for other, part in pieces.items() if facts.items() < part["dimensions"].items()),
    )
