"""What tokens may cost at worst, and what they did cost: integer nano-USD by one row of the price list.

Nobody knows before a request which of its tokens are cached, written to a cache or thought; so each is taken at the
dearest rate of its side. What is billed by the piece (searches) is not known before at all, and counts when it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from tachograph.events.usage import Cost, Usage
from tachograph.fold.price_rates import NANO, PART_OF, Row, charge

Prices = Callable[[str, str, str | None], Row | Cost]
"""(provider, model, tier) → the row that is in force now, or the cost that says why there is none."""

_INPUT, _OUTPUT = 0, 4
"""Places of uncached input and of output in `price_rates.CLASSES`."""


class Rate(NamedTuple):
    """The dearest rates of a model for a request of some size, in 1e-24 USD."""

    input: int
    """For a token."""
    output: int
    request: int
    """For the request itself."""

    def worst(self, input: int, output: int) -> int:  # noqa: A002 - the word of the domain
        """Nano-USD that so many tokens cost at most."""
        return self._sent(input) + -(-output * self.output // NANO)

    def afford(self, input: int, nano: int) -> int | None:  # noqa: A002 - as above
        """Tokens of output for which so much money is enough; None when output is free, -1 when input is too dear."""
        left = nano - self._sent(input)
        if left < 0:
            return -1
        return None if self.output == 0 else left * NANO // self.output

    def _sent(self, tokens: int) -> int:
        # Each side for itself, as a bill rounds them.
        return -(-(tokens * self.input + self.request) // NANO)


def dearest(row: Row | Cost, input: int, *, output: bool) -> Rate | str:  # noqa: A002 - as above
    """The rates for a request of so many input tokens, or why there are none. `output`: whether it has any."""
    if isinstance(row, Cost):
        return row.reason
    rates = row.rates_for(input)
    unpriced = {index for index, note in rates.marks if not note}
    if _INPUT in unpriced or (output and _OUTPUT in unpriced):
        return "no_price"
    sides = [max(rates.classes[:_OUTPUT]), rates.classes[_OUTPUT]]
    for part, (each, _) in rates.apart.items():
        side = PART_OF[part] == "output"
        sides[side] = max(sides[side], each)
    return Rate(sides[0], sides[1], row.by_request)


def paid(row: Row | Cost, usage: Usage) -> int | None:
    """Nano-USD that this usage cost, or None when that cannot be said."""
    return None if isinstance(row, Cost) else charge(row, usage, "").total


def nano_of(usd: float | Decimal) -> int:
    """An amount of USD in nano-USD, as it is written."""
    return int(Decimal(str(float(usd)) if isinstance(usd, float) else str(usd)).scaleb(9))


def usd_of(nano: int) -> float:
    """Nano-USD as USD, for people."""
    return nano / 1e9
