"""Which model, where, and how it is asked: one frozen value, checked when it is made.

A model at a base URL of one's own needs its provider named (the name of a model says nothing about who serves it
there) and is taken to exist. The key comes from the configuration or from the environment variable of the provider,
which only `settings` reads; on this machine no key is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from msgspec import Struct, structs

from tachograph.errors import SettingsError
from tachograph.providers.port import Thinking

Api = Literal["chat", "responses", "anthropic", "google"]
"""The wires."""
Version = Literal["chat", "responses"]
_VERSIONS: Mapping[str, Version] = {
    "chat": "chat", "v1/chat/completions": "chat", "responses": "responses", "v1/responses": "responses",
}  # fmt: skip

LOCAL = frozenset({"localhost", "127.0.0.1", "0.0.0.0", "::1"})  # noqa: S104 - a host that is compared, never bound
"""Hosts that need no key."""
NO_KEY = "no-key"
"""Sent where none is needed and a client insists on one."""


@dataclass(frozen=True, slots=True)
class Host:
    """A provider: where it is, which variable holds its key, and what its API takes."""

    api: Api = "chat"
    base_url: str = ""
    keys: tuple[str, ...] = ()
    """Environment variables, the first that is set counts."""
    movable: bool = False
    """Whether `base_url` may be another."""
    responses: bool = False
    """Whether it also speaks OpenAI's Responses API."""
    max_tokens: str = "max_tokens"
    """Its name for the most tokens of output."""
    system: str = "system"
    """Role of instructions."""
    profile: str = ""
    """Provider of pydantic-ai whose knowledge of models applies; empty: that of OpenAI-compatible ones."""
    dialect: str = "openai.chat"
    """Which usage object it sends (`wire.usage`)."""


HOSTS: Mapping[str, Host] = {
    "openai": Host("chat", "https://api.openai.com/v1", ("OPENAI_API_KEY",), movable=True, responses=True,
                   max_tokens="max_completion_tokens", profile="openai"),
    "anthropic": Host("anthropic", "https://api.anthropic.com", ("ANTHROPIC_API_KEY",), movable=True,
                      dialect="anthropic"),
    "google": Host("google", "https://generativelanguage.googleapis.com", ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
                   movable=True, dialect="gemini"),
    "openrouter": Host("chat", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",), movable=True, responses=True,
                       profile="openrouter"),
    "deepseek": Host("chat", "https://api.deepseek.com", ("DEEPSEEK_API_KEY",), movable=True, responses=True,
                     profile="deepseek"),
    "perplexity": Host("chat", "https://api.perplexity.ai", ("PERPLEXITY_API_KEY",), movable=True, responses=True),
    "mistral": Host("chat", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",), movable=True, responses=True),
    "groq": Host("chat", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",), responses=True),
    "x-ai": Host("chat", "https://api.x.ai/v1", ("XAI_API_KEY",), responses=True),
    "together": Host("chat", "https://api.together.xyz/v1", ("TOGETHER_API_KEY",), profile="together"),
    "fireworks": Host("chat", "https://api.fireworks.ai/inference/v1", ("FIREWORKS_API_KEY",), profile="fireworks"),
    "cerebras": Host("chat", "https://api.cerebras.ai/v1", ("CEREBRAS_API_KEY",), profile="cerebras"),
    "moonshotai": Host("chat", "https://api.moonshot.ai/v1", ("MOONSHOTAI_API_KEY", "MOONSHOT_API_KEY"),
                       profile="moonshotai"),
    "alibaba": Host("chat", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
                    ("ALIBABA_API_KEY", "DASHSCOPE_API_KEY"), profile="alibaba"),
    "zai": Host("chat", "https://api.z.ai/api/paas/v4", ("ZAI_API_KEY",), profile="zai"),
    "huggingface": Host("chat", "https://router.huggingface.co/v1", ("HF_TOKEN",)),
    "ollama": Host("chat", "http://localhost:11434/v1", ("OLLAMA_API_KEY",), movable=True, profile="ollama"),
    "gpustack": Host("chat", "", ("GPUSTACK_API_KEY",), movable=True),
    "vllm": Host("chat", "http://localhost:8000/v1", ("VLLM_API_KEY",), movable=True, profile="vllm"),
    "litellm": Host("chat", "http://localhost:4000", ("LITELLM_API_KEY",), movable=True, responses=True),
    "compatible": Host("chat", "", ("OPENAI_API_KEY",), movable=True, responses=True),
}  # fmt: skip
"""Every provider by name. `compatible` is any other server that speaks OpenAI's API."""

NAMES: Mapping[str, str] = {
    "gemini": "google", "google-gla": "google", "xai": "x-ai", "grok": "x-ai", "moonshot": "moonshotai",
    "openai-chat": "openai", "openai-responses": "openai", "openai-compatible": "compatible", "z-ai": "zai",
    "claude": "anthropic", "dashscope": "alibaba", "qwen": "alibaba", "hf": "huggingface", "lmstudio": "compatible",
}  # fmt: skip
"""Other names of providers."""


class ModelConfig(Struct, frozen=True, kw_only=True):
    """How a model is reached and asked. Made by `models.config`, which fills in what follows from the rest."""

    model: str
    provider: str
    base_url: str = ""
    """Of the provider when empty."""
    api_key: str | None = None
    """Never shown. None: that of the environment."""
    api_version: Version = "chat"
    """Of providers that speak OpenAI's API: chat completions or responses."""
    headers: Mapping[str, str] = {}
    """Sent with every request."""
    temperature: float | None = None
    params: Mapping[str, Any] = {}
    """Fields of the request body, as the provider spells them."""
    thinking: Thinking | None = None
    request_timeout: float = 300.0
    """Seconds for a whole request."""
    first_content: float | None = None
    """Seconds until the first content of a streamed reply."""
    silence: float | None = None
    """Seconds without content, after the first."""
    context_window: int | None = None
    """Tokens, where the catalogue does not know or is wrong."""
    assume_exists: bool = False
    """No warning about a name that the catalogue does not have."""

    def __post_init__(self) -> None:
        """Refuse what cannot work. Raises SettingsError."""
        if not self.model:
            raise SettingsError("model", self.model, "a model's name, such as gpt-5 or anthropic:claude-sonnet-4-5")
        if self.provider not in HOSTS:
            raise SettingsError("provider", self.provider, f"one of {', '.join(HOSTS)}")
        if self.api_version not in get_args(Version):
            raise SettingsError("api_version", self.api_version, "chat or responses")
        if self.api_version == "responses" and not self.host.responses:
            speakers = ", ".join(name for name, host in HOSTS.items() if host.responses)
            raise SettingsError("api_version", "responses", f"{self.provider} does not speak it; {speakers} do")
        if self.base_url and not self.host.movable:
            movable = ", ".join(name for name, host in HOSTS.items() if host.movable)
            raise SettingsError(
                "base_url", self.base_url, f"provider {self.provider!r} takes none; these do: {movable}"
            )
        if self.base_url and urlsplit(self.base_url).scheme not in ("http", "https"):
            raise SettingsError("base_url", self.base_url, "a URL that begins with http:// or https://")
        if not self.base_url and not self.host.base_url:
            raise SettingsError("base_url", "", f"provider {self.provider!r} has no address of its own: name one")
        for name in ("request_timeout", "first_content", "silence", "context_window"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise SettingsError(name, value, "more than 0")

    def __rich_repr__(self) -> Any:
        """Its fields, without the key and without what headers and parameters say."""
        for name, value in structs.asdict(self).items():
            if name == "api_key":
                yield name, None if value is None else "…"
            elif name == "headers":
                yield name, dict.fromkeys(value, "…")
            else:
                yield name, value

    def __repr__(self) -> str:
        """The same on one line."""
        return f"ModelConfig({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    @property
    def host(self) -> Host:
        """What is known of its provider."""
        return HOSTS[self.provider]

    @property
    def url(self) -> str:
        """Where it is asked."""
        return self.base_url or self.host.base_url

    @property
    def api(self) -> Api:
        """The wire it is asked on."""
        return "responses" if self.api_version == "responses" else self.host.api

    @property
    def is_local(self) -> bool:
        """Whether it runs on this machine, where no key is needed."""
        return urlsplit(self.url).hostname in LOCAL

    def key(self, keys: Mapping[str, str]) -> str:
        """Its key, from itself or from `keys` (environment variable → value). Raises SettingsError without one."""
        found = self.api_key or next((keys[name] for name in self.host.keys if keys.get(name)), "")
        if found or self.is_local:
            return found or NO_KEY
        variable = " or ".join(self.host.keys)
        raise SettingsError("api_key", "", f"{self.provider} needs a key: set {variable}, or give api_key")


def version_of(text: str) -> Version:
    """The API that a text names: chat, responses, v1/chat/completions, v1/responses. Raises SettingsError."""
    if text not in _VERSIONS:
        raise SettingsError("api_version", text, "chat (v1/chat/completions) or responses (v1/responses)")
    return _VERSIONS[text]


_USUAL = ModelConfig(model="unknown", provider="openai")


def patience(port: object) -> ModelConfig:
    """How long a model is waited for, as it is configured; the shipped figures for one without a configuration."""
    config = getattr(port, "config", None)
    return config if isinstance(config, ModelConfig) else _USUAL
