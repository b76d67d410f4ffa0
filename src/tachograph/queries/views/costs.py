"""What a run's model calls cost: by model and the price that was used, and call by call.

Sums are of what is known. How many calls have no usage or no price stands beside them, and what other sides said is
compared with what was computed for the same calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.queries.pages import Ordinal, PageAsked, Paged, page
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where

CostOrder = Literal["first", "dearest"]

_TOKENS = ("uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_MONEY = ("cost_nano", "input_cost_nano", "output_cost_nano", "cache_read_cost_nano", "cache_write_cost_nano")
_PRICED = ("price_id", "price_date", "cost_state", "unpriced_reason")
_COLUMNS = (
    "step", "iteration", "provider", "model", "served_model", "purpose", "agent_type", "status", "attempt", "tier",
    "usage_basis", "reported_cost_nano", "cache_write_1h_tokens", *_TOKENS, *_MONEY, *_PRICED,
)  # fmt: skip


class Amounts(Struct, frozen=True, kw_only=True):
    """Tokens and nano-USD of some calls; None where nobody said any."""

    calls: int = 0
    uncached: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None
    """A part of the output."""
    cost: int | None = None
    input_cost: int | None = None
    """Of all input: cache reads and writes are parts of it."""
    output_cost: int | None = None
    cache_read_cost: int | None = None
    cache_write_cost: int | None = None

    @property
    def uncached_cost(self) -> int | None:
        """What is left of the input's cost: with it goes what is billed by the piece."""
        if self.input_cost is None:
            return None
        return self.input_cost - (self.cache_read_cost or 0) - (self.cache_write_cost or 0)


class Priced(Struct, frozen=True, kw_only=True):
    """Calls of one model that were priced alike."""

    provider: str
    model: str
    state: str
    """priced, estimated, reported, unpriced; empty while they go on."""
    price_id: str
    price_date: str
    reason: str
    """Why they have no price, or only an estimate."""
    amounts: Amounts


class Compared(Struct, frozen=True, kw_only=True):
    """What other sides said that calls cost, and what was computed for the same calls."""

    calls: int
    reported: int
    priced: int
    """Those of them that have a computed price, too."""
    computed: int | None


class Costs(Struct, frozen=True, kw_only=True):
    """What all calls of a run cost."""

    whole: Amounts
    groups: tuple[Priced, ...]
    """The dearest first."""
    compared: Compared | None
    """None: nobody said what a call cost."""
    bases: Mapping[str, int]
    """Who counted the tokens → of how many calls."""


def costs(index: Index, pk: int) -> Costs:
    """What the calls of a run cost, by its number."""
    whose = (Where("run", "eq", pk),)
    sums = (Measure("count"), *(Measure("sum", name) for name in (*_TOKENS, *_MONEY)))
    group = ("provider", "model", *_PRICED)
    rows = index.find(Query("calls", whose, group=group, measures=sums, limit=None)).rows
    groups = sorted((_priced(row) for row in rows), key=lambda each: -(each.amounts.cost or 0))
    whole = index.find(Query("calls", whose, measures=sums)).rows
    bases = index.find(Query("calls", whose, group=("usage_basis",), measures=(Measure("count"),), limit=None)).rows
    return Costs(
        whole=_amounts(whole[0]) if whole else Amounts(),
        groups=tuple(groups),
        compared=_compared(index, whose),
        bases={row["usage_basis"] or "": row["count"] for row in bases},
    )


class CallsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which calls of the run."""

    order: CostOrder = "first"


def priced_calls(index: Index, pk: int, asked: CallsAsked) -> Paged:
    """Rows of a run's calls. Raises InvalidParameter for a cursor that is none."""
    order = ("step",) if asked.order == "first" else ("-cost_nano",)
    query = Query("calls", (Where("run", "eq", pk),), _COLUMNS, order=order)
    return page(index, query, asked, _PLACES[asked.order])


_PLACES: Mapping[CostOrder, Any] = {
    "first": tuple[Ordinal, Ordinal], "dearest": tuple[Ordinal | None, Ordinal, Ordinal],
}  # fmt: skip


def _priced(row: Mapping[str, Any]) -> Priced:
    return Priced(
        provider=row["provider"],
        model=row["model"],
        state=row["cost_state"] or "",
        price_id=row["price_id"] or "",
        price_date=row["price_date"] or "",
        reason=row["unpriced_reason"] or "",
        amounts=_amounts(row),
    )


def _amounts(row: Mapping[str, Any]) -> Amounts:
    tokens = {name.removesuffix("_tokens"): row[f"sum_{name}"] for name in _TOKENS}
    money = {name.removesuffix("_nano"): row[f"sum_{name}"] for name in _MONEY}
    return Amounts(calls=row["count"], **tokens, **money)


def _compared(index: Index, whose: tuple[Where, ...]) -> Compared | None:
    said = (*whose, Where("reported_cost_nano", "not_null"))
    sums = (Measure("count"), Measure("sum", "reported_cost_nano"), Measure("sum", "cost_nano"))
    rows = index.find(Query("calls", said, group=("cost_state",), measures=sums, limit=None)).rows
    computed = [row for row in rows if row["cost_state"] in ("priced", "estimated")]
    if not rows:
        return None
    return Compared(
        calls=sum(row["count"] for row in rows),
        reported=sum(row["sum_reported_cost_nano"] for row in rows),
        priced=sum(row["count"] for row in computed),
        computed=sum(row["sum_cost_nano"] for row in computed) if computed else None,
    )
