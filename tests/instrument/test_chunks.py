"""What the chunks of a stream say, in the shapes of the providers."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import msgspec
import pytest
from hypothesis import given

from tachograph.events.usage import MISSING, Usage
from tachograph.instrument.chunks import Heard, text_of, usage_of
from tests.strategies import json_values

Stream = list[dict[str, Any]]

OPENAI: Stream = [
    {"model": "gpt-4o-2024-08-06", "choices": [{"index": 0, "delta": {"content": ""}}], "usage": None},
    {"choices": [{"index": 0, "delta": {"content": "He"}}]},
    {"choices": [{"index": 1, "delta": {"content": "another answer"}}]},
    {"choices": [{"index": 0, "delta": {"content": "llo"}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                              "prompt_tokens_details": {"cached_tokens": 4}}},
]  # fmt: skip
RESPONSES: Stream = [
    {"type": "response.created", "response": {"model": "gpt-5", "usage": None}},
    {"type": "response.reasoning_summary_text.delta", "delta": "thinking"},
    {"type": "response.output_text.delta", "delta": "He"},
    {"type": "response.output_text.delta", "delta": "llo"},
    {"type": "response.output_text.done", "text": "Hello"},
    {"type": "response.function_call_arguments.delta", "delta": "{"},
    {"type": "response.completed", "response": {"model": "gpt-5-2025", "usage": {
        "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}}},
]  # fmt: skip
ANTHROPIC: Stream = [
    {"type": "message_start", "message": {"model": "claude-sonnet-4-5", "content": [], "usage": {
        "input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 1}}},
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "He"}},
    {"type": "text", "text": "He", "snapshot": "He"},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "llo"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
]  # fmt: skip
GEMINI: Stream = [
    {"candidates": [{"content": {"parts": [{"text": "planning", "thought": True}]}}], "modelVersion": "gemini-2.5-pro"},
    {"candidates": [{"content": {"parts": [{"text": "He"}, {"text": "l"}]}}],
     "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 2}},
    {"candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}],
     "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 5}},
]  # fmt: skip
OLLAMA: Stream = [
    {"model": "llama3", "message": {"role": "assistant", "content": "Hel"}, "done": False},
    {"model": "llama3", "message": {"role": "assistant", "content": "lo"}, "done": True, "done_reason": "stop",
     "prompt_eval_count": 10, "eval_count": 5},
]  # fmt: skip
COHERE: Stream = [
    {"type": "content-delta", "delta": {"message": {"content": {"text": "Hello"}}}},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {
        "billed_units": {"input_tokens": 9, "output_tokens": 5}, "tokens": {"input_tokens": 10, "output_tokens": 5}}}},
]  # fmt: skip
BEDROCK: Stream = [
    {"contentBlockDelta": {"delta": {"text": "Hello"}}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}}},
]
MISTRAL: Stream = [
    {"data": {"model": "mistral-large", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}},
    {"data": {"choices": [{"delta": {"content": ""}, "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 10, "completion_tokens": 5}}},
]  # fmt: skip
LANGCHAIN: Stream = [
    {"content": "Hel"},
    {"content": [{"type": "text", "text": "lo"}, {"type": "tool_use"}]},
    {"content": "", "usage_metadata": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}},
]

STREAMS: dict[str, tuple[Stream, Usage, str | None, str | None]] = {
    "openai": (OPENAI, Usage(6, 4, None, 5, basis="provider"), "gpt-4o-2024-08-06", "stop"),
    "responses": (RESPONSES, Usage(6, 4, None, 5, 0, basis="provider"), "gpt-5-2025", None),
    "anthropic": (ANTHROPIC, Usage(6, 4, None, 5, basis="provider"), "claude-sonnet-4-5", "end_turn"),
    "gemini": (GEMINI, Usage(6, 4, None, 5, basis="provider"), "gemini-2.5-pro", "STOP"),
    "ollama": (OLLAMA, Usage(10, None, None, 5, basis="provider"), "llama3", "stop"),
    "cohere": (COHERE, Usage(10, None, None, 5, basis="provider", extra={"billed_input": 9, "billed_output": 5}), None,
               "COMPLETE"),
    "bedrock": (BEDROCK, Usage(10, None, None, 5, basis="provider"), None, "end_turn"),
    "mistral": (MISTRAL, Usage(10, None, None, 5, basis="provider"), "mistral-large", "stop"),
    "langchain": (LANGCHAIN, Usage(10, None, None, 5, basis="provider"), None, None),
}  # fmt: skip


def objects(value: Any) -> Any:
    """The same as a client library's objects would be: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: objects(item) for key, item in value.items()})
    return [objects(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("way", [lambda chunk: chunk, objects], ids=["mappings", "objects"])
@pytest.mark.parametrize("provider", STREAMS)
def test_every_provider_s_stream_is_understood(provider: str, way: Any) -> None:
    """Text once and in order, tokens in classes, the model that served it, and why it stopped."""
    chunks, usage, model, reason = STREAMS[provider]
    heard, texts = Heard(), []
    for chunk in map(way, chunks):
        texts.append(text_of(chunk))
        heard.hear(chunk)
    assert "".join(text for text in texts if text) == "Hello"
    assert (heard.usage, heard.model, heard.finish_reason) == (usage, model, reason)


def test_plain_text_is_text() -> None:
    """A stream of text tells nothing else."""
    heard = Heard()
    heard.hear("gpt-4")
    assert ([text_of("a"), text_of(b"\xc3\xa4\xff"), text_of(bytearray(b"b"))], heard.usage) == (
        ["a", "ä\ufffd", "b"], MISSING,
    )  # fmt: skip


class Reason(enum.Enum):
    """As client libraries have them."""

    STOP = "stop"


class Modality(enum.StrEnum):
    """As Google's has them."""

    AUDIO = "AUDIO"


def test_enumerations_count_as_their_values() -> None:
    """Of a reason, and of what an input was."""
    heard = Heard()
    heard.hear({"candidates": [{"finish_reason": Reason.STOP}]})
    details = [SimpleNamespace(modality=Modality.AUDIO, token_count=3)]
    said = SimpleNamespace(prompt_token_count=10, candidates_token_count=5, prompt_tokens_details=details)
    assert (heard.finish_reason, usage_of(said)) == (
        "stop", Usage(10, None, None, 5, basis="provider", extra={"input_audio": 3}),
    )  # fmt: skip


def test_a_usage_object_is_read_however_it_comes() -> None:
    """As ours, as a mapping, as an object that can be dumped; what is none of these says nothing."""

    class Dumped:
        def model_dump(self) -> dict[str, Any]:
            return {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": None}

    class Silent:
        __slots__ = ()

    wanted = Usage(10, None, None, 5, basis="provider")
    assert usage_of(wanted) is wanted
    assert usage_of({"prompt_tokens": 10, "completion_tokens": 5}) == usage_of(Dumped()) == wanted
    assert [usage_of(said) for said in (None, 5, "x", [1], Silent(), {}, {"a": 1})] == [MISSING] * 7


@given(json_values)
def test_any_chunk_gives_an_answer(chunk: Any) -> None:
    """A text or None, and a usage, whatever a stream is made of."""
    heard = Heard()
    for one in (chunk, objects(chunk) if isinstance(chunk, list) else chunk, msgspec.json.encode(chunk)):
        heard.hear(one)
        assert text_of(one) is None or isinstance(text_of(one), str)
    assert isinstance(heard.usage, Usage)


def test_an_object_that_answers_everything_says_nothing() -> None:
    """A mock of a chunk is no text and no usage."""
    heard = Heard()
    heard.hear(MagicMock())
    assert (text_of(MagicMock()), heard.usage, heard.model, heard.finish_reason) == (None, MISSING, None, None)
