"""A model request in figures: the most it may use, before it leaves, and what it did use, once it is over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Struct

from tachograph.events.budget import Reservation
from tachograph.events.usage import Cost, Usage
from tachograph.fold.price_rates import Row
from tachograph.limits.estimate import MOST_OUTPUT, tokens_of
from tachograph.limits.guard import Intent, Notice, Settled
from tachograph.limits.money import Prices, Rate, dearest, paid, usd_of


class Asked(Struct, frozen=True):
    """A request as far as it can be reckoned before."""

    model: str
    provider: str
    tier: str | None
    size: int
    """UTF-8 bytes."""
    reserved: Reservation
    row: Row | Cost
    rate: Rate | str
    """The dearest rates, or why there are none."""
    tokens: int
    nano: int
    """What is set aside; no money when the model has no price."""


class Used(NamedTuple):
    """What a request came to."""

    tokens: int
    nano: int
    usage: Usage | None = None
    """As reported; None when nobody said, or what was said cannot be."""


def reckon(intent: Intent, prices: Prices, *, strict: bool, seen: Mapping[str, float]) -> Asked:
    """The most that a request may use. `seen` is what requests to a model have come to, in tokens a byte."""
    size = max(0, intent.input_bytes)
    tokens = tokens_of(size, intent.name, tools=intent.tools, strict=strict, seen=seen.get(intent.name, 0.0))
    stated = intent.max_output
    output = (MOST_OUTPUT if stated is None else max(0, stated)) * max(1, intent.replies)
    row = prices(intent.provider, intent.name, intent.tier)
    rate = dearest(row, tokens, output=output > 0)
    nano = rate.worst(tokens, output) if isinstance(rate, Rate) else None
    reserved = Reservation(tokens, output, nano, "estimated" if stated is None else "stated")
    return Asked(
        intent.name,
        intent.provider,
        intent.tier,
        size,
        reserved,
        row,
        rate,
        tokens + output,
        0 if nano is None else nano,
    )


def used(asked: Asked, settled: Settled, prices: Prices) -> Used:
    """What a request used. What nobody says was used up to what had been set aside for it."""
    if not settled.sent:
        return Used(0, 0)
    said = settled.usage if settled.usage is not None and is_sane(settled.usage) else None
    given, taken = (None, None) if said is None else (said.input_total, said.output)
    reserved = asked.reserved
    tokens = (reserved.input if given is None else given) + (reserved.output if taken is None else taken)
    cost = None if settled.cost is None or settled.cost.state == "unpriced" else settled.cost.total
    if cost is None or cost < 0:
        cost = _cost(asked, said, settled.served_model, prices)
    return Used(tokens, cost, said)


def overruns(asked: Asked, found: Used) -> Iterator[Notice]:
    """What was used beyond what had been set aside."""
    nano = asked.reserved.nano
    if found.tokens > asked.tokens:
        why = f"overrun: {found.tokens} tokens were used, and {asked.tokens} had been set aside"
        yield Notice("token_budget", found.tokens, 0, asked.tokens, "call", "observe", why)
    if nano is not None and found.nano > nano:
        why = f"overrun: {usd_of(found.nano):.6g} USD were used, and {usd_of(nano):.6g} had been set aside"
        yield Notice("cost_budget", usd_of(found.nano), 0, usd_of(nano), "call", "observe", why)


def breaks_its_word(asked: Asked, found: Used, *, strict: bool) -> bool:
    """Whether a provider went beyond a bound that was none of our estimates."""
    if found.usage is None or found.tokens <= asked.tokens:
        return False
    reserved = asked.reserved
    talked = reserved.basis == "stated" and (found.usage.output or 0) > reserved.output
    return talked or (strict and (found.usage.input_total or 0) > reserved.input)


def _cost(asked: Asked, said: Usage | None, served: str | None, prices: Prices) -> int:
    if said is None:
        return asked.nano
    row = asked.row
    if served and served != asked.model and isinstance(other := prices(asked.provider, served, asked.tier), Row):
        row = other
    cost = paid(row, _whole(said, asked.reserved))
    return asked.nano if cost is None else cost


def _whole(said: Usage, reserved: Reservation) -> Usage:
    """The usage with what is missing of it taken as it was set aside."""
    if said.input_total is not None and said.output is not None:
        return said
    return Usage(
        reserved.input if said.input_total is None else said.input_uncached or 0, said.cache_read, said.cache_write,
        reserved.output if said.output is None else said.output, said.reasoning, "estimated", said.cache_write_1h,
        said.extra,
    )  # fmt: skip


def is_sane(usage: Usage) -> bool:
    """Whether these figures can be: one at least, and none below 0."""
    figures = (usage.input_uncached, usage.cache_read, usage.cache_write, usage.output)
    return any(figure is not None for figure in figures) and all(figure is None or figure >= 0 for figure in figures)
