"""Money as others write it → integer nano-USD, without a float in between."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from msgspec import Raw

_NANO = Decimal(10**9)
_MOST = 2**62


def nano_usd(value: Any) -> int | None:
    """Nano-USD of an amount in USD: a JSON number as it stands (`Raw`), a Decimal, a text or a number.

    A float counts as the digits it prints. None for what is no amount: null, NaN, below zero, beyond 64 bits.
    """
    if isinstance(value, Raw):
        value = bytes(value).decode("ascii", "replace")
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        amount = (Decimal(str(value)) * _NANO).to_integral_value(ROUND_HALF_EVEN)
    except InvalidOperation:
        return None
    return int(amount) if amount.is_finite() and 0 <= amount < _MOST else None


def reported_cost(usage: Mapping[str, Any]) -> int | None:
    """What a usage object itself says the call cost, nano-USD; None when it does not say.

    OpenRouter and LiteLLM proxies give `cost`, Perplexity `cost.total_cost`, xAI ticks of 1e-10 USD.
    """
    cost = usage.get("cost")
    if isinstance(cost, Mapping):
        cost = cost.get("total_cost")
    ticks = usage.get("cost_in_usd_ticks")
    if cost is None and isinstance(ticks, int) and not isinstance(ticks, bool):
        cost = Decimal(ticks).scaleb(-10)
    return nano_usd(cost)
