from __future__ import annotations

import subprocess
import sys

import pytest

from tachograph.fold.price_catalogue import bundled
from tachograph.fold.price_names import is_fine_tune
from tachograph.fold.price_rates import UNKNOWN_TIER, Row, constant
from tests.house.source import environment

NOVEMBER, SEPTEMBER = 1_793_620_800_000_000_000, 1_789_992_000_000_000_000
"""2026: OpenAI's tiers are listed from October on."""


def priced_by(provider: str, model: str) -> str:
    """owner/model of the list that a name leads to; empty when there is none."""
    found = bundled().find(provider, model)
    return f"{found.owner}/{found.model.id}" if found else ""


@pytest.mark.parametrize(
    ("provider", "model", "row"),
    [
        # exact names, and spellings that the list writes out
        ("openai", "gpt-4", "openai/gpt-4"),
        ("openai", "GPT-4-0613", "openai/gpt-4"),
        ("openai", "gpt-4-turbo", "openai/gpt-4-turbo"),
        ("openai", "gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("anthropic", "claude-3-opus", "anthropic/claude-3-opus-latest"),
        # snapshots: the list agrees that the dated name is that model
        ("openai", "gpt-5.2-20251211", "openai/gpt-5.2"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-1-20250805", "anthropic/claude-opus-4-1"),
        ("anthropic", "claude-3-5-haiku-20241022", "anthropic/claude-3-5-haiku-latest"),
        ("google", "gemini-2.0-flash-001", "google/gemini-2.0-flash"),
        # … and where it lists its snapshots one by one, another date is another model
        ("openai", "gpt-4o-2030-01-01", ""),
        # a beginning is not a name
        ("openai", "gpt-4-turbo-acme", ""),
        ("openai", "gpt-5-nano-acme", ""),
        ("anthropic", "claude-sonnet-4-5-thinking", ""),
        ("google", "gemini-3-pro", ""),
        ("google", "gemini-1.5-flash-8b", ""),
        ("anthropic", "", ""),
        # what its user trained has no list price
        ("openai", "ft:gpt-4.1-2025-04-14:acme::x", ""),
        ("openai", "ft:gpt-4o-2024-08-06", ""),
        ("openai", "ft:gpt-4o", ""),
        # the provider, or its path, in front
        ("openai", "openai/gpt-4.1", "openai/gpt-4.1"),
        ("openrouter", "openai/gpt-4.1", "openrouter/openai/gpt-4.1"),
        ("google", "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("openai", "anthropic/claude-sonnet-4-5", ""),
        ("perplexity", "perplexity/sonar", "perplexity/perplexity/sonar"),
        ("perplexity", "sonar", "perplexity/sonar"),
        # who sells another's models at that one's prices
        ("azure", "gpt-4.1", "openai/gpt-4.1"),
        ("azure", "o1", "azure/o1"),
        ("google", "claude-sonnet-4-5@20250929", "google/claude-sonnet-4-5"),
        # Bedrock: vendor, version, place
        ("aws", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("aws", "us.amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        (
            "aws",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/regional.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "aws",
            "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "aws/global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        ),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
            "aws/amazon.nova-pro-v1:0",
        ),
        ("aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/x1y2", ""),
        # no provider: the name says it, or the maker is meant, or only one sells it
        ("", "openai/gpt-4.1", "openai/gpt-4.1"),
        ("", "anthropic/claude-3-opus-20240229", "anthropic/claude-3-opus-latest"),
        ("", "meta-llama/llama-4-scout", "openrouter/meta-llama/llama-4-scout"),
        ("", "gpt-4o", "openai/gpt-4o"),
        ("", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("", "amazon.nova-pro-v1:0", "aws/amazon.nova-pro-v1:0"),
        ("", "text-embedding-3-small", ""),
        ("", "llama3", ""),
        # a provider that the list does not know sells nothing that it knows
        ("acme", "gpt-4o", ""),
        ("", "acme/gpt-4o", ""),
    ],
)
def test_a_name_is_a_whole_name_or_none(provider: str, model: str, row: str) -> None:
    """A model is found by its name, a written-out spelling or a snapshot that the list confirms, never by a part."""
    assert priced_by(provider, model) == row


def test_every_model_of_the_list_is_found_by_its_id() -> None:
    """Each id leads to its own model, and only fine-tunes lead nowhere."""
    lost = {
        model.id
        for provider in bundled().providers.values()
        for model in provider.models
        if (found := bundled().find(provider.id, model.id)) is None or found.model is not model
    }
    assert {model for model in lost if not is_fine_tune(model.lower())} == set()


def test_every_entry_of_the_list_can_be_read() -> None:
    """What has no row has no price in the list either: no entry is dropped because it is not understood."""
    for provider in bundled().providers.values():
        for model in provider.models:
            found = bundled().find(provider.id, model.id)
            if found is None:
                continue
            entries = [entry.prices for entry in model.prices] if isinstance(model.prices, list) else [model.prices]
            rows = [row for day in bundled().schedule(found, "").days for row in day.rows]
            listed = any(price is not None for entry in entries for price in vars(entry).values())
            assert listed == any(isinstance(row, Row) for row in rows), found
            assert listed == all(isinstance(row, Row) for row in rows), found


@pytest.mark.parametrize(
    ("provider", "model", "tier", "price_id"),
    [
        ("openai", "gpt-5", "", "openai/gpt-5@genai-prices-"),
        ("openai", "gpt-5", "flex", "openai/gpt-5/flex@genai-prices-"),
        ("openai", "gpt-5", "batch", "openai/gpt-5/batch@genai-prices-"),
        ("anthropic", "claude-opus-4-8", "fast", "anthropic/claude-opus-4-8/fast@genai-prices-"),
        ("openai", "gpt-5", "scale", ""),
        ("azure", "gpt-5", "flex", ""),  # OpenAI's tiers are not Azure's
        ("openai", "gpt-4", "flex", ""),
    ],
)
def test_a_tier_is_priced_where_the_list_prices_it(provider: str, model: str, tier: str, price_id: str) -> None:
    """A service tier has a row of its own where one is listed; elsewhere the tier is unknown, not the usual one."""
    found = bundled().find(provider, model)
    assert found is not None
    row = bundled().schedule(found, tier).at(NOVEMBER)
    assert row == UNKNOWN_TIER if not price_id else isinstance(row, Row) and row.price_id.startswith(price_id)


def test_a_tier_is_unknown_before_its_price_is_listed() -> None:
    """A tier is priced from the day on which the list begins to; one that nobody sells never is."""
    found = bundled().find("openai", "gpt-5")
    assert found is not None
    assert bundled().schedule(found, "flex").at(SEPTEMBER) == UNKNOWN_TIER
    assert bundled().schedule(found, "gold") == constant(UNKNOWN_TIER)


def test_nothing_is_loaded_before_a_listed_price_is_asked_for() -> None:
    """Importing the pricing and pricing by an override leave genai-prices unloaded; a listed model loads it."""
    program = """
import sys
from tachograph.events.usage import Usage
from tachograph.fold.cost import price, price_book
book = price_book(per_thousand={"gpt-4": {"input": 0.03, "output": 0.06}})
used = Usage(input_uncached=1500, output=500, basis="provider")
print(price(book, "openai", "gpt-4", used, 0).total, "genai_prices" in sys.modules)
print(price(book, "openai", "gpt-4-turbo", used, 0).total, "genai_prices" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], env=environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("75000000 False\n30000000 True\n", "")
