"""What the chunks of a stream say: text, tokens, who served it. In the shapes of the known providers, and plain text.

A chunk may be an object of a client library or the mapping it was made from. Nothing here calls a method of it but the
one that turns a usage object into a mapping, and whatever a chunk is, the answer is a text, a figure, or None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tachograph.events.usage import MISSING, Usage
from tachograph.wire.usage import overlay, read

Path = tuple[str | int, ...]

_CHOICE: Path = ("choices", 0)
_TEXTS: tuple[Path, ...] = (
    (*_CHOICE, "delta", "content"),  # chat completions, and most that speak alike
    (*_CHOICE, "text"),  # completions
    ("data", *_CHOICE, "delta", "content"),  # Mistral
    ("delta", "text"),  # Anthropic
    ("delta", "message", "content", "text"),  # Cohere
    ("contentBlockDelta", "delta", "text"),  # Bedrock Converse
    ("message", "content"),  # Ollama, chat
    ("response",),  # Ollama, generate
    ("content",),  # LangChain
    ("text",),
)
_USAGES: tuple[Path, ...] = (
    ("usage",),
    ("message", "usage"),  # Anthropic, at the start
    ("response", "usage"),  # Responses, at the end
    ("usage_metadata",),  # Gemini, LangChain
    ("usageMetadata",),
    ("delta", "usage"),  # Cohere
    ("metadata", "usage"),  # Bedrock Converse
    ("data", "usage"),  # Mistral
    ("x_groq", "usage"),
    ("amazon-bedrock-invocationMetrics",),
)
_MODELS: tuple[Path, ...] = (
    ("model",), ("message", "model"), ("response", "model"), ("data", "model"), ("model_version",), ("modelVersion",),
)  # fmt: skip
_REASONS: tuple[Path, ...] = (
    (*_CHOICE, "finish_reason"), ("data", *_CHOICE, "finish_reason"), ("delta", "stop_reason"),
    ("candidates", 0, "finish_reason"), ("candidates", 0, "finishReason"), ("messageStop", "stopReason"),
    ("delta", "finish_reason"), ("done_reason",),
)  # fmt: skip
_OLLAMA = ("prompt_eval_count", "eval_count")
_SNAKE = ("prompt_token_count", "candidates_token_count", "total_token_count")


def text_of(chunk: Any) -> str | None:
    """The piece of the reply's text that a chunk brings; None for one that brings none."""
    if isinstance(chunk, str):
        return chunk
    if isinstance(chunk, bytes | bytearray):
        return bytes(chunk).decode("utf-8", "replace")
    kind = _at(chunk, ("type",))
    if isinstance(kind, str):
        if kind.startswith("response."):  # Responses: the other events tell of the same text again, or of other things
            return _text(_at(chunk, ("delta",))) if kind == "response.output_text.delta" else None
        if kind == "text" and _at(chunk, ("snapshot",)) is not None:  # Anthropic's client, beside the event itself
            return None
    if _at(chunk, (*_CHOICE, "index")):  # one of several answers: the first is the reply
        return None
    parts = _at(chunk, ("candidates", 0, "content", "parts"))
    if isinstance(parts, Sequence) and not isinstance(parts, str):
        return _joined(part for part in parts if not _at(part, ("thought",)))
    return next((found for path in _TEXTS if (found := _text(_at(chunk, path))) is not None), None)


class Heard:
    """What the chunks of one stream have said so far, beside their text."""

    def __init__(self) -> None:
        self._usage: Mapping[str, Any] = {}
        self.model: str | None = None
        """The model that serves it, when a chunk names one."""
        self.finish_reason: str | None = None

    def hear(self, chunk: Any) -> None:
        """Take in one chunk. Later figures count; nothing said changes nothing."""
        if isinstance(chunk, str | bytes | bytearray):
            return
        said = _usage_in(chunk)
        if said:
            self._usage = overlay(self._usage, said)
        self.model = _word(chunk, _MODELS) or self.model
        self.finish_reason = _word(chunk, _REASONS) or self.finish_reason

    @property
    def usage(self) -> Usage:
        """Tokens, as far as the provider said."""
        return usage_of(self._usage)


def usage_of(said: Any) -> Usage:
    """A provider's usage object (or mapping) as token classes; `Usage` stays; `MISSING` for what is neither."""
    if isinstance(said, Usage):
        return said
    found = _mapping(said)
    return read(found) if found else MISSING


def _usage_in(chunk: Any) -> Mapping[str, Any] | None:
    for path in _USAGES:
        found = _mapping(_at(chunk, path))
        if found:
            return found
    counts = {name: _at(chunk, (name,)) for name in _OLLAMA}
    return counts if any(isinstance(count, int) for count in counts.values()) else None


def _mapping(said: Any) -> Mapping[str, Any] | None:
    """A usage object as the mapping it came from, without what it does not say."""
    if said is None or isinstance(said, str | bytes | int | float | Sequence):
        return None
    if not isinstance(said, Mapping):
        dump = getattr(said, "model_dump", None)
        said = dump() if callable(dump) else getattr(said, "__dict__", None)
        if not isinstance(said, Mapping):
            return None
    plain = {str(key): _plain(value) for key, value in said.items() if value is not None}
    return _camel(plain) if plain.keys() & set(_SNAKE) else plain


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = getattr(value, "value", value)  # an enumeration
    if isinstance(value, Mapping) or hasattr(value, "model_dump") or hasattr(value, "__dict__"):
        return _mapping(value) or value
    return value


def _camel(value: Any) -> Any:
    """Google's Python objects in the spelling of its API."""
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    words = {key: key.split("_") for key in value}
    return {
        first + "".join(word.capitalize() for word in rest): _camel(value[key]) for key, (first, *rest) in words.items()
    }


def _at(value: Any, path: Path) -> Any:
    """What stands at a path of keys, attributes and places; None when nothing does."""
    for step in path:
        if isinstance(step, int):
            listed = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > step
            value = value[step] if listed else None
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            value = getattr(value, step, None)
        if value is None:
            return None
    return value


def _text(value: Any) -> str | None:
    """A text, or the texts of a list of blocks."""
    if isinstance(value, str):
        return value
    return _joined(value) if isinstance(value, list | tuple) else None


def _joined(parts: Any) -> str | None:
    texts = [text for part in parts if isinstance(text := _at(part, ("text",)), str)]
    return "".join(texts) if texts else None


def _word(chunk: Any, paths: tuple[Path, ...]) -> str | None:
    for path in paths:
        found = _at(chunk, path)
        name = getattr(found, "value", found)  # an enumeration of a client library
        if isinstance(name, str) and name:
            return name
    return None
