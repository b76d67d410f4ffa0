"""Prices that the user states. They come before the bundled list, and decide alone for the models they name.

Three spellings of one thing: a mapping in USD per thousand tokens (`{"gpt-4": {"input": 0.03, "output": 0.06}}`), the
same per million, and a TOML file per million whose entries may also name a provider, a service tier, the day from which
they hold, and other names of the model:

    [[price]]
    model = "acme-70b"
    provider = "acme"           # default: whoever serves it
    alias = ["acme-70b-fast"]   # default: none
    tier = "batch"              # default: the tiers billed at the list price
    from = 2026-03-01           # UTC; default: always
    input = 0.90
    output = 2.70
    cache_read = 0.09
    cache_write = 1.125

A class that is left out is billed as the one it belongs to, and the cost is marked as an estimate; 0 is free.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from msgspec import Struct

from tachograph.errors import SettingsError
from tachograph.fold.price_names import provider_key, tier_key
from tachograph.fold.price_rates import (
    ALWAYS,
    CLASSES,
    DAY_NS,
    PART_OF,
    UNKNOWN_TIER,
    Rates,
    Row,
    Schedule,
    constant,
    rate_of,
    rates_of,
)

Prices = Mapping[str, Mapping[str, "float | int | str | Decimal"]]
"""Model → {token class → USD}. The classes are `CLASSES` and `PART_OF`."""

_MILLION = 1_000_000
_ABSURD = 10**9
_EPOCH = date(1970, 1, 1)
_FACTS = frozenset({"model", "provider", "alias", "tier", "from"})
_CLASSES = frozenset({*CLASSES, *PART_OF})


class Stated(Struct, frozen=True):
    """One price that the user stated."""

    model: str
    row: Row
    provider: str = ""
    """Empty: whoever serves it."""
    names: tuple[str, ...] = ()
    """Other names of the model."""
    tier: str = ""
    start: int = ALWAYS
    """UTC ns from which it holds."""


@dataclass(frozen=True)
class Overrides:
    """Stated prices by (provider, name), the provider empty where any will do."""

    stated: Mapping[tuple[str, str], tuple[Stated, ...]] = field(default_factory=dict)

    def schedule(self, provider: str, model: str, tier: str) -> Schedule | None:
        """What the user says the model costs in a service tier (empty: none or the usual); None for nothing said."""
        name = model.strip().lower()
        said = self.stated.get((provider, name)) or self.stated.get(("", name))
        if said is None:
            return None
        fitting = sorted((one for one in said if one.tier == tier), key=lambda one: one.start)
        if not fitting:
            return constant(UNKNOWN_TIER)
        schedule = constant(fitting[0].row, fitting[0].start)
        for one in fitting[1:]:
            schedule = schedule.then(constant(one.row, one.start))
        return schedule


def overrides(
    *, per_thousand: Prices | None = None, per_million: Prices | None = None, toml: Mapping[str, Any] | None = None
) -> Overrides:
    """Overrides from any of the three spellings. What a program says of a model replaces what its file says of it.

    Raises SettingsError for an entry that cannot be used.
    """
    table: dict[tuple[str, str], tuple[Stated, ...]] = {}
    for stated in _from_toml(toml or {}):
        for name in (stated.model, *stated.names):
            said = table.get((stated.provider, name), ())
            if any((one.tier, one.start) == (stated.tier, stated.start) for one in said):
                raise SettingsError(f"prices: {name}", stated.row.price_id, "one price for a provider, tier and day")
            table[stated.provider, name] = (*said, stated)
    for prices, tokens in ((per_million, _MILLION), (per_thousand, 1_000)):
        for model, entry in (prices or {}).items():
            name = model.strip().lower()
            table = {key: said for key, said in table.items() if key[1] != name}
            table["", name] = (Stated(name, Row(f"override:{name}", _rates(name, entry, tokens))),)
    return Overrides(table)


def read_toml(text: str, name: str = "prices.toml") -> Mapping[str, Any]:
    """The content of a price file, its numbers exactly as written. Raises SettingsError for text that is not TOML."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(name, str(problem), "a TOML file of [[price]] entries") from problem


def _from_toml(content: Mapping[str, Any]) -> Iterator[Stated]:
    entries = content.get("price", [])
    if content.keys() - {"price"} or not isinstance(entries, list):
        raise SettingsError("prices", sorted(content), "a TOML file of [[price]] entries")
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("model"), str):
            raise SettingsError("prices", entry, "an entry with a model")
        yield _entry(entry["model"].strip().lower(), entry)


def _entry(name: str, entry: Mapping[str, Any]) -> Stated:
    provider, tier = provider_key(str(entry.get("provider", ""))), tier_key(str(entry.get("tier", "")))
    aliases = entry.get("alias", [])
    aliases = [aliases] if isinstance(aliases, str) else aliases
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise SettingsError(f"prices: {name}.alias", aliases, "a list of names")
    start = _day(name, entry["from"]) if "from" in entry else None
    key = "/".join(part for part in (provider, name, tier) if part) + (f"@{start}" if start else "")
    return Stated(
        model=name,
        row=Row(f"override:{key}", _rates(name, {part: entry[part] for part in entry if part not in _FACTS}, _MILLION)),
        provider=provider,
        names=tuple(dict.fromkeys(alias.strip().lower() for alias in aliases)),
        tier=tier,
        start=ALWAYS if start is None else (start - _EPOCH).days * DAY_NS,
    )


def _rates(name: str, prices: Mapping[str, Any], tokens: int) -> Rates:
    if not prices or prices.keys() - _CLASSES:
        raise SettingsError(f"prices: {name}", sorted(prices), f"prices of {', '.join((*CLASSES, *PART_OF))}")
    return rates_of({part: rate_of(_usd(f"prices: {name}.{part}", price), tokens) for part, price in prices.items()})


def _usd(name: str, price: Any) -> Decimal:
    try:
        value = Decimal(str(price))
    except InvalidOperation:
        value = Decimal("NaN")
    if isinstance(price, bool) or not value.is_finite() or not 0 <= value < _ABSURD:
        raise SettingsError(name, price, "an amount of USD")
    return value


def _day(name: str, day: Any) -> date:
    try:
        value = date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        value = None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise SettingsError(f"prices: {name}.from", day, "a day, as 2026-03-01")
    return value
