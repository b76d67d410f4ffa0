"""The recorded exchanges beside the repository: what a provider's body says, read without any of our own readers.

`expected` turns a raw body into what a reply must be. It knows nothing of the adapter: a few small readers of JSON, one
a wire, that follow the providers' published shapes. `usage_inclusive` and `usage_raw` come from the index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

WIRES = {
    "chat.completions": "chat",
    "responses": "responses",
    "messages": "anthropic",
    "generateContent": "gemini",
    "streamGenerateContent": "gemini",
}
"""Endpoint → the wire it speaks; the others are no generation on one of the four."""

Row = dict[str, Any]
Call = tuple[str, str, Any]
"""(id, name, arguments as a value)"""


@dataclass(frozen=True)
class Exchange:
    """One recorded exchange."""

    row: Row
    """Its line of the index."""
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """As it went over the wire, framing included."""
    payloads: tuple[Any, ...]
    """The JSON values of the body: one, or one for each event."""

    @property
    def file(self) -> str:
        """Its path below the folder."""
        return str(self.row["file"])

    @property
    def wire(self) -> str:
        """chat, responses, anthropic or gemini."""
        return WIRES[self.row["endpoint"]]

    @property
    def stream(self) -> bool:
        """Whether it was streamed."""
        return bool(self.row["stream"])


@dataclass
class Expected:
    """What a body says."""

    text: str = ""
    """What is said, in a refusal too."""
    calls: list[Call] = field(default_factory=list)
    finish: str | None = None
    """In our words; None when the body does not say, so that the reply is not whole."""
    model: str | None = None
    refused: bool = False
    """The model refuses in a field of its own."""
    error: str = ""
    """An error inside the body of a reply that began well."""


@cache
def exchanges(folder: Path) -> tuple[Exchange, ...]:
    """All exchanges on the four wires, in the index's order."""
    with (folder / "index.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return tuple(_exchange(folder, row) for row in rows if row["endpoint"] in WIRES)


def _exchange(folder: Path, row: Row) -> Exchange:
    response = json.loads((folder / row["file"]).read_text(encoding="utf-8"))["response"]
    text = response["body_text"]
    payloads = tuple(_payloads(text, row["body_format"]))
    if row["body_format"] == "json-lines":
        text = "".join(map(_framed, payloads))
        text += "data: [DONE]\n\n" if row["endpoint"] == "chat.completions" else ""
    return Exchange(row, row["status"] or 200, tuple(_headers(response["headers"] or {}, row)), text.encode(), payloads)


def _payloads(text: str, form: str) -> Iterable[Any]:
    if form == "json":
        return [json.loads(text)]
    if form == "json-lines":
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    data = (line[5:].strip() for line in re.split(r"\r?\n", text) if line.startswith("data:"))
    return [json.loads(line) for line in data if line != "[DONE]"]


def _framed(payload: Any) -> str:
    """A payload as an event: with its type as the event's name, where it has one (Anthropic, OpenAI responses)."""
    kind = payload.get("type")
    name = f"event: {kind}\n" if isinstance(kind, str) else ""
    return f"{name}data: {json.dumps(payload, ensure_ascii=False)}\n\n"


_OF_FRAMING = frozenset(("transfer-encoding", "content-length", "content-encoding", "connection"))


def _headers(recorded: Mapping[str, Any], row: Row) -> Iterable[tuple[str, str]]:
    """Without what says how the body was packed; the type where it was not kept."""
    found = {name.lower(): value for name, value in recorded.items() if name.lower() not in _OF_FRAMING}
    found.setdefault("content-type", "text/event-stream" if row["stream"] else "application/json")
    for name, value in found.items():
        for item in value if isinstance(value, list) else [value]:
            yield name, str(item)


# ---- what a body says -----------------------------------------------------------------------------------------------


def expected(exchange: Exchange) -> Expected:
    """What the reply to this exchange must be."""
    return _READERS[exchange.wire](exchange.payloads)


_CHAT = {"stop": "stop", "tool_calls": "tool_calls", "length": "length", "content_filter": "content_filter"}
_ANTHROPIC = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "refusal": "refusal",
}  # fmt: skip
_GEMINI = {"STOP": "stop", "MAX_TOKENS": "length", "UNEXPECTED_TOOL_CALL": "stop"}
"""A call that was not expected is a call all the same. Every other reason is a filter's."""


def _chat(payloads: Iterable[Any]) -> Expected:
    found, calls = Expected(), dict[int, list[str]]()
    for payload in payloads:
        found.model = payload.get("model") or found.model
        found.error = str(payload["error"]) if payload.get("error") else found.error
        for choice in payload.get("choices") or ():
            if choice.get("index"):
                continue
            said = choice.get("message") or choice.get("delta") or {}
            found.text += _chat_text(said.get("content")) + (said.get("refusal") or "")
            found.refused = found.refused or bool(said.get("refusal"))
            found.finish = _CHAT.get(choice.get("finish_reason"), choice.get("finish_reason")) or found.finish
            for place, call in enumerate(said.get("tool_calls") or ()):
                function = call.get("function") or {}
                held = calls.setdefault(call.get("index", place) or place, ["", "", ""])
                held[0] = call.get("id") or held[0]
                held[1] += function.get("name") or ""
                held[2] += function.get("arguments") or ""
    found.calls = [(id_, name, _value(arguments)) for id_, name, arguments in calls.values()]
    return _settled(found)


def _chat_text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content or ""


def _responses(payloads: Iterable[Any]) -> Expected:
    payloads = list(payloads)
    last = payloads[-1]
    whole = last.get("response", last)
    found = Expected(model=whole.get("model"))
    if last.get("type") == "error" or whole.get("error"):
        found.error = str(whole.get("error") or last)
    items = whole.get("output") or [one["item"] for one in payloads if one.get("type") == "response.output_item.done"]
    for item in items:
        if item["type"] == "message":
            parts = item["content"]
            found.text += "".join(part.get("text") or part.get("refusal") or "" for part in parts)
            found.refused = found.refused or any(part["type"] == "refusal" for part in parts)
        elif item["type"] == "function_call":
            found.calls.append((item["call_id"], item["name"], _value(item["arguments"])))
    reason = (whole.get("incomplete_details") or {}).get("reason")
    if whole.get("status") in ("completed", "complete"):
        found.finish = "tool_calls" if found.calls else "stop"
    elif whole.get("status") == "incomplete":
        found.finish = "length" if reason == "max_output_tokens" else reason
    return _settled(found)


def _anthropic(payloads: Iterable[Any]) -> Expected:
    """Its word for the end stands: a turn that ended with calls in it had them answered by the provider's own tools."""
    found, blocks = Expected(), dict[int, dict[str, Any]]()
    for payload in payloads:
        message = payload.get("message") or (payload if payload.get("type") == "message" else {})
        found.model = message.get("model") or found.model
        found.error = str(payload["error"]) if payload.get("type") == "error" else found.error
        blocks.update({place: {**block, "json": ""} for place, block in enumerate(message.get("content") or ())})
        delta = payload.get("delta") or {}
        if payload.get("type") == "content_block_start":
            blocks[payload["index"]] = {**payload["content_block"], "json": ""}
        elif payload.get("type") == "content_block_delta":
            block = blocks[payload["index"]]
            block["text"] = block.get("text", "") + delta.get("text", "")
            block["json"] += delta.get("partial_json", "")
        if reason := message.get("stop_reason") or delta.get("stop_reason"):
            found.finish = _ANTHROPIC.get(reason, reason)
    for block in blocks.values():
        if block["type"] == "text":
            found.text += block["text"]
        elif block["type"] == "tool_use":
            found.calls.append((block["id"], block["name"], _value(block["json"]) if block["json"] else block["input"]))
    return found


def _gemini(payloads: Iterable[Any]) -> Expected:
    found, reason = Expected(), None
    for payload in payloads:
        found.model = payload.get("modelVersion") or found.model
        found.error = str(payload["error"]) if payload.get("error") else found.error
        blocked = (payload.get("promptFeedback") or {}).get("blockReason")
        candidate = (payload.get("candidates") or [{}])[0]
        reason = candidate.get("finishReason") or blocked or reason
        for part in (candidate.get("content") or {}).get("parts") or ():
            if "text" in part and not part.get("thought"):
                found.text += part["text"]
            elif "functionCall" in part:
                call = part["functionCall"]
                found.calls.append((call.get("id") or "", call["name"], call.get("args") or {}))
    if reason is not None:
        found.finish = _GEMINI.get(reason, "content_filter")
    return _settled(found)


_READERS = {"chat": _chat, "responses": _responses, "anthropic": _anthropic, "gemini": _gemini}


def _settled(found: Expected) -> Expected:
    """A refusal and a tool call are ends of their own, whatever word the wire has for them."""
    if found.finish == "stop":
        found.finish = "refusal" if found.refused else "tool_calls" if found.calls else "stop"
    return found


def _value(arguments: Any) -> Any:
    """Arguments as a value: no text is no arguments; text that is no JSON stays text."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments) if arguments.strip() else {}
    except ValueError:
        return arguments
