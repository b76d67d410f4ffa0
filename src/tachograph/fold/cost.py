"""Usage times dated price → money: integer nano-USD when the price is known, a reason when it is not, never a guess.

    book = price_book(per_thousand={"gpt-4": {"input": 0.03, "output": 0.06}})
    price(book, "openai", "gpt-4", Usage(input_uncached=1500, output=500), at_ns).total      # 75_000_000: $0.075

The user's own prices come first, then the list bundled with genai-prices (`price_catalogue`). Which row applies to a
(provider, model, tier) is found once and remembered; after that a call is a few integer products (`price_rates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import Any, Protocol

from tachograph.events.call import CallEnded
from tachograph.events.usage import Cost, Usage
from tachograph.fold.price_catalogue import bundled
from tachograph.fold.price_names import provider_key, tier_key
from tachograph.fold.price_overrides import Overrides, Prices, overrides
from tachograph.fold.price_rates import ALWAYS, DAY_NS, UNKNOWN_MODEL, Schedule, charge, constant

REMEMBERED = 4096
"""Most (provider, model, tier) a book remembers: names come from outside, and anyone can make up new ones."""

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class PriceBook:
    """What models cost. Made by `price_book`; safe to share between threads."""

    overrides: Overrides = field(default_factory=Overrides)
    bundled: bool = True
    """Whether models without an override are looked up in the bundled list, which is loaded at the first of them."""
    schedules: dict[tuple[str, str, str | None], Schedule] = field(default_factory=dict, repr=False, compare=False)
    """What has been looked up so far."""

    def schedule(self, provider: str, model: str, tier: str | None) -> Schedule:
        """What a model costs in a service tier, at any time. Names as they were recorded; no provider is `""`."""
        key = (provider, model, tier)
        known = self.schedules.get(key)
        if known is None:
            known = self._look_up(provider_key(provider), model, tier_key(tier))
            if len(self.schedules) >= REMEMBERED:
                self.schedules.clear()
            self.schedules[key] = known
        return known

    def _look_up(self, provider: str, model: str, tier: str) -> Schedule:
        stated = self.overrides.schedule(provider, model, tier)
        if stated is not None and stated.starts[0] == ALWAYS:
            return stated
        listed = constant(UNKNOWN_MODEL)
        if self.bundled and (found := bundled().find(provider, model)):
            listed = bundled().schedule(found, tier)
        return listed if stated is None else listed.then(stated)


def price_book(
    *,
    per_thousand: Prices | None = None,
    per_million: Prices | None = None,
    toml: Mapping[str, Any] | None = None,
    bundled: bool = True,
) -> PriceBook:
    """A book of the user's own prices (see `price_overrides`) before the bundled list. Raises SettingsError."""
    return PriceBook(overrides(per_thousand=per_thousand, per_million=per_million, toml=toml), bundled)


def price(book: PriceBook, provider: str, model: str, usage: Usage, at_ns: int, tier: str | None = None) -> Cost:
    """What a call cost. `at_ns` (UTC) chooses the price in force; `tier` is the service tier it ran in.

    A cost that cannot be known is `unpriced`, with a reason: unknown_model, no_price (the model, or a class of which
    tokens were used, has none), unknown_tier, usage_missing, usage_invalid. It is `estimated` when the tokens are, or
    when the price list leaves a rate out: then `reason` says what stood in for it.
    """
    row = book.schedule(provider, model, tier).at(at_ns)
    return row if isinstance(row, Cost) else charge(row, usage, _iso_day(at_ns // DAY_NS))


class Asked(Protocol):
    """What a call asked for; `CallStarted` is one."""

    @property
    def provider(self) -> str:
        """Who was asked, as it was recorded."""

    @property
    def model(self) -> str:
        """The model as requested."""

    @property
    def tier(self) -> str | None:
        """The service tier asked for."""


def price_call(book: PriceBook, asked: Asked, ended: CallEnded, at_ns: int) -> Cost:
    """What an ended call cost: by the model and tier that served it, where the reply names them."""
    model, tier = ended.served_model or asked.model, ended.served_tier or asked.tier
    return price(book, asked.provider, model, ended.usage, at_ns, tier)


def usd(nano: int) -> Decimal:
    """Nano-USD as exact decimal USD."""
    return Decimal(nano).scaleb(-9)


def usd_text(nano: int) -> str:
    """Nano-USD for people: cents, or two significant digits of less than that. Only 0 ever reads as zero.

    `$1,234.50`, `$0.075`, `$0.0000012`, `-$0.01`, `$0.00`.
    """
    amount = abs(usd(nano))
    places = max(2, min(1 - amount.adjusted(), 9)) if amount else 2
    whole, _, cents = f"{amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP):,f}".partition(".")
    return f"{'-' if nano < 0 else ''}${whole}.{cents.rstrip('0'):0<2}"


@lru_cache(maxsize=1024)
def _iso_day(days: int) -> str:
    try:
        return (_EPOCH + timedelta(days=days)).isoformat()
    except OverflowError:
        return ""
