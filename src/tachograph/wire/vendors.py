"""Whose model is this? The provider behind a model name, where a record does not tell.

Ids of providers are those of the price list. Routers put their name in front (`litellm_proxy/`, `bedrock/`): what
stands behind the prefix is the model, and the prefix tells the provider unless it only forwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

UNKNOWN = "unknown"
"""A model, or a provider, that nobody named."""

_ROUTES: Mapping[str, str] = {
    "anthropic": "anthropic", "azure": "azure", "azure_ai": "azure", "bedrock": "aws", "cerebras": "cerebras",
    "cohere": "cohere", "deepseek": "deepseek", "fireworks_ai": "fireworks", "gemini": "google", "google": "google",
    "groq": "groq", "mistral": "mistral", "moonshot": "moonshotai", "ollama": "ollama", "openai": "openai",
    "openrouter": "openrouter", "perplexity": "perplexity", "together_ai": "together", "vertex_ai": "google",
    "xai": "x-ai",
}  # fmt: skip
_FORWARDS = frozenset({"litellm_proxy", "proxy", "openhands"})
_NAMES: tuple[tuple[str, str], ...] = (
    ("claude", "anthropic"), ("gpt-oss", UNKNOWN), ("gpt", "openai"), ("chatgpt", "openai"), ("o1", "openai"),
    ("o3", "openai"), ("o4", "openai"), ("codex", "openai"), ("ft:gpt", "openai"), ("text-embedding", "openai"),
    ("gemini", "google"), ("deepseek", "deepseek"), ("grok", "x-ai"), ("mistral", "mistral"), ("magistral", "mistral"),
    ("codestral", "mistral"), ("devstral", "mistral"), ("ministral", "mistral"), ("command", "cohere"),
    ("kimi", "moonshotai"), ("sonar", "perplexity"), ("anthropic.", "aws"), ("us.anthropic.", "aws"),
    ("eu.anthropic.", "aws"), ("amazon.", "aws"), ("meta.", "aws"),
)  # fmt: skip


class Served(NamedTuple):
    """A model and who serves it."""

    provider: str
    model: str


def served(name: str | None) -> Served:
    """Provider and model of a name as routers and benchmarks write it; `unknown` for what it does not tell."""
    if not name:
        return Served(UNKNOWN, UNKNOWN)
    route, slash, rest = name.partition("/")
    if slash and rest and route in _FORWARDS:
        return served(rest)
    if slash and rest and route in _ROUTES:
        return Served(_ROUTES[route], rest)
    low = name.lower()
    return Served(next((provider for start, provider in _NAMES if low.startswith(start)), UNKNOWN), name)
