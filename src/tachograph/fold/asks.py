"""Which tools a message asks for, and which requests it answers, in the shapes that providers use.

Only the pairing is read here, never text: OpenAI chat (`tool_calls`, role tool, the older `function_call`), OpenAI
responses (`function_call` and `function_call_output` items), Anthropic (`tool_use`, `tool_result` blocks), Gemini
(`functionCall`, `functionResponse` parts), Bedrock (`toolUse`, `toolResult`), the AI SDK (`tool-call`, `tool-result`)
and the OpenTelemetry parts (`tool_call`, `tool_call_response`). Tools that a provider runs itself (`server_tool_use`)
need no answer from us and are not asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct


class Ask(Struct, frozen=True):
    """One tool call that a reply asks for. `id` is None where the provider gives none."""

    id: str | None
    name: str | None
    arguments: Any = None
    """As the message holds them: JSON text for OpenAI, a value for the others."""


class Answer(Struct, frozen=True):
    """The result of one tool call, on its way to the model."""

    id: str | None
    name: str | None


_ASK_TYPES: Mapping[str, tuple[str, str]] = {
    "tool_use": ("id", "input"),
    "function_call": ("call_id", "arguments"),
    "custom_tool_call": ("call_id", "input"),
    "local_shell_call": ("call_id", "action"),
    "shell_call": ("call_id", "action"),
    "computer_call": ("call_id", "action"),
    "apply_patch_call": ("call_id", "operation"),
    "tool_call": ("id", "arguments"),
    "tool-call": ("toolCallId", "input"),
}
"""`type` of a part or item → its fields for id and arguments."""

_ANSWER_TYPES: Mapping[str, str] = {
    "tool_result": "tool_use_id",
    "tool_call_response": "id",
    "tool-result": "toolCallId",
    **{f"{kind}_output": "call_id" for kind, (field, _) in _ASK_TYPES.items() if field == "call_id"},
}
"""`type` of a part or item → its field for the id."""

_ASK_KEYS: Mapping[str, tuple[str, str]] = {
    "functionCall": ("id", "args"),
    "function_call": ("id", "args"),
    "toolUse": ("toolUseId", "input"),
}
"""Key of a part whose value is the ask → fields for id and arguments."""

_ANSWER_KEYS: Mapping[str, str] = {"functionResponse": "id", "function_response": "id", "toolResult": "toolUseId"}
"""Key of a part whose value is the answer → its field for the id."""


def asks(message: Any) -> tuple[Ask, ...]:
    """The tool calls a message asks for, in order; none for anything that is not such a message."""
    if not isinstance(message, Mapping):
        return ()
    found = [_openai_ask(call) for call in _mappings(message.get("tool_calls"))]
    if isinstance(message.get("function_call"), Mapping):
        found.append(_openai_ask(message))
    found.extend(ask for part in _parts(message) if (ask := _part_ask(part)) is not None)
    return tuple(found)


def answers(message: Any) -> tuple[Answer, ...]:
    """The tool results a message carries, in order; none for anything that is not such a message."""
    if not isinstance(message, Mapping):
        return ()
    if message.get("role") in ("tool", "function") or isinstance(message.get("tool_call_id"), str):
        parts = tuple(answer for part in _parts(message) if (answer := _part_answer(part)) is not None)
        return parts or (Answer(_first(message, "tool_call_id", "id"), _first(message, "name", "tool_name")),)
    return tuple(answer for part in _parts(message) if (answer := _part_answer(part)) is not None)


def _openai_ask(call: Mapping[str, Any]) -> Ask:
    """One entry of `tool_calls`: the function apart (chat completions) or its fields in place."""
    inner = next(
        (call[key] for key in ("function", "function_call", "custom") if isinstance(call.get(key), Mapping)), call
    )
    return Ask(_first(call, "id"), _first(inner, "name"), inner.get("arguments", inner.get("input")))


def _part_ask(part: Mapping[str, Any]) -> Ask | None:
    fields = _ASK_TYPES.get(_kind(part))
    if fields is not None:
        arguments = part.get(fields[1], part.get("args"))
        return Ask(_first(part, fields[0]), _first(part, "name", "toolName", "type"), arguments)
    for key, (id_field, arguments_field) in _ASK_KEYS.items():
        if isinstance(inner := part.get(key), Mapping):
            return Ask(_first(inner, id_field), _first(inner, "name"), inner.get(arguments_field))
    return None


def _part_answer(part: Mapping[str, Any]) -> Answer | None:
    field = _ANSWER_TYPES.get(_kind(part))
    if field is not None:
        return Answer(_first(part, field), _first(part, "name", "toolName"))
    for key, id_field in _ANSWER_KEYS.items():
        if isinstance(inner := part.get(key), Mapping):
            return Answer(_first(inner, id_field), _first(inner, "name"))
    return None


def _parts(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The message itself where it is an item of its own, then its parts."""
    if _kind(message) in _ASK_TYPES or _kind(message) in _ANSWER_TYPES:
        yield message
    yield from _mappings(message.get("content"))
    yield from _mappings(message.get("parts"))


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))


def _kind(part: Mapping[str, Any]) -> str:
    return _first(part, "type") or ""


def _first(fields: Mapping[str, Any], *names: str) -> str | None:
    """The first of these fields that holds text."""
    return next((fields[name] for name in names if isinstance(fields.get(name), str)), None)
