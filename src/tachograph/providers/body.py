"""What a reply's raw body says about itself: why it ended, its tokens, ids, price and sources.

A library's normalisation differs from version to version and leaves things out; these figures are read from the bytes
that came. The four wires are recognised by their fields, so that one reading serves streams (SSE) and whole replies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from tachograph.events.usage import MISSING, Usage
from tachograph.providers.port import Finish
from tachograph.wire.money import reported_cost
from tachograph.wire.usage import overlay, read

FINISHES: Mapping[str, Finish] = {
    # OpenAI chat and what speaks it
    "stop": "stop", "eos": "stop", "length": "length", "model_length": "length", "tool_calls": "tool_calls",
    "function_call": "tool_calls", "content_filter": "content_filter",
    # OpenAI Responses: its status, or why it is incomplete
    "completed": "stop", "max_output_tokens": "length",
    # Anthropic; a paused turn is one that asks to be continued, as one cut by its length does
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "pause_turn": "length", "refusal": "refusal",
    # Gemini
    "STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "RECITATION": "content_filter",
    "LANGUAGE": "content_filter", "BLOCKLIST": "content_filter", "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter", "IMAGE_SAFETY": "content_filter", "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter", "MODEL_ARMOR": "content_filter",
}  # fmt: skip
"""A provider's word for why a reply ended → ours. A word that is not here is `stop`."""

_OVER = frozenset({"completed", "complete", "failed", "cancelled"})
"""States of a Responses reply that is over."""
BROKEN = frozenset({"error", "failed", "cancelled", "insufficient_system_resource", "network_error"})
"""Words by which a provider says that a reply did not come to an end."""


@dataclass
class Seen:
    """What was found in a body; empty where it does not say."""

    finish: str = ""
    usage_raw: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    id: str | None = None
    tier: str | None = None
    refused: bool = False
    citations: tuple[str, ...] = ()
    error: Mapping[str, Any] | None = None
    counted: Usage | None = None
    """Token classes of whoever read the body instead."""

    def usage(self, dialect: str) -> Usage:
        """Its token classes; `MISSING` when it has no usage. Some hosts speak another dialect than they should."""
        if not self.usage_raw:
            return self.counted or MISSING
        found = read(self.usage_raw, dialect)
        return read(self.usage_raw) if found is MISSING else found

    @property
    def cost(self) -> Decimal | None:
        """USD, as the provider says."""
        nano = reported_cost(self.usage_raw)
        return None if nano is None else Decimal(nano).scaleb(-9)


def seen(body: bytes) -> Seen:
    """What a body, whole or a stream of server-sent events, says about itself. What cannot be read is left out."""
    found = Seen()
    for payload in payloads(body):
        _note(found, payload)
    if b"itation" in body or b"groundingChunks" in body:
        found.citations = tuple(dict.fromkeys(url for payload in payloads(body) for url in _urls(payload)))
    return found


def payloads(body: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body."""
    whole = body.lstrip()
    if whole[:1] in (b"{", b"["):
        yield from _objects(whole)
        return
    data: list[bytes] = []
    for line in [*body.splitlines(), b""]:
        if line.startswith(b"data:"):
            data.append(line[5:].strip())
        elif not line and data:
            yield from _objects(b"\n".join(data))
            data = []


def finish_of(word: str, *, refused: bool, calls: bool) -> Finish:
    """Why a reply ended, from its provider's word; `calls` tells whether it asks for tools.

    Many hosts say that a reply with tool calls just stopped. Anthropic means it: those calls were answered already.
    """
    finish = FINISHES.get(word, "stop")
    if finish in ("length", "content_filter"):
        return finish
    if refused:
        return "refusal"
    if finish == "stop" and calls and word != "end_turn":
        return "tool_calls"
    return "stop" if finish == "tool_calls" and not calls else finish


def _objects(text: bytes) -> Iterator[dict[str, Any]]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return
    for item in found if isinstance(found, list) else [found]:
        if isinstance(item, dict):
            yield item


def _note(found: Seen, payload: dict[str, Any]) -> None:
    if isinstance(payload.get("error"), Mapping):
        found.error = payload["error"]
    inner = payload.get("response") if isinstance(payload.get("response"), dict) else payload.get("message")
    top = inner if isinstance(inner, dict) and "type" in payload else payload
    found.model = _text(top.get("model")) or _text(top.get("modelVersion")) or found.model
    found.id = _text(top.get("id")) or _text(top.get("responseId")) or found.id
    if usage := _usage(payload, top):
        # Anthropic says its usage in two halves; everybody else repeats it, growing
        found.usage_raw = overlay(found.usage_raw, usage) if payload.get("type") == "message_delta" else usage
        found.tier = _text(usage.get("service_tier")) or _text(usage.get("serviceTier")) or found.tier
    found.tier = _text(top.get("service_tier")) or found.tier
    found.finish = _finish(payload, top) or found.finish
    found.refused = found.refused or _is_refusal(payload, top)


def _usage(payload: dict[str, Any], top: dict[str, Any]) -> Mapping[str, Any] | None:
    for holder in (top, payload, payload.get("x_groq"), *_items(payload.get("choices"))):
        for key in ("usage", "usageMetadata"):
            if isinstance(holder, dict) and isinstance(holder.get(key), dict):
                found: Mapping[str, Any] = holder[key]
                return found
    return None


def _finish(payload: dict[str, Any], top: dict[str, Any]) -> str | None:
    for choice in _items(payload.get("choices"))[:1]:
        return _text(choice.get("finish_reason"))
    for candidate in _items(payload.get("candidates"))[:1]:
        return _text(candidate.get("finishReason"))
    if blocked := payload.get("promptFeedback"):
        return _text(blocked.get("blockReason")) if isinstance(blocked, dict) else None
    delta = payload.get("delta")
    stop = _text(top.get("stop_reason")) or (_text(delta.get("stop_reason")) if isinstance(delta, dict) else None)
    if stop or top.get("object") != "response":
        return stop
    if top.get("status") == "incomplete":
        details = top.get("incomplete_details")
        return (_text(details.get("reason")) if isinstance(details, dict) else None) or "incomplete"
    return _text(top.get("status")) if top.get("status") in _OVER else None


def _is_refusal(payload: dict[str, Any], top: dict[str, Any]) -> bool:
    for choice in _items(payload.get("choices"))[:1]:
        said = choice.get("message") or choice.get("delta")
        return isinstance(said, dict) and bool(said.get("refusal"))
    parts = [part for item in _items(top.get("output")) for part in _items(item.get("content"))]
    return any(part.get("type") == "refusal" for part in parts)


def _urls(value: Any) -> Iterator[str]:
    """URLs that are named as sources, wherever in a payload."""
    if isinstance(value, list):
        for item in value:
            yield from _urls(item)
    if not isinstance(value, dict):
        return
    if value.get("type") in ("url_citation", "web_search_result_location"):
        cited = value.get("url_citation")
        url = value.get("url") or (cited.get("url") if isinstance(cited, dict) else None)
        if isinstance(url, str):
            yield url
        return
    for key, item in value.items():
        if key == "citations" and isinstance(item, list):
            yield from (url for url in item if isinstance(url, str))
        if key == "groundingChunks":
            webs = [chunk.get("web") for chunk in _items(item)]
            yield from (web["uri"] for web in webs if isinstance(web, dict) and isinstance(web.get("uri"), str))
        elif isinstance(item, (dict, list)):
            yield from _urls(item)


def _items(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
