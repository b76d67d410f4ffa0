"""What is known of models: the context window, whether a name is known at all, and what resembles one that is not.

It stands in the price list that comes with genai-prices, read when somebody first asks, never fetched. A model that is
not in it is used all the same.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tachograph.fold.price_catalogue import Found, bundled
from tachograph.providers.config import ModelConfig

MOST_SUGGESTIONS = 3
_MARKS = re.compile(r"[.\-_/: ]")
_CLOSE = 0.75
"""How alike two names must be, of 1."""


def context_window(config: ModelConfig) -> int | None:
    """Tokens that a model takes in and gives out together: as configured, else as the catalogue says, else None."""
    if config.context_window is not None:
        return config.context_window
    found = known(config)
    return None if found is None else found.model.context_window


def known(config: ModelConfig) -> Found | None:
    """The model's entry in the catalogue, at its provider or, for a proxy, at its maker."""
    listed = bundled()
    at_provider = listed.find(config.provider, config.model) if config.provider in listed.providers else None
    return at_provider or listed.find("", config.model)


def warning_of(config: ModelConfig) -> Mapping[str, Any] | None:
    """What is doubtful about a model's name: `{model, provider, message, suggestions}`. None when nothing is.

    `suggestions` are up to three of `{id, name, context_window}`.
    """
    if config.assume_exists or known(config) is not None:
        return None
    found = suggestions(config.provider, config.model)
    similar = ", ".join(item["id"] for item in found)
    said = f"the catalogue of models has no {config.model!r} of {config.provider}"
    return {
        "model": config.model,
        "provider": config.provider,
        "message": f"{said}; similar: {similar}" if similar else said,
        "suggestions": found,
    }


def suggestions(provider: str, name: str) -> list[dict[str, Any]]:
    """Up to three models that are called similarly, those of the provider first: `{id, name, context_window}`."""
    wanted = _plain(name)
    found: dict[str, dict[str, Any]] = {}
    if not wanted:
        return []
    for ours in (True, False):
        models = [item for owner, item in _all_models() if (owner == provider) is ours]
        plain = {_plain(item.id): item for item in reversed(models)}
        inside = [item for item in models if wanted in _plain(item.id) or wanted in _plain(item.name or "")]
        close = [plain[key] for key in difflib.get_close_matches(wanted, plain, MOST_SUGGESTIONS, _CLOSE)]
        for item in (*inside, *close):
            found.setdefault(item.id, {"id": item.id, "name": item.name, "context_window": item.context_window})
        if len(found) >= MOST_SUGGESTIONS:
            break
    return list(found.values())[:MOST_SUGGESTIONS]


def _all_models() -> Iterator[tuple[str, Any]]:
    for provider in bundled().providers.values():
        for item in provider.models:
            yield provider.id, item


def _plain(name: str) -> str:
    return _MARKS.sub("", name.lower())
