"""Whose model is meant, and when two names are the same name.

A model is known by its exact name. What may stand around a name is a closed list: the provider in front (`openai/…`,
`models/…`), and behind it the marks of one snapshot of that model (a date, `-latest`, Bedrock's `-v1:0`). Anything else
makes another model: `gpt-4-turbo` is not `gpt-4`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        alias: provider
        for provider, aliases in {
            "": "unknown litellm",
            "anthropic": "anthropic.messages",
            "aws": "amazon amazon-bedrock amazon_bedrock aws.bedrock aws_bedrock bedrock bedrock_converse",
            "azure": "az.ai.inference az.ai.openai azure-openai azure.ai.inference azure.ai.openai azure_ai "
            "azure_openai",
            "cohere": "cohere_chat",
            "fireworks": "fireworks-ai fireworks_ai",
            "github-copilot": "copilot github_copilot",
            "google": "gcp.gemini gcp.gen_ai gcp.vertex_ai gemini google-ai-studio google-genai google-gla "
            "google-vertex google.generative-ai google.vertex google_genai google_vertexai vertex vertex_ai vertexai",
            "mistral": "mistral-ai mistral_ai mistralai",
            "moonshotai": "moonshot moonshot_ai",
            "openai": "openai-chat openai-responses openai.chat openai.responses openai_chat openai_responses",
            "perplexity": "perplexity_ai",
            "together": "together-ai together_ai togetherai",
            "x-ai": "x_ai xai",
            "zai": "z-ai z.ai",
        }.items()
        for alias in aliases.split()
    }
)
"""What instrumentations call a provider → its id in the list. LiteLLM is none: its model names say whose they are."""

BASE_TIERS = frozenset({"default", "standard", "standard_only", "auto", "on_demand"})
"""Service tiers billed at the list price, like no tier at all."""

_MONTH_DAY = r"(?:0[1-9]|1[0-2]){}(?:0[1-9]|[12]\d|3[01])"
_SNAPSHOT = re.compile(rf"(?:[-@]20\d\d{_MONTH_DAY.format('')}|-20\d\d-{_MONTH_DAY.format('-')}|-latest)$")
_VERSIONS: Mapping[str, re.Pattern[str]] = {
    "aws": re.compile(r"-v\d+(?::\d+)?$"),
    "google": re.compile(r"-\d{3}$"),
}
_PLACES: Mapping[str, re.Pattern[str]] = {
    "aws": re.compile(r"^(?:us|us-gov|eu|apac|au|ca|in|jp)\."),
}
_PATHS: Mapping[str, re.Pattern[str]] = {
    "aws": re.compile(r"^arn:aws[a-z-]*:bedrock:[^/]*:(?:foundation-model|inference-profile)/"),
    "google": re.compile(r"^(?:projects/[^/]+/locations/[^/]+/)?(?:publishers/[^/]+/)?models/"),
}


def provider_key(provider: str) -> str:
    """The catalogue's id of a provider; empty when none is named."""
    key = provider.strip().lower()
    return PROVIDERS.get(key, key)


def tier_key(tier: str | None) -> str:
    """A service tier as price lists name it; empty for the tiers billed at the list price."""
    key = (tier or "").strip().lower()
    return "" if key in BASE_TIERS else key


def plain_names(provider: str, model: str) -> tuple[str, ...]:
    """A model's name in lower case: as it was recorded, then without the provider in front of it."""
    name = model.strip().lower()
    owner, _, rest = name.partition("/")
    bare = rest if rest and provider and provider_key(owner) == provider else name
    if path := _PATHS.get(provider):
        bare = path.sub("", bare)
    return (name,) if bare == name else (name, bare)


def is_fine_tune(name: str) -> bool:
    """Whether a name says that the model was trained by its user: no list knows what that costs."""
    return name.startswith("ft:") or ".ft-" in name


def whole_names(provider: str, name: str) -> tuple[str, ...]:
    """The name itself, then the names of the models it may be one snapshot of."""
    names = [name]
    for cut in (_VERSIONS.get(provider), _SNAPSHOT, _PLACES.get(provider)):
        if cut is not None:
            names += [shorter for known in names if (shorter := cut.sub("", known)) != known]
    return tuple(names)
