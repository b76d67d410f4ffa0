"""The bundled price list of genai-prices, read strictly.

The list matches names by clauses such as "starts with", for whoever wants a price at any price. Here a name counts only
if the list's own matching finds a model *and* the name is one of that model's whole names: its id, a spelling that the
list writes out, or a snapshot of those (`price_names`). So we price less than the list would, never something else.

It is the list in the installed package, whatever another part of the process has downloaded; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from tachograph.fold.price_names import is_fine_tune, plain_names, provider_key, whole_names
from tachograph.fold.price_rates import UNKNOWN_TIER, Schedule, constant
from tachograph.fold.price_windows import schedule_of

if TYPE_CHECKING:
    from genai_prices.types import MatchLogic, ModelInfo, PriceVariant, Provider

_TIER_KEYS = ("service_tier", "processing", "speed")


@dataclass(frozen=True)
class Found:
    """A model of the list. `owner` is whose price it is: another provider's where one sells at that one's prices."""

    owner: str
    model: ModelInfo
    own: bool


@dataclass(frozen=True)
class Catalogue:
    """The providers of the list, what it says about its units, and its version."""

    providers: Mapping[str, Provider]
    units: Mapping[str, Any]
    version: str

    def find(self, provider: str, model: str) -> Found | None:
        """The model that a call names, or None.

        With no provider the name may say it (`openai/gpt-4.1`); else it is the model that its maker sells by this name,
        or the only one of this name that has a price. Where neither decides, there is none.
        """
        if provider:
            return self._find_at(provider, model)
        owner, slash, _ = model.partition("/")
        if slash and (found := self._find_at(provider_key(owner), model)):
            return found
        return self._find_anywhere(model)

    def schedule(self, found: Found, tier: str) -> Schedule:
        """What the model costs in a service tier (empty: the list price), at any time."""
        source = f"genai-prices-{self.version}"
        if not tier:
            return schedule_of(found.model, (), f"{found.owner}/{found.model.id}@{source}", self.units)
        variants = [variant for variant in found.model.price_variants or () if _describes(variant, tier)]
        if not variants or not found.own:
            return constant(UNKNOWN_TIER)
        return schedule_of(found.model, variants, f"{found.owner}/{found.model.id}/{tier}@{source}", self.units)

    def _find_at(self, provider: str, model: str) -> Found | None:
        for name in plain_names(provider, model):
            if not is_fine_tune(name) and (found := self._find_name(provider, name)):
                return found
        return None

    def _find_name(self, provider: str, name: str) -> Found | None:
        seller = self.providers.get(provider)
        for owner in (provider, *(seller.fallback_model_providers or ())) if seller else ():
            own = owner == provider
            if known := self.providers[owner].find_model(name):
                return Found(owner, known, own) if _is_name_of(known, owner, name) else None
            for known in self.providers[owner].models:
                if known.id.lower() == name:
                    return Found(owner, known, own)
        return None

    def _find_anywhere(self, model: str) -> Found | None:
        found = [known for provider in self.providers if (known := self._find_at(provider, model)) and known.own]
        priced = [known for known in found if _is_priced(known.model)]
        makers = [known for known in priced if self._makes(known.owner, model)]
        candidates = makers or priced or found
        return candidates[0] if len(candidates) == 1 else None

    def _makes(self, provider: str, model: str) -> bool:
        match = self.providers[provider].model_match
        return match is not None and match.is_match(model.lower())


@cache
def bundled() -> Catalogue:
    """The list in the installed genai-prices package. The first call imports it, which takes about 0.2 s."""
    from genai_prices import __version__  # noqa: PLC0415 - a program that prices nothing shall not pay for it
    from genai_prices.data import providers  # noqa: PLC0415
    from genai_prices.data_units import unit_data  # noqa: PLC0415

    return Catalogue({provider.id: provider for provider in providers}, unit_data, __version__)


def _is_name_of(model: ModelInfo, provider: str, name: str) -> bool:
    known = {model.id.lower(), model.id.lower().removeprefix("regional."), *_spellings(model.match)}
    return not known.isdisjoint(whole_names(provider, name))


def _spellings(match: MatchLogic) -> Iterator[str]:
    """Names that a clause writes out. A clause that joins conditions, or a pattern, writes out none."""
    for kind in ("equals", "starts_with", "contains", "ends_with"):
        if text := getattr(match, kind, None):
            yield text.lower().strip("-@/")
    for clause in getattr(match, "or_", ()):
        yield from _spellings(clause)


def _is_priced(model: ModelInfo) -> bool:
    entries = [entry.prices for entry in model.prices] if isinstance(model.prices, list) else [model.prices]
    return any(price is not None for entry in entries for price in vars(entry).values())


def _describes(variant: PriceVariant, tier: str) -> bool:
    return len(variant.when) == 1 and any(variant.when.get(key) == tier for key in _TIER_KEYS)
