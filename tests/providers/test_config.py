"""The configuration of a model: what is refused and how it is said, where the key is from, and that it stays hidden."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import SettingsError
from tachograph.fold.price_catalogue import bundled
from tachograph.providers.config import HOSTS, NAMES, NO_KEY, ModelConfig, version_of


def config(**changes: Any) -> ModelConfig:
    """A model of OpenAI, with changes."""
    return ModelConfig(**{"model": "gpt-5", "provider": "openai", **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": ""}, "model=''.*a model's name"),
        ({"provider": "acme"}, "provider='acme'.*one of openai, anthropic"),
        ({"api_version": "v2"}, "api_version='v2'.*chat or responses"),
        ({"provider": "anthropic", "api_version": "responses"}, "api_version='responses'.*anthropic does not speak it"),
        ({"provider": "groq", "base_url": "http://localhost/v1"}, "base_url=.*'groq' takes none; these do: openai"),
        ({"base_url": "localhost:8000"}, "base_url='localhost:8000'.*begins with http"),
        ({"provider": "gpustack"}, "base_url=''.*'gpustack' has no address"),
        ({"request_timeout": 0}, "request_timeout=0.*more than 0"),
        ({"silence": -1.0}, "silence=-1.0.*more than 0"),
        ({"context_window": 0}, "context_window=0.*more than 0"),
    ],
    ids=[
        "model",
        "provider",
        "version",
        "not spoken",
        "not movable",
        "no url",
        "no address",
        "time",
        "silence",
        "window",
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    """The error names the field, its value and what it should be."""
    with pytest.raises(SettingsError, match=said):
        config(**changes)


MOVABLE = {
    "openai", "deepseek", "perplexity", "mistral", "openrouter", "anthropic", "ollama", "gpustack", "google", "vllm",
    "litellm", "compatible",
}  # fmt: skip


@pytest.mark.parametrize("provider", HOSTS)
def test_a_base_url_is_taken_by_those_who_may_have_one(provider: str) -> None:
    """The others refuse it."""
    if provider in MOVABLE:
        assert config(provider=provider, base_url="http://x.test/v1").url == "http://x.test/v1"
    else:
        with pytest.raises(SettingsError, match=f"provider '{provider}' takes none"):
            config(provider=provider, base_url="http://x.test/v1")


@pytest.mark.parametrize(
    "url", ["http://localhost:1/v1", "http://127.0.0.1", "http://0.0.0.0:9/", "http://[::1]:8080/v1"]
)
def test_no_key_is_needed_on_this_machine(url: str) -> None:
    """There is a stand-in for clients that insist on one; a key that is given counts."""
    assert config(base_url=url).key({}) == NO_KEY
    assert config(base_url=url, api_key="mine").key({"OPENAI_API_KEY": "env"}) == "mine"
    assert config(base_url=url).key({"OPENAI_API_KEY": "env"}) == "env"


def test_a_missing_key_names_its_variable() -> None:
    """Anywhere else a key is needed, and the error says which variable holds it."""
    with pytest.raises(SettingsError, match=r"api_key=''.*openai needs a key: set OPENAI_API_KEY, or give api_key"):
        config().key({})
    with pytest.raises(SettingsError, match="set GOOGLE_API_KEY or GEMINI_API_KEY"):
        config(provider="google").key({"OPENAI_API_KEY": "x"})
    assert config(provider="google").key({"GEMINI_API_KEY": "b"}) == "b"
    with pytest.raises(SettingsError, match="needs a key"):
        config(base_url="https://proxy.test/v1").key({})
    with pytest.raises(SettingsError, match="needs a key"):
        config(base_url="https://localhost.evil.test/v1").key({})


@given(st.text(min_size=8, alphabet=st.characters(min_codepoint=0x2700, max_codepoint=0x27BF)))
def test_a_secret_is_never_shown(secret: str) -> None:
    """Neither the key nor what stands in headers, in any form that a person gets to see."""
    made = config(api_key=secret, headers={"authorization": secret})
    assert secret not in repr(made)
    assert secret not in str(made)
    assert secret not in repr(list(made.__rich_repr__()))
    assert "authorization" in repr(made)


def test_the_api_follows_from_provider_and_version() -> None:
    """Chat or responses of those who speak OpenAI's API; the others have their own."""
    assert [config(provider=name).api for name in ("openai", "anthropic", "google", "groq")] == [
        "chat", "anthropic", "google", "chat",
    ]  # fmt: skip
    assert config(api_version="responses").api == "responses"


def test_versions_have_short_and_long_names() -> None:
    """As OpenAI's paths are called too."""
    names = ["chat", "v1/chat/completions", "responses", "v1/responses"]
    assert [version_of(name) for name in names] == ["chat", "chat", "responses", "responses"]
    with pytest.raises(SettingsError, match="api_version='v1'"):
        version_of("v1")


def test_every_host_is_whole() -> None:
    """An address unless one must be given, a variable for the key; priced ones have the price list's name."""
    for name, host in HOSTS.items():
        assert host.keys, name
        assert host.base_url or host.movable, name
    assert set(NAMES.values()) <= set(HOSTS)
    assert not set(NAMES) & set(HOSTS)
    unpriced = {name for name in HOSTS if name not in bundled().providers}
    assert unpriced == {"alibaba", "huggingface", "ollama", "gpustack", "vllm", "litellm", "compatible"}


def test_the_guide_names_every_provider() -> None:
    """Its table has each with its variables, and whether it may be elsewhere."""
    lines = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8").splitlines()
    rows = {
        line.split("`")[1]: line
        for line in lines
        if (line.startswith("| `") and "_API_KEY`" in line) or "HF_TOKEN" in line
    }
    assert rows.keys() == HOSTS.keys()
    for name, host in HOSTS.items():
        *_, keys, apis, movable, _ = rows[name].split("|")
        assert all(f"`{key}`" in keys for key in host.keys)
        assert ("responses" in apis) == host.responses
        assert (movable.strip() != "no") == host.movable
