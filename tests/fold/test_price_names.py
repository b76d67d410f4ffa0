from __future__ import annotations

import pytest

from tachograph.fold.price_names import is_fine_tune, plain_names, provider_key, tier_key, whole_names


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ("openai", "openai"),
        ("OpenAI ", "openai"),
        ("openai.responses", "openai"),
        ("az.ai.openai", "azure"),
        ("azure_openai", "azure"),
        ("aws.bedrock", "aws"),
        ("gcp.vertex_ai", "google"),
        ("gemini", "google"),
        ("xai", "x-ai"),
        ("acme", "acme"),
        ("unknown", ""),
        ("litellm", ""),
        ("", ""),
    ],
)
def test_what_instrumentations_call_a_provider(said: str, key: str) -> None:
    """Each provider has one key, whatever it is called; one that is not in the list keeps its own name."""
    assert provider_key(said) == key


@pytest.mark.parametrize(
    ("said", "key"),
    [
        (None, ""),
        ("default", ""),
        ("STANDARD", ""),
        ("auto", ""),
        ("ON_DEMAND", ""),
        ("flex", "flex"),
        ("Batch", "batch"),
    ],
)
def test_usual_tiers_are_no_tier(said: str | None, key: str) -> None:
    """The tiers billed at the list price have an empty key; others keep their name."""
    assert tier_key(said) == key


@pytest.mark.parametrize(
    ("provider", "model", "names"),
    [
        ("openai", "GPT-4.1", ("gpt-4.1",)),
        ("openai", "openai/gpt-4.1", ("openai/gpt-4.1", "gpt-4.1")),
        ("openai", "anthropic/claude-x", ("anthropic/claude-x",)),
        ("google", "models/gemini-2.5-pro", ("models/gemini-2.5-pro", "gemini-2.5-pro")),
        (
            "google",
            "projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929",
            (
                "projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4-5@20250929",
                "claude-sonnet-4-5@20250929",
            ),
        ),
        ("aws", "bedrock/amazon.nova-pro-v1:0", ("bedrock/amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0")),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
            (
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-pro-v1:0",
                "us.amazon.nova-pro-v1:0",
            ),
        ),
        ("", "openai/gpt-4.1", ("openai/gpt-4.1",)),
        ("x-ai", "x-ai/", ("x-ai/",)),
    ],
)
def test_the_provider_in_front_is_no_part_of_the_name(provider: str, model: str, names: tuple[str, ...]) -> None:
    """A name is tried as it was recorded, then without the provider or path in front of it."""
    assert plain_names(provider, model) == names


@pytest.mark.parametrize(
    ("provider", "name", "wholes"),
    [
        ("openai", "gpt-4", {"gpt-4"}),
        ("openai", "gpt-4-turbo", {"gpt-4-turbo"}),
        ("openai", "gpt-4-0613", {"gpt-4-0613"}),
        ("openai", "gpt-4o-2024-08-06", {"gpt-4o-2024-08-06", "gpt-4o"}),
        ("openai", "gpt-5.2-20251211", {"gpt-5.2-20251211", "gpt-5.2"}),
        ("openai", "gpt-4o-2024-13-06", {"gpt-4o-2024-13-06"}),
        ("openai", "gpt-4o-20240806x", {"gpt-4o-20240806x"}),
        ("anthropic", "claude-sonnet-4-5@20250929", {"claude-sonnet-4-5@20250929", "claude-sonnet-4-5"}),
        ("anthropic", "claude-3-opus-latest", {"claude-3-opus-latest", "claude-3-opus"}),
        ("anthropic", "claude-3-opus-v1:0", {"claude-3-opus-v1:0"}),
        ("google", "gemini-2.0-flash-001", {"gemini-2.0-flash-001", "gemini-2.0-flash"}),
        ("google", "gemini-1.5-flash-8b", {"gemini-1.5-flash-8b"}),
        (
            "aws",
            "us.anthropic.claude-x-20250929-v1:0",
            {
                "us.anthropic.claude-x-20250929-v1:0",
                "us.anthropic.claude-x-20250929",
                "us.anthropic.claude-x",
                "anthropic.claude-x-20250929-v1:0",
                "anthropic.claude-x-20250929",
                "anthropic.claude-x",
            },
        ),
    ],
)
def test_only_the_marks_of_a_snapshot_come_off(provider: str, name: str, wholes: set[str]) -> None:
    """A date, `-latest`, and the provider's own version and place marks may go; other endings are part of the name."""
    assert set(whole_names(provider, name)) == wholes
    assert whole_names(provider, name)[0] == name


@pytest.mark.parametrize(
    ("name", "is_one"),
    [("ft:gpt-4.1-2025-04-14:acme::x", True), ("gpt-4o-mini-2024-07-18.ft-abc", True), ("gpt-4.1", False)],
)
def test_fine_tunes_are_recognised(name: str, is_one: bool) -> None:
    """A name that carries the mark of a fine-tune is one."""
    assert is_fine_tune(name) is is_one
