"""What the catalogue knows of a model, and what it suggests for one it does not know."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.providers.catalogue import context_window, known, suggestions, warning_of
from tachograph.providers.models import config_of

LOCAL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("spec", "config", "window"),
    [
        ("gpt-5", {}, 400_000),
        ("gpt-5", {"context_window": 9}, 9),
        ("claude-sonnet-4-5-20250929", {}, 200_000),
        ("claude-sonnet-4-5", {"provider": "openai", "base_url": LOCAL}, 200_000),
        ("ollama:nobody-knows", {}, None),
    ],
    ids=["known", "given", "snapshot", "behind a proxy", "unknown"],
)
def test_a_context_window_is_given_known_or_not(spec: str, config: dict[str, Any], window: int | None) -> None:
    """What is configured counts, then the catalogue, wherever the model is served."""
    assert context_window(config_of(spec, **config)) == window


def test_an_unknown_model_is_a_warning_with_suggestions() -> None:
    """One mapping: what was asked for, and up to three models of a similar name."""
    warning = warning_of(config_of("claude-sonet-4-5"))
    assert warning is not None
    assert (warning["model"], warning["provider"]) == ("claude-sonet-4-5", "anthropic")
    assert warning["suggestions"][0] == {
        "id": "claude-sonnet-4-5", "name": "Claude Sonnet 4.5", "context_window": 200_000,
    }  # fmt: skip
    assert "similar: claude-sonnet-4-5" in warning["message"]
    assert warning_of(config_of("gpt-5")) is None
    assert known(config_of("gpt-5")) is not None


def test_part_of_a_name_suggests_whole_ones() -> None:
    """Marks between letters do not count, and the provider's own models come first."""
    found = [item["id"] for item in suggestions("anthropic", "Sonnet.4_5")]
    assert found[0] == "claude-sonnet-4-5"
    assert suggestions("openai", "zzzzqqqq") == []
    assert suggestions("openai", "-.") == []


@given(st.text(max_size=30))
def test_there_are_never_more_than_three_suggestions(name: str) -> None:
    """For any name, each of them with its three fields."""
    found = suggestions("openai", name)
    assert len(found) <= 3
    assert all(item.keys() == {"id", "name", "context_window"} for item in found)
