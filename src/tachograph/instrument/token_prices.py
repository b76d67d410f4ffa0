"""Prices that a program gives its logger, in USD per 1,000 tokens.

A logger starts with a table of usual prices, as documentation; they are not what its calls cost, since prices change
with time and with the version of a model, and the dated price list knows both. An entry that the program adds or
changes is another matter: it prices the calls of exactly that model.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tachograph.errors import SettingsError
from tachograph.events.usage import Cost, Usage

if TYPE_CHECKING:
    from tachograph.fold.cost import PriceBook

Prices = dict[str, dict[str, Any]]
"""Model → {token class → USD per 1,000 tokens}."""

USUAL: Mapping[str, Mapping[str, float]] = {
    "gpt-4": {"input": 0.03, "output": 0.06},
    "gpt-4-turbo": {"input": 0.01, "output": 0.03},
    "gpt-3.5-turbo": {"input": 0.0015, "output": 0.002},
    "claude-3-opus": {"input": 0.015, "output": 0.075},
    "claude-3-sonnet": {"input": 0.003, "output": 0.015},
    "claude-3-haiku": {"input": 0.00025, "output": 0.00125},
    "gemini-pro": {"input": 0.00025, "output": 0.0005},
}
"""What a logger's table starts with."""

log = logging.getLogger("tachograph")


def usual() -> Prices:
    """The starting table, for one logger to change."""
    return {model: dict(entry) for model, entry in USUAL.items()}


class Stated:
    """What the program states of its models' prices, worked out when a model is first asked for."""

    def __init__(self) -> None:
        self._books: dict[str, tuple[dict[str, Any], PriceBook | None]] = {}

    def cost(self, prices: Mapping[str, Any], model: str, usage: Usage, at_ns: int) -> Cost | None:
        """What a call costs by an entry that the program stated; None leaves it to the price list."""
        entry = prices.get(model)
        if entry is None or entry == USUAL.get(model):
            return None
        from tachograph.fold.cost import price  # noqa: PLC0415 - prices are not needed to record

        book = self._book(model, entry)
        return None if book is None else price(book, "", model, usage, at_ns)

    def _book(self, model: str, entry: Any) -> PriceBook | None:
        known = self._books.get(model)
        if known is not None and known[0] == entry:
            return known[1]
        from tachograph.fold.cost import price_book  # noqa: PLC0415 - as above

        book = None
        try:
            book = price_book(per_thousand={model: entry}, bundled=False)
        except (SettingsError, AttributeError, TypeError) as problem:
            log.error("token_prices[%r] is left aside: %s", model, problem)  # noqa: TRY400 - the message says it all
        self._books[model] = (dict(entry) if isinstance(entry, Mapping) else entry, book)
        return book
