"""What a run cost, as a page shows it: classes of tokens, prices that were used, what others said, each call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.events import ids
from tachograph.queries import wording
from tachograph.queries.views.costs import Amounts, Compared, Costs, Priced
from tachograph.web import links

REASONS: Mapping[str, str] = {
    "unknown_model": "no price list has this model", "no_price": "the model has no price for what was used",
    "unknown_tier": "no price for this service tier", "usage_missing": "nobody counted the tokens",
    "usage_invalid": "the counted tokens contradict each other",
}  # fmt: skip
_BASES: Mapping[str, str] = {
    "provider": "counted by the provider", "instrumentation": "counted by the instrumentation",
    "inferred": "worked out from other figures", "estimated": "estimated", "missing": "counted by nobody",
    "": "not over",
}  # fmt: skip


class TokenClass(Struct, frozen=True, kw_only=True):
    """One class of tokens."""

    name: str
    is_part: bool
    """Whether it is a part of the class above it."""
    tokens: int | None
    cost: int | None
    rate: int | None
    """Nano-USD of a million tokens, on average."""
    share: float | None
    """Of all cost."""


class PriceUsed(Struct, frozen=True, kw_only=True):
    """Calls of one model that were priced alike."""

    provider: str
    model: str
    calls: int
    state: str
    price: str
    day: str
    why: str
    """Why there is no price, as a sentence."""
    input: int | None
    output: int | None
    cost: int | None


class PricedCall(Struct, frozen=True, kw_only=True):
    """One call."""

    step: int
    href: str
    saw: str
    """To what it saw."""
    iteration: int | None
    model: str
    status: str
    attempt: int
    purpose: str
    uncached: int | None
    cache_read: int | None
    cache_write: int | None
    output: int | None
    reasoning: int | None
    basis: str
    state: str
    cost: int | None
    reported: int | None
    price: str
    why: str


def classes(found: Costs) -> tuple[TokenClass, ...]:
    """The classes of tokens, with what each cost where that was said; the rate is that of the calls with a price."""
    whole = found.whole
    priced = [each.amounts for each in found.groups if each.amounts.cost is not None]
    is_split = not any(each.cache_read and each.cache_read_cost is None for each in priced)
    rows: tuple[tuple[str, bool, Callable[[Amounts], int | None], int | None], ...] = (
        ("Input", False, _input, whole.input_cost),
        ("uncached", True, lambda each: each.uncached, whole.uncached_cost if is_split else None),
        ("cache read", True, lambda each: each.cache_read, whole.cache_read_cost),
        ("cache write", True, lambda each: each.cache_write, whole.cache_write_cost),
        ("Output", False, lambda each: each.output, whole.output_cost),
        ("of it reasoning", True, lambda each: each.reasoning, None),
    )
    found_classes = []
    for name, is_part, tokens, cost in rows:
        known = None if cost is None or (cost == 0 and not tokens(whole)) else cost
        paid = sum(tokens(each) or 0 for each in priced)
        found_classes.append(
            TokenClass(
                name=name,
                is_part=is_part,
                tokens=tokens(whole),
                cost=known,
                rate=round(known * 1_000_000 / paid) if known is not None and paid else None,
                share=known / whole.cost if known is not None and whole.cost else None,
            )
        )
    return tuple(found_classes)


def _input(sums: Amounts) -> int | None:
    known = [part for part in (sums.uncached, sums.cache_read, sums.cache_write) if part is not None]
    return sum(known) if known else None


def prices(groups: Sequence[Priced]) -> tuple[PriceUsed, ...]:
    """The prices that were used."""
    return tuple(_price(each) for each in groups)


def _price(group: Priced) -> PriceUsed:
    sums = group.amounts
    return PriceUsed(
        provider=group.provider,
        model=group.model,
        calls=sums.calls,
        state=group.state,
        price=group.price_id,
        day=group.price_date,
        why=why(group.state, group.reason),
        input=_input(sums),
        output=sums.output,
        cost=sums.cost,
    )


def why(state: str, reason: str) -> str:
    """Why a call has no price, or only an estimate; empty where it has one."""
    if not state:
        return "not over"
    if not reason:
        return ""
    named, _, what = reason.partition(":")
    said = REASONS.get(named, reason.replace("_", " "))
    return f"{said}: {what.replace('_', ' ')}" if what and named in REASONS else said


def compared(found: Compared | None) -> str:
    """What other sides said, against what was computed, as a sentence."""
    if found is None:
        return ""
    said = f"{wording.money(found.reported)} was reported for {wording.some(found.calls, 'call')}"
    if not found.priced or found.computed is None:
        return f"{said}; for none of them was a cost computed."
    which = "them" if found.priced == found.calls else wording.count(found.priced)
    computed = f"{wording.money(found.computed)} was computed for {which}"
    apart = found.reported - found.computed
    if found.priced != found.calls:
        return f"{said}; {computed} of them."
    if not apart:
        return f"{said}; the same was computed."
    of_it = f" ({wording.share(abs(apart) / found.computed)})" if found.computed else ""
    more = "more" if apart > 0 else "less"
    return f"{said}; {computed}. Reported is {wording.money(abs(apart))}{of_it} {more}."


def bases(found: Costs) -> Iterator[str]:
    """Who counted the tokens, as sentences."""
    for basis, calls in sorted(found.bases.items(), key=lambda each: -each[1]):
        yield f"{wording.some(calls, 'call')} {_BASES.get(basis, basis)}"


def priced_call(run: str, row: Mapping[str, Any]) -> PricedCall:
    """A call from its row."""
    state = row["cost_state"] or ""
    return PricedCall(
        step=row["step"],
        href=links.step(ids.step_id(run, row["step"])),
        saw=links.run(run, "transcript", call=row["step"]),
        iteration=row["iteration"],
        model=row["model"],
        status=row["status"],
        attempt=row["attempt"],
        purpose=row["purpose"] or "",
        uncached=row["uncached_tokens"],
        cache_read=row["cache_read_tokens"],
        cache_write=row["cache_write_tokens"],
        output=row["output_tokens"],
        reasoning=row["reasoning_tokens"],
        basis=_BASES.get(row["usage_basis"] or "", row["usage_basis"] or ""),
        state=state,
        cost=row["cost_nano"],
        reported=row["reported_cost_nano"],
        price=row["price_id"] or "",
        why=why(state, row["unpriced_reason"] or ""),
    )
