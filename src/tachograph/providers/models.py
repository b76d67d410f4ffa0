"""Which model a name means, and how it is asked.

A name is `gpt-5`, `anthropic:claude-sonnet-4-5`, `openrouter/qwen/qwen3-max`, or an alias such as `sonnet`. Where it
names no provider, the model's name tells it, or the catalogue of models does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import structs

from tachograph.errors import SettingsError
from tachograph.fold.price_catalogue import bundled
from tachograph.providers.config import HOSTS, NAMES, ModelConfig, version_of
from tachograph.providers.port import ModelPort, Thinking
from tachograph.settings import variables
from tachograph.wire.vendors import served

ALIASES: Mapping[str, str] = {
    "sonnet": "anthropic:claude-sonnet-5-5",
    "opus": "anthropic:claude-opus-5-5",
    "haiku": "anthropic:claude-haiku-5-5",
    "claude": "anthropic:claude-sonnet-5-5",
    "gpt": "openai:gpt-6.1-sol",
    "gpt-mini": "openai:gpt-5.4-mini",
    "gpt-nano": "openai:gpt-5.4-nano",
    "gemini": "google:gemini-3.1-pro-preview",
    "gemini-pro-latest": "google:gemini-3.1-pro-preview",
    "flash": "google:gemini-3.8-flash",
    "grok": "x-ai:grok-4.7",
    "deepseek": "deepseek:deepseek-v4-pro",
    "kimi": "moonshotai:kimi-k3",
}
"""Short names. They move with the makers' newest models, so a program that must not change writes a model out."""

_CONFIG = frozenset(ModelConfig.__struct_fields__) - {"model"}


def model(spec: str, *, keys: Mapping[str, str] | None = None, **config: Any) -> ModelPort:
    """The model of a name; `config` are fields of `ModelConfig`, and `keys` stand for the environment's.

    Nothing is sent, and no library of a provider is loaded, before the model is asked. Raises SettingsError for a
    configuration that cannot work, or when there is no key, MissingExtra without the extra `agents`.
    """
    from tachograph.providers.pydantic_ai import PydanticModel  # noqa: PLC0415 - who asks no model loads no library

    made = config_of(spec, **config)
    names = made.host.keys
    return PydanticModel(made, made.key(variables(names) if keys is None else keys))


def config_of(spec: str, **config: Any) -> ModelConfig:
    """The configuration of a model: provider inferred, temperature out of `params`. Raises SettingsError."""
    for name in config.keys() - _CONFIG:
        raise SettingsError(name, config[name], f"no such setting of a model; there are {', '.join(sorted(_CONFIG))}")
    given = {name: value for name, value in config.items() if value is not None}
    if given.get("base_url") and not given.get("provider"):
        raise SettingsError("base_url", given["base_url"], "it needs provider= as well: who serves a model there")
    provider, name = _resolve(spec, given.get("provider"), moved=bool(given.get("base_url")))
    params = dict(given.get("params") or {})
    temperature = params.pop("temperature", None)
    given.setdefault("temperature", temperature)
    given.setdefault("assume_exists", bool(given.get("base_url")))
    given["api_version"] = version_of(given.get("api_version", "chat"))
    given["thinking"] = _thinking(given.get("thinking"))
    return ModelConfig(**{**given, "model": name, "provider": provider, "params": params})


def _resolve(spec: str, provider: str | None, *, moved: bool) -> tuple[str, str]:
    """(provider, model) of a name."""
    named = None if provider is None else NAMES.get(str(provider).lower(), str(provider).lower())
    if not moved and spec in ALIASES:
        owner, _, target = ALIASES[spec].partition(":")
        if named in (None, owner):
            return owner, target
    for mark in (":", "/"):
        front, found, rest = spec.partition(mark)
        owner = NAMES.get(front.lower(), front.lower())
        if found and rest and owner in HOSTS and (named is None or (mark == ":" and named == owner)):
            return owner, rest
    if named is not None:
        return named, spec
    return _owner(spec), spec


def _owner(name: str) -> str:
    inferred = served(name).provider
    if inferred in HOSTS:
        return inferred
    found = bundled().find("", name)
    if found is not None and found.owner in HOSTS:
        return found.owner
    raise SettingsError("model", name, "its provider cannot be told from its name: write provider:model, or provider=")


def _thinking(value: Any) -> Thinking | None:
    if value is None or isinstance(value, Thinking):
        return value
    if isinstance(value, str):
        return Thinking(effort=value)
    if isinstance(value, int) and not isinstance(value, bool):
        return Thinking(budget=value)
    if isinstance(value, Mapping) and value.keys() <= set(Thinking.__struct_fields__):
        return structs.replace(Thinking(), **value)
    raise SettingsError("thinking", value, "an effort (low, medium, high), a budget of tokens, or {effort, budget}")
