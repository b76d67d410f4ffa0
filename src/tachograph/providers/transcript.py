"""Our messages as those of pydantic-ai, and a reply back: both ways, losing nothing.

What a reply holds beside text, visible thinking and tool calls (signatures, encrypted reasoning, ids of its parts)
goes into the message's `provider_state` as JSON, without repeating what the message says; it goes back only to the
provider that wrote it, and only while it fits the message. The library's module of messages is an argument, so that
this one loads without it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tachograph.events.chat import Media, Message, Part, Text, ToolUse
from tachograph.providers.config import Api
from tachograph.providers.faults import Incomplete

_URLS: Mapping[Api, frozenset[str]] = {
    "chat": frozenset({"image"}),
    "responses": frozenset({"image", "document"}),
    "anthropic": frozenset({"image", "document"}),
    "google": frozenset(),
}
"""Media that a provider fetches itself, by wire. Of all others the bytes are needed: nothing is fetched here."""
_INLINE_SYSTEM = frozenset({"chat", "responses"})
"""Wires that take instructions in the middle of a conversation."""
_VISIBLE = frozenset({"text", "tool-call", "thinking"})


class Transcript:
    """The two directions, for one provider on one wire."""

    def __init__(self, library: Any, provider: str, api: Api, system: str) -> None:
        """`library` is `pydantic_ai.messages`; `system` is what the library calls the provider."""
        self._library, self._provider, self._api, self._system = library, provider, api, system

    def given(self, messages: Sequence[Message]) -> list[Any]:
        """What is sent: the library's requests and responses, in order."""
        found: list[Any] = []
        parts: list[Any] = []
        names: dict[str, str] = {}
        leading = True
        for message in messages:
            if message.role == "assistant":
                leading = False
                if parts:
                    found.append(self._library.ModelRequest(parts=parts))
                found.append(self._response(message))
                parts = self._cache_point(message)
                names.update((call.id, call.name) for call in message.tool_calls)
            else:
                leading = leading and message.role == "system"
                parts.extend(self._request_parts(message, names, leading=leading))
        if parts:
            found.append(self._library.ModelRequest(parts=parts))
        return found

    def taken(self, response: Any) -> Message:
        """What a response says, as a message."""
        text = "".join(part.content for part in response.parts if part.part_kind == "text")
        files = tuple(_media(part) for part in response.parts if part.part_kind == "file")
        refusal = (response.provider_details or {}).get("refusal")
        if not text and isinstance(refusal, str):
            text = refusal
        content: str | tuple[Part, ...] = (*((Text(text),) if text else ()), *files) if files else text
        return Message(
            "assistant",
            content,
            tuple(_tool_use(part) for part in response.parts if part.part_kind == "tool-call"),
            reasoning="".join(part.content for part in response.parts if part.part_kind == "thinking"),
            provider_state=self._state(response),
        )

    def _request_parts(self, message: Message, names: Mapping[str, str], *, leading: bool) -> list[Any]:
        if message.role == "system":
            if leading or self._api in _INLINE_SYSTEM:
                return [self._library.SystemPromptPart(message.text)]
            # the library would put it first, which changes everything that a provider has cached
            return [self._library.UserPromptPart(f"<system>\n{message.text}\n</system>"), *self._cache_point(message)]
        content = (
            message.content if isinstance(message.content, str) else [self._part(part) for part in message.content]
        )
        if message.role == "tool":
            call = message.tool_call_id or ""
            name = message.name or names.get(call, "")
            return [self._library.ToolReturnPart(name, content, call), *self._cache_point(message)]
        if message.cache and self._api == "anthropic":
            shown = [content] if isinstance(content, str) else content
            return [self._library.UserPromptPart([*shown, self._library.CachePoint()])]
        return [self._library.UserPromptPart(content)]

    def _cache_point(self, message: Message) -> list[Any]:
        if not message.cache or self._api != "anthropic":
            return []
        return [self._library.UserPromptPart([self._library.CachePoint()])]

    def _part(self, part: Part) -> Any:
        if isinstance(part, Text):
            return part.text
        data, media_type = part.data, part.media_type
        if part.url.startswith("data:"):
            head, _, encoded = part.url[5:].partition(",")
            data, media_type = b64decode(encoded), head.partition(";")[0] or media_type
        if data:
            return self._library.BinaryContent(data, media_type=media_type)
        if part.kind not in _URLS[self._api]:
            message = f"{self._provider} takes no URL of {part.kind} media: give its bytes"
            raise Incomplete(message, "invalid_request", "unsupported")
        kind = {"image": self._library.ImageUrl, "document": self._library.DocumentUrl}[part.kind]
        return kind(part.url, media_type=None if media_type.endswith("/*") else media_type)

    def _response(self, message: Message) -> Any:
        held = None if message.provider_state is None else self._restored(message)
        if held is not None:
            return held
        parts = [self._library.TextPart(message.text)] if message.text else []
        parts += [self._library.ToolCallPart(call.name, call.arguments, call.id) for call in message.tool_calls]
        return self._library.ModelResponse(parts=parts, provider_name=self._system)

    def _state(self, response: Any) -> str | None:
        """What the message does not say; None when there is nothing."""
        [plain] = self._library.ModelMessagesTypeAdapter.dump_python([response], mode="json")
        parts = [_slim(part) for part in plain["parts"] if part["part_kind"] != "file"]
        if all(part.keys() == {"part_kind", "size"} for part in parts if part["part_kind"] != "tool-call") and all(
            part.keys() == {"part_kind"} for part in parts if part["part_kind"] == "tool-call"
        ):
            return None
        state = {"by": self._provider, "api": self._api, "parts": parts}
        for key in ("provider_response_id", "canonical_system", "model_name"):
            if plain.get(key):
                state[key] = plain[key]
        return json.dumps(state, separators=(",", ":"), ensure_ascii=False)

    def _restored(self, message: Message) -> Any:
        """The response as it came, if this provider wrote it and the message still says what it said."""
        try:
            state = msgspec.json.decode(message.provider_state or "")
            if state["by"] != self._provider or state["api"] != self._api:
                return None
            plain = {
                "kind": "response",
                "parts": list(_fattened(state["parts"], message)),
                "provider_name": self._system,
                **{
                    key: state[key]
                    for key in ("provider_response_id", "canonical_system", "model_name")
                    if key in state
                },
            }
            [held] = self._library.ModelMessagesTypeAdapter.validate_json(json.dumps([plain]))
        except (KeyError, TypeError, ValueError, RecursionError):
            return None  # not ours: another program's, or changed by hand
        return held


def _slim(part: dict[str, Any]) -> dict[str, Any]:
    """A part without what the message says: of text its length, of a call what is beside name and arguments."""
    left = {key: value for key, value in part.items() if value not in (None, [], {}, "")}
    if left["part_kind"] == "tool-call":
        for key in ("tool_name", "args", "tool_call_id", "outcome", "timestamp"):
            left.pop(key, None)
    elif left["part_kind"] in _VISIBLE:
        left["size"] = len(left.pop("content", ""))
    return left


def _fattened(parts: Sequence[dict[str, Any]], message: Message) -> Iterator[dict[str, Any]]:
    """The parts with the message's words put back. Raises ValueError when they do not fit."""
    texts = {"text": message.text, "thinking": message.reasoning}
    calls = iter(message.tool_calls)
    for part in parts:
        kind = part["part_kind"]
        if kind == "tool-call":
            call = next(calls, None)
            if call is None:
                raise ValueError("a tool call is gone")
            yield {**part, "tool_name": call.name, "args": call.arguments, "tool_call_id": call.id}
        elif kind in texts:
            size = part["size"]
            if len(texts[kind]) < size:
                raise ValueError("text is gone")
            yield {**{key: value for key, value in part.items() if key != "size"}, "content": texts[kind][:size]}
            texts[kind] = texts[kind][size:]
        else:
            yield part
    if texts["text"] or texts["thinking"] or next(calls, None) is not None:
        raise ValueError("something was added")


def arguments_of(args: str | dict[str, Any] | None) -> str:
    """Arguments as JSON text: as the model wrote them, where the library has that."""
    if args is None or isinstance(args, str):
        return args or ""
    return json.dumps(args, separators=(",", ":"), ensure_ascii=False)


def _tool_use(part: Any) -> ToolUse:
    return ToolUse(part.tool_call_id, part.tool_name, arguments_of(part.args) or "{}")


def _media(part: Any) -> Media:
    media_type = part.content.media_type
    kind = media_type.partition("/")[0]
    return Media(kind if kind in ("image", "audio", "video") else "document", media_type, data=part.content.data)
