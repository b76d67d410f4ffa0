"""Names of models: aliases, who serves them, and how their settings are written."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph.errors import SettingsError
from tachograph.fold.price_catalogue import bundled
from tachograph.providers.catalogue import warning_of
from tachograph.providers.models import ALIASES, config_of, model
from tachograph.providers.port import Thinking

LOCAL = "http://localhost:8000/v1"


@pytest.mark.parametrize(
    ("spec", "config", "expected"),
    [
        ("gpt-5", {}, ("openai", "gpt-5")),
        ("claude-sonnet-4-5", {}, ("anthropic", "claude-sonnet-4-5")),
        ("gemini-2.5-flash", {}, ("google", "gemini-2.5-flash")),
        ("grok-4.7", {}, ("x-ai", "grok-4.7")),
        ("mistral-large-latest", {}, ("mistral", "mistral-large-latest")),
        ("anthropic:claude-sonnet-4-5", {}, ("anthropic", "claude-sonnet-4-5")),
        ("gemini:gemini-2.5-pro", {}, ("google", "gemini-2.5-pro")),
        ("openai/gpt-5", {}, ("openai", "gpt-5")),
        ("openrouter/qwen/qwen3-max", {}, ("openrouter", "qwen/qwen3-max")),
        ("openrouter:anthropic/claude-sonnet-4.5", {}, ("openrouter", "anthropic/claude-sonnet-4.5")),
        ("anthropic/claude-sonnet-4.5", {"provider": "openrouter"}, ("openrouter", "anthropic/claude-sonnet-4.5")),
        ("ollama:llama3.2:3b", {}, ("ollama", "llama3.2:3b")),
        ("llama3.2:3b", {"provider": "ollama"}, ("ollama", "llama3.2:3b")),
        ("openai:gpt-5", {"provider": "openai"}, ("openai", "gpt-5")),
        ("sonnet", {"provider": "openai", "base_url": LOCAL}, ("openai", "sonnet")),
        ("sonnet", {"provider": "openrouter"}, ("openrouter", "sonnet")),
        ("gpt-5", {"provider": "Gemini"}, ("google", "gpt-5")),
    ],
)
def test_a_name_tells_provider_and_model(spec: str, config: dict[str, Any], expected: tuple[str, str]) -> None:
    """Written out, by a prefix, by the model's own name, or by `provider`, which counts most."""
    made = config_of(spec, **config)
    assert (made.provider, made.model) == expected


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_means_a_model_that_exists(alias: str) -> None:
    """Each short name is a model that its maker sells."""
    made = config_of(alias)
    assert f"{made.provider}:{made.model}" == ALIASES[alias]
    assert bundled().find(made.provider, made.model) is not None
    assert warning_of(made) is None


def test_a_name_that_tells_no_provider_is_refused() -> None:
    """The error says how to name one."""
    with pytest.raises(SettingsError, match=r"model='llama3\.2'.*write provider:model, or provider="):
        config_of("llama3.2")


def test_a_base_url_needs_its_provider() -> None:
    """Who serves a model at an address of one's own, its name does not tell; such a model is taken to exist."""
    with pytest.raises(SettingsError, match=r"base_url='http://localhost:8000/v1'.*needs provider= as well"):
        config_of("gpt-5", base_url=LOCAL)
    made = config_of("no-such-model", base_url=LOCAL, provider="openai")
    assert (made.assume_exists, warning_of(made)) == (True, None)
    assert warning_of(config_of("no-such-model", base_url=LOCAL, provider="openai", assume_exists=False)) is not None


def test_temperature_is_no_mere_parameter() -> None:
    """It is taken out of `params`, and a temperature of its own counts more."""
    made = config_of("gpt-5", params={"temperature": 0.5, "top_k": 3})
    assert (made.temperature, made.params) == (0.5, {"top_k": 3})
    assert config_of("gpt-5", params={"temperature": 0.5}, temperature=0.0).temperature == 0.0


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("low", Thinking("low")),
        (2048, Thinking(budget=2048)),
        ({"effort": "high", "budget": 9}, Thinking("high", 9)),
        (Thinking("x"), Thinking("x")),
        (None, None),
    ],
    ids=["effort", "budget", "both", "value", "none"],
)
def test_thinking_is_said_in_several_ways(given_: Any, expected: Thinking | None) -> None:
    """An effort, a budget of tokens, both, or the value itself."""
    assert config_of("gpt-5", thinking=given_).thinking == expected


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"temprature": 1}, "temprature=1.*no such setting of a model; there are api_key"),
        ({"thinking": {"much": True}}, "thinking=.*an effort"),
        ({"thinking": True}, "thinking=True"),
        ({"api_version": "v3"}, "api_version='v3'"),
    ],
    ids=["name", "thinking", "truth", "version"],
)
def test_a_setting_that_is_none_is_refused(config: dict[str, Any], said: str) -> None:
    """Misspelt names and values that mean nothing."""
    with pytest.raises(SettingsError, match=said):
        config_of("gpt-5", **config)


def test_a_model_takes_its_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider's own variable, and no other."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a")
    with pytest.raises(SettingsError, match="set OPENAI_API_KEY"):
        model("gpt-5")
    monkeypatch.setenv("OPENAI_API_KEY", "b")
    assert (model("gpt-5").provider, model("sonnet").model) == ("openai", "claude-sonnet-5-5")
