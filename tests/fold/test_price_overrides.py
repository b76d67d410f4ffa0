from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.fold.price_overrides import Overrides, overrides, read_toml
from tachograph.fold.price_rates import ALWAYS, DAY_NS, UNKNOWN_TIER, Row, constant, rate_of, rates_of

FILE = """
[[price]]
model = "Acme-70B"
provider = "az.ai.openai"
alias = ["acme-70b-fast", "acme"]
input = 0.9
output = 2.70
cache_read = 0.09
cache_write = 1.125

[[price]]
model = "acme-70b"
provider = "azure"
from = 1970-01-11
input = 1
output = 3

[[price]]
model = "acme-70b"
provider = "azure"
tier = "batch"
alias = "acme"
input = 0.45
output = 1.35
"""


def row(price_id: str, **prices: str) -> Row:
    """A row from prices per million."""
    return Row(price_id, rates_of({name: rate_of(Decimal(price), 1_000_000) for name, price in prices.items()}))


def test_a_mapping_per_thousand_and_one_per_million_say_the_same() -> None:
    """Both mappings give the same exact rates, for any provider, at all times, in the usual tier only."""
    thousand = overrides(per_thousand={"gpt-4": {"input": 0.03, "output": 0.06}})
    million = overrides(per_million={"GPT-4 ": {"input": 30, "output": Decimal("60.0")}})
    wanted = constant(row("override:gpt-4", input="30", output="60"))
    for book in (thousand, million):
        assert book.schedule("openai", "gpt-4", "") == wanted
        assert book.schedule("", "Gpt-4", "") == wanted
        assert book.schedule("openai", "gpt-4", "batch") == constant(UNKNOWN_TIER)
        assert book.schedule("openai", "gpt-4-turbo", "") is None
        assert book.schedule("openai", "gpt-4-0613", "") is None


def test_a_file_says_provider_tier_day_and_other_names() -> None:
    """An entry holds for its provider, its tier and from its day; each of its names leads to it."""
    book = overrides(toml=read_toml(FILE))
    first = row("override:azure/acme-70b", input="0.9", output="2.7", cache_read="0.09", cache_write="1.125")
    later = row("override:azure/acme-70b@1970-01-11", input="1", output="3")
    batch = row("override:azure/acme-70b/batch", input="0.45", output="1.35")
    assert book.schedule("azure", "acme-70b", "") == constant(first).then(constant(later, 10 * DAY_NS))
    assert book.schedule("azure", "ACME-70b", "batch") == constant(batch)
    assert book.schedule("azure", "acme-70b-fast", "") == constant(first)
    assert book.schedule("azure", "acme-70b-fast", "batch") == constant(UNKNOWN_TIER)
    assert book.schedule("azure", "acme", "batch") == constant(batch)
    assert book.schedule("openai", "acme-70b", "") is None
    assert book.schedule("", "acme-70b", "") is None


def test_the_program_replaces_what_the_file_says_of_a_model() -> None:
    """A mapping takes a model over, for every provider; its other names and other models stay as the file has them."""
    book = overrides(toml=read_toml(FILE), per_million={"acme-70b": {"input": 7}})
    assert book.schedule("azure", "acme-70b", "") == constant(row("override:acme-70b", input="7"))
    assert book.schedule("azure", "acme-70b", "batch") == constant(UNKNOWN_TIER)
    assert book.schedule("azure", "acme", "batch") is not None


def test_nothing_said_is_nothing() -> None:
    """No overrides and an empty file are the same."""
    assert overrides() == overrides(toml={}) == overrides(toml={"price": []}) == Overrides()
    assert overrides().schedule("openai", "gpt-4", "") is None
    assert constant(UNKNOWN_TIER).starts == (ALWAYS,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"per_thousand": {"gpt-4": {"inptu": 1}}},
        {"per_thousand": {"gpt-4": {}}},
        {"per_thousand": {"gpt-4": {"input": -1}}},
        {"per_million": {"gpt-4": {"input": float("nan")}}},
        {"per_million": {"gpt-4": {"input": "cheap"}}},
        {"per_million": {"gpt-4": {"input": True}}},
        {"per_million": {"gpt-4": {"input": 1e12}}},
        {"toml": {"prices": []}},
        {"toml": {"price": {"model": "x"}}},
        {"toml": {"price": [{"input": 1}]}},
        {"toml": {"price": ["x"]}},
        {"toml": {"price": [{"model": "x"}]}},
        {"toml": {"price": [{"model": "x", "input": 1, "alias": [1]}]}},
        {"toml": {"price": [{"model": "x", "input": 1, "from": "soon"}]}},
        {"toml": {"price": [{"model": "x", "input": 1, "from": 2026}]}},
        {"toml": {"price": [{"model": "x", "input": 1}, {"model": "y", "alias": "x", "input": 2}]}},
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_used_is_refused(wrong: dict[str, Any]) -> None:
    """A misspelt class, an amount that is none, a file of another shape or two prices at once: a SettingsError."""
    with pytest.raises(SettingsError, match="prices"):
        overrides(**wrong)


def test_a_file_that_is_not_toml_is_refused_with_its_name() -> None:
    """Text that is not TOML raises a SettingsError that names the file and the place."""
    with pytest.raises(SettingsError, match=r"own\.toml.*line 1"):
        read_toml("[[price]\ninput = 1", "own.toml")
