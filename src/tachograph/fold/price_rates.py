"""What tokens cost: rows of integer rates, when each row is in force, and the arithmetic of one call.

A rate is an integer number of 1e-24 USD for one token, so every listed price is exact and a priced call is a few
integer products; rounding to nano-USD happens once, at the end. Tokens with a price of their own (audio, reasoning) are
taken out of the class they are counted in; tokens without one are billed as that class. So nothing is billed twice, and
nothing is free whose price is not 0.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from operator import add, mul
from typing import Literal

from msgspec import Struct

from tachograph.events.usage import Cost, Usage

NANO = 10**15
"""Rate units in one nano-USD."""
DAY_NS = 86_400_000_000_000
ALWAYS = -(1 << 63)
"""Start of a price that was always in force."""

CLASSES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
"""The token classes of a call: uncached input, cache reads, cache writes (5 minutes), cache writes (1 hour), output."""

PART_OF: Mapping[str, str] = {
    "input_audio": "input",
    "input_image": "input",
    "input_video": "input",
    "cache_audio": "cache_read",
    "cache_image": "cache_read",
    "cache_video": "cache_read",
    "output_audio": "output",
    "output_image": "output",
    "output_video": "output",
    "citation": "output",
    "reasoning": "output",
}
"""Counts of `Usage.extra` (and `reasoning`) that some rows price apart → the class whose tokens they are.

`input_audio` counts all audio sent, `cache_audio` the part of it that was read from a cache; image and video likewise.
"""

SEARCHES = ("web_searches", "social_searches", "storage_searches", "rerank_searches")
"""Counts of `Usage.extra` that cost something wherever they happen: one without a listed fee is worth a mark."""

_exact = Context(prec=60)


class Rates(Struct, frozen=True):
    """Rates for prompts of one size, fallbacks filled in. Made by `rates_of`."""

    classes: tuple[int, ...]
    """Of `CLASSES`; 0 where there is none."""
    marks: tuple[tuple[int, str], ...] = ()
    """(index, note) of each class without a rate of its own: which one it borrows; no note where it has none at all."""
    apart: Mapping[str, tuple[int, str]] = {}
    """(rate, note) of the parts in `PART_OF` that are not billed as their class."""

    def per_million(self) -> Mapping[str, Decimal]:
        """USD per million tokens of each class and part that has a price of its own."""
        borrowed = {index for index, _ in self.marks}
        own = {
            name: rate
            for index, (name, rate) in enumerate(zip(CLASSES, self.classes, strict=True))
            if index not in borrowed
        }
        own |= {part: rate for part, (rate, note) in self.apart.items() if not note}
        return {name: _exact.scaleb(Decimal(rate), -18).normalize(_exact) for name, rate in own.items()}


class Fee(Struct, frozen=True):
    """A price by the piece: `amount` (1e-24 USD) for `per` pieces of `Usage.extra[name]`."""

    name: str
    amount: int
    per: int
    side: Literal["input", "output"] = "input"
    within: tuple[str, ...] = ()
    """Fees of the same row that bill some of these pieces already."""


class Row(Struct, frozen=True):
    """One line of a price list."""

    price_id: str
    rates: Rates
    longer: tuple[tuple[int, Rates], ...] = ()
    """(tokens, rates) for prompts of more than so many tokens, longest first. They hold for every token of the call."""
    fees: tuple[Fee, ...] = ()
    by_request: int = 0
    """1e-24 USD for the request itself."""

    def rates_for(self, input_total: int) -> Rates:
        """The rates for a prompt of this many tokens, cached ones included."""
        for tokens, rates in self.longer:
            if input_total > tokens:
                return rates
        return self.rates


class Day(Struct, frozen=True):
    """What is in force during a day: each row from its time (ns since midnight, UTC) to the next; the first from 0."""

    times: tuple[int, ...]
    rows: tuple[Row | Cost, ...]


class Schedule(Struct, frozen=True):
    """What is in force when: each day plan from its start (UTC ns) to the next, the first one also before it."""

    starts: tuple[int, ...]
    days: tuple[Day, ...]

    def at(self, at_ns: int) -> Row | Cost:
        """The row in force at a time, or the cost that says why there is none."""
        day = self.days[0] if len(self.days) == 1 else self.days[max(bisect_right(self.starts, at_ns) - 1, 0)]
        return day.rows[0] if len(day.rows) == 1 else day.rows[bisect_right(day.times, at_ns % DAY_NS) - 1]

    def then(self, later: Schedule) -> Schedule:
        """This schedule until the other one starts."""
        count = bisect_left(self.starts, later.starts[0])
        return Schedule(self.starts[:count] + later.starts, self.days[:count] + later.days)


def constant(row: Row | Cost, start: int = ALWAYS) -> Schedule:
    """A schedule of one row."""
    return Schedule((start,), (Day((0,), (row,)),))


def rate_of(price: Decimal, pieces: int = 1) -> int:
    """A price in USD for so many pieces as 1e-24 USD for one: exact for up to 18 decimals in a price per million."""
    return int(_exact.to_integral_value(_exact.divide(_exact.scaleb(price, 24), Decimal(pieces))))


def rates_of(listed: Mapping[str, int]) -> Rates:
    """Rates from those that are listed, by the names in `CLASSES` and `PART_OF`."""
    lenders = {"cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write"}
    classes, marks = [], []
    for index, name in enumerate(CLASSES):
        lender = name
        while lender not in listed and lender in lenders:
            lender = lenders[lender]
        classes.append(listed.get(lender, 0))
        if lender != name or name not in listed:
            marks.append((index, f"{name}_as_{lender}" if lender in listed else ""))
    apart = {part: (listed[part], "") for part in PART_OF if part in listed}
    if "cache_read" not in listed:
        sent = {part.replace("input_", "cache_"): part for part in apart if part.startswith("input_")}
        apart |= {part: (listed[other], f"{part}_as_{other}") for part, other in sent.items() if part not in listed}
    return Rates(tuple(classes), tuple(marks), apart)


def unpriced(reason: str) -> Cost:
    """A cost that is not known, and why."""
    return Cost(state="unpriced", reason=reason)


UNKNOWN_MODEL = unpriced("unknown_model")
NO_PRICE = unpriced("no_price")
UNKNOWN_TIER = unpriced("unknown_tier")
USAGE_MISSING = unpriced("usage_missing")
USAGE_INVALID = unpriced("usage_invalid")


def charge(row: Row, usage: Usage, date: str) -> Cost:
    """What a call cost by this row, or why that cannot be said.

    A missing figure leaves the call unpriced if a price stands on it. A borrowed rate, and a part larger than its whole
    (it is cut to it), make the cost an estimate whose reason names them.
    """
    uncached, output, extra = usage.input_uncached, usage.output, usage.extra
    read, write, hour = usage.cache_read or 0, usage.cache_write or 0, usage.cache_write_1h or 0
    rates = row.rates_for((uncached or 0) + read + write) if row.longer else row.rates
    if (uncached is None or output is None) and _misses_a_price(row, rates, usage):
        return USAGE_MISSING
    notes: list[str] = []
    if hour > write:
        hour = _cut(hour, write, notes)
    counts = [uncached or 0, read, write - hour, hour, output or 0]
    if min(counts) < 0:
        return USAGE_INVALID
    apart = _apart(rates.apart, usage, counts, notes) if rates.apart and (extra or usage.reasoning) else None
    for index, note in rates.marks:
        if counts[index]:
            if not note:
                return NO_PRICE
            notes.append(note)
    amounts = list(map(mul, counts, rates.classes))
    if apart:
        amounts = list(map(add, amounts, apart))
    if extra:
        _add_pieces(row.fees, extra, amounts, notes)
    return _cost(row, usage, date, amounts, notes)


def _misses_a_price(row: Row, rates: Rates, usage: Usage) -> bool:
    """Whether a figure is missing on which a price stands. With no figure at all there is nothing to price."""
    if usage.output is None and usage.input_total is None:
        return not any(fee.name in (usage.extra or ()) for fee in row.fees)
    return bool((usage.input_uncached is None and rates.classes[0]) or (usage.output is None and rates.classes[-1]))


def _cut(part: int, whole: int, notes: list[str]) -> int:
    if part > whole:
        notes.append("parts_exceed_whole")
    return min(part, whole)


def _apart(rates: Mapping[str, tuple[int, str]], usage: Usage, counts: list[int], notes: list[str]) -> Sequence[int]:
    """Amounts of the tokens that have a price of their own, by class. They are taken out of `counts`."""
    amounts = [0] * len(CLASSES)
    said = {**(usage.extra or {}), "reasoning": usage.reasoning or 0}
    for part, (each, note) in rates.items():
        index = CLASSES.index(PART_OF[part])
        kind = part.removeprefix("input_")
        cached = said.get(f"cache_{kind}", 0) if kind != part else 0
        count = _cut(max(said.get(part, 0) - cached, 0), counts[index], notes)
        counts[index] -= count
        amounts[index] += count * each
        if count and note:
            notes.append(note)
    return amounts


def _add_pieces(fees: Sequence[Fee], extra: Mapping[str, int], amounts: list[int], notes: list[str]) -> None:
    """Add what is billed by the piece to the amounts."""
    for fee in fees:
        pieces = max(extra.get(fee.name, 0) - sum(extra.get(part, 0) for part in fee.within), 0)
        amounts[-1 if fee.side == "output" else 0] += (pieces * fee.amount + fee.per // 2) // fee.per
    listed = {fee.name for fee in fees}
    notes.extend(f"no_price:{name}" for name in SEARCHES if extra.get(name) and name not in listed)


def _cost(row: Row, usage: Usage, date: str, amounts: Sequence[int], notes: Sequence[str]) -> Cost:
    uncached, read, write, hour, output = amounts
    paid_in = (row.by_request + uncached + read + write + hour + NANO // 2) // NANO
    paid_out = (output + NANO // 2) // NANO
    return Cost(
        "estimated" if notes or usage.basis == "estimated" else "priced",
        paid_in,
        paid_out,
        paid_in + paid_out,
        None if usage.cache_read is None else read // NANO,
        None if usage.cache_write is None else (write + hour) // NANO,
        row.price_id,
        date,
        ", ".join(dict.fromkeys(notes)) if notes else "",
    )
