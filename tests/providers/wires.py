"""What providers send, made by hand: the pieces of a reply on each wire, so that a test can leave one out.

A stream is `begin`, any number of `text` or `call`, `end`, `over`. All of it is our own text in the published shapes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

JSON = ("content-type", "application/json")
SSE = ("content-type", "text/event-stream")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one wire says things. A reply uses 11 tokens of input and 5 of output."""

    name: str
    begin: bytes = b""
    text: Callable[[str], bytes]
    """A piece of text."""
    call: Callable[[str], bytes]
    """A call of `lookup`, with as much of its arguments; its id is call_7, where the wire has ids."""
    end: Callable[[], bytes]
    """Why it ended (nothing was to add), and what it used."""
    end_of_calls: Callable[[], bytes]
    """The same of a reply that asks for a tool."""
    end_without_usage: Callable[[], bytes]
    over: bytes = b""
    """What says that nothing more comes."""
    whole: Callable[[str], bytes]
    """A reply that does not stream."""
    whole_without_usage: Callable[[str], bytes]
    keep_alive: bytes = b": keep-alive\n\n"
    error: Callable[[str, str], bytes]
    """Body of a refusal: error type (or Gemini's status), message."""
    broken: bytes
    """An error inside a stream: overloaded."""
    full: bytes
    """Body of a 400 because the context is full."""
    path: str
    """End of the path of a request that does not stream."""
    begin_without_usage: bytes | None = None
    """Where `begin` tells some usage: the same without."""
    kinds: Mapping[int, str] = field(default_factory=dict)
    """Status → the wire's word for it."""


def event(payload: Any, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(payload)}\n\n".encode()


def body(payload: Any) -> bytes:
    """One JSON body."""
    return json.dumps(payload).encode()


def _openai_error(kind: str, message: str, code: str | None = None) -> bytes:
    return body({"error": {"message": message, "type": kind, "param": None, "code": code}})


_OPENAI_KINDS = {
    401: "authentication_error", 408: "timeout", 429: "rate_limit_error", 500: "server_error", 503: "server_error",
    529: "overloaded_error",
}  # fmt: skip


# ---- OpenAI chat completions ----------------------------------------------------------------------------------------

_CHAT_USED = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}


def _chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
    return event(_chat([{"index": 0, "delta": delta, "finish_reason": finish}]))


def _chat(choices: list[Any], kind: str = "chat.completion.chunk", **more: Any) -> dict[str, Any]:
    return {"id": "r_1", "object": kind, "created": 1_760_000_000, "model": "m-1", "choices": choices, **more}


def _chat_call(arguments: str) -> bytes:
    function = {"name": "lookup", "arguments": arguments}
    return _chunk({"tool_calls": [{"index": 0, "id": "call_7", "type": "function", "function": function}]})


def _chat_whole(text: str, **more: Any) -> bytes:
    message = {"role": "assistant", "content": text or None}
    return body(_chat([{"index": 0, "message": message, "finish_reason": "stop"}], "chat.completion", **more))


CHAT = Wire(
    name="chat",
    begin=_chunk({"role": "assistant", "content": ""}),
    text=lambda piece: _chunk({"content": piece}),
    call=_chat_call,
    end=lambda: _chunk({}, "stop") + event(_chat([], usage=_CHAT_USED)),
    end_of_calls=lambda: _chunk({}, "tool_calls") + event(_chat([], usage=_CHAT_USED)),
    end_without_usage=lambda: _chunk({}, "stop"),
    over=b"data: [DONE]\n\n",
    whole=lambda text: _chat_whole(text, usage=_CHAT_USED),
    whole_without_usage=_chat_whole,
    error=_openai_error,
    broken=event({"error": {"message": "too busy just now", "type": "overloaded_error", "code": 503}}),
    full=_openai_error("invalid_request_error", "more than it can hold", "context_length_exceeded"),
    path="/v1/chat/completions",
    kinds=_OPENAI_KINDS,
)

# ---- OpenAI responses -----------------------------------------------------------------------------------------------

_RESPONSES_USED = {
    "input_tokens": 11, "output_tokens": 5, "total_tokens": 16,
    "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip


def _named(kind: str, **fields: Any) -> bytes:
    return event({"type": kind, **fields}, kind)


def _numbered(kind: str, **fields: Any) -> bytes:
    return _named(kind, sequence_number=1, **fields)


def _response(status: str, output: list[Any], usage: Any = None) -> dict[str, Any]:
    return {
        "id": "r_1", "object": "response", "created_at": 1_760_000_000, "model": "m-1", "status": status,
        "output": output, "usage": usage, "error": None, "incomplete_details": None, "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [],
    }  # fmt: skip


def _item(text: str, status: str) -> dict[str, Any]:
    parts = [{"type": "output_text", "text": text, "annotations": []}] if text else []
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": status, "content": parts}


def _responses_text(piece: str) -> bytes:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return _numbered("response.output_text.delta", delta=piece, logprobs=[], **place)


def _responses_call(arguments: str) -> bytes:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_7", "name": "lookup", "arguments": ""}
    delta = _numbered("response.function_call_arguments.delta", item_id="fc_1", output_index=1, delta=arguments)
    return _numbered("response.output_item.added", output_index=1, item=item) + delta


def _completed(usage: Any = None) -> bytes:
    return _numbered("response.completed", response=_response("completed", [], usage))


RESPONSES = Wire(
    name="responses",
    begin=_numbered("response.created", response=_response("in_progress", []))
    + _numbered("response.output_item.added", output_index=0, item=_item("", "in_progress")),
    text=_responses_text,
    call=_responses_call,
    end=lambda: _completed(_RESPONSES_USED),
    end_of_calls=lambda: _completed(_RESPONSES_USED),
    end_without_usage=_completed,
    whole=lambda text: body(_response("completed", [_item(text, "completed")] if text else [], _RESPONSES_USED)),
    whole_without_usage=lambda text: body(_response("completed", [_item(text, "completed")])),
    error=_openai_error,
    broken=_numbered("error", code="server_overloaded", message="too busy just now", param=None),
    full=_openai_error("invalid_request_error", "more than it can hold", "context_length_exceeded"),
    path="/v1/responses",
    kinds=_OPENAI_KINDS,
)

# ---- Anthropic messages ---------------------------------------------------------------------------------------------


def _message(blocks: list[Any], stop: str | None, **more: Any) -> dict[str, Any]:
    return {
        "id": "r_1", "type": "message", "role": "assistant", "model": "m-1", "content": blocks, "stop_reason": stop,
        "stop_sequence": None, **more,
    }  # fmt: skip


def _anthropic_begin(**more: Any) -> bytes:
    block = {"type": "text", "text": ""}
    return _named("message_start", message=_message([], None, **more)) + _named(
        "content_block_start", index=0, content_block=block
    )


def _anthropic_call(arguments: str) -> bytes:
    block = {"type": "tool_use", "id": "call_7", "name": "lookup", "input": {}}
    delta = {"type": "input_json_delta", "partial_json": arguments}
    return _named("content_block_start", index=1, content_block=block) + _named(
        "content_block_delta", index=1, delta=delta
    )


def _anthropic_end(stop: str, **more: Any) -> bytes:
    return _named("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, **more)


def _anthropic_whole(text: str, **more: Any) -> bytes:
    return body(_message([{"type": "text", "text": text}] if text else [], "end_turn", **more))


ANTHROPIC = Wire(
    name="anthropic",
    begin=_anthropic_begin(usage={"input_tokens": 11, "output_tokens": 1}),
    text=lambda piece: _named("content_block_delta", index=0, delta={"type": "text_delta", "text": piece}),
    call=_anthropic_call,
    end=lambda: _anthropic_end("end_turn", usage={"output_tokens": 5}),
    end_of_calls=lambda: _anthropic_end("tool_use", usage={"output_tokens": 5}),
    end_without_usage=lambda: _anthropic_end("end_turn"),
    over=_named("message_stop"),
    whole=lambda text: _anthropic_whole(text, usage={"input_tokens": 11, "output_tokens": 5}),
    whole_without_usage=_anthropic_whole,
    keep_alive=_named("ping"),
    error=lambda kind, message: body({"type": "error", "error": {"type": kind, "message": message}}),
    broken=_named("error", error={"type": "overloaded_error", "message": "too busy just now"}),
    full=body({"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}}),
    path="/v1/messages",
    begin_without_usage=_anthropic_begin(),
    kinds={**_OPENAI_KINDS, 408: "timeout_error", 500: "api_error", 503: "api_error"},
)

# ---- Gemini ---------------------------------------------------------------------------------------------------------

_GEMINI_USED = {"promptTokenCount": 11, "candidatesTokenCount": 5, "totalTokenCount": 16}


def _gemini(parts: list[Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m-1", "responseId": "r_1", **more}


def _gemini_error(kind: str, message: str, code: int = 0) -> bytes:
    return body({"error": {"code": code, "message": message, "status": kind}})


GEMINI = Wire(
    name="gemini",
    text=lambda piece: event(_gemini([{"text": piece}])),
    call=lambda arguments: event(_gemini([{"functionCall": {"name": "lookup", "args": json.loads(arguments)}}])),
    end=lambda: event(_gemini([], "STOP", usageMetadata=_GEMINI_USED)),
    end_of_calls=lambda: event(_gemini([], "STOP", usageMetadata=_GEMINI_USED)),
    end_without_usage=lambda: event(_gemini([], "STOP")),
    whole=lambda text: body(_gemini([{"text": text}] if text else [], "STOP", usageMetadata=_GEMINI_USED)),
    whole_without_usage=lambda text: body(_gemini([{"text": text}], "STOP")),
    error=_gemini_error,
    broken=event({"error": {"code": 503, "message": "too busy just now", "status": "UNAVAILABLE"}}),
    full=_gemini_error(
        "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens allowed (8).", 400
    ),
    path=":generateContent",
    kinds={
        401: "UNAUTHENTICATED", 408: "DEADLINE_EXCEEDED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
        503: "UNAVAILABLE", 529: "UNAVAILABLE",
    },
)  # fmt: skip

WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (CHAT, RESPONSES, ANTHROPIC, GEMINI)}
