"""What a raw body says about itself, on each wire, whole or streamed, and however broken."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.usage import MISSING, Usage
from tachograph.providers.body import FINISHES, finish_of, payloads, seen
from tachograph.providers.port import Finish


def sse(*events: Any) -> bytes:
    """A stream of events."""
    return b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events)


def test_a_chat_stream_says_its_usage_in_the_last_chunk() -> None:
    """Model, id, tier, finish; of several usages the last counts as a whole."""
    body = sse(
        {"id": "c1", "model": "m-1", "choices": [{"delta": {"content": "a"}, "finish_reason": None}],
         "usage": {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 1}}},
        {"id": "c1", "model": "m-1", "choices": [{"delta": {}, "finish_reason": "length"}], "service_tier": "flex"},
        {"id": "c1", "model": "m-1", "choices": [],
         "usage": {"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.01}},
    ) + b"data: [DONE]\n\n"  # fmt: skip
    found = seen(body)
    assert (found.id, found.model, found.tier, found.finish) == ("c1", "m-1", "flex", "length")
    assert found.usage("openai.chat") == Usage(input_uncached=10, output=5, basis="provider")
    assert found.cost == Decimal("0.01")


def test_an_anthropic_stream_says_its_usage_in_two_halves() -> None:
    """The beginning has the input, the end the output."""
    body = sse(
        {"type": "message_start", "message": {"id": "m1", "model": "c-1", "type": "message", "usage": {
            "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1, "service_tier": "standard"}}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )  # fmt: skip
    found = seen(body)
    assert (found.id, found.model, found.tier, found.finish) == ("m1", "c-1", "standard", "tool_use")
    assert found.usage("anthropic") == Usage(input_uncached=3, cache_read=4, output=9, basis="provider")


@pytest.mark.parametrize(
    ("response", "finish"),
    [
        ({"status": "completed"}, "completed"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"status": "incomplete", "incomplete_details": None}, "incomplete"),
        ({"status": "failed"}, "failed"),
        ({"status": "in_progress"}, ""),
    ],
    ids=["whole", "long", "unclear", "failed", "going on"],
)
def test_a_response_is_over_when_its_state_says_so(response: dict[str, Any], finish: str) -> None:
    """The state, or why it is incomplete; one that goes on has no finish. Streamed or not it is the same."""
    made = {"object": "response", "id": "r1", "model": "g-1", **response}
    assert seen(json.dumps(made).encode()).finish == finish
    assert seen(sse({"type": "response.x", "response": made})).finish == finish


def test_gemini_says_its_usage_with_every_chunk() -> None:
    """The last one counts; a blocked prompt has its reason instead of a candidate."""
    body = sse(
        {"candidates": [{"content": {}}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9}},
        {"candidates": [{"finishReason": "STOP"}], "modelVersion": "g-1", "responseId": "r1",
         "usageMetadata": {"promptTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 12}},
    )  # fmt: skip
    found = seen(body)
    assert (found.finish, found.model, found.id) == ("STOP", "g-1", "r1")
    assert found.usage("gemini") == Usage(input_uncached=5, output=7, reasoning=7, basis="provider")
    assert seen(b'{"promptFeedback": {"blockReason": "SAFETY"}}').finish == "SAFETY"


def test_sources_are_the_urls_that_a_provider_names() -> None:
    """Annotations, Perplexity's list, Anthropic's and Gemini's places; each URL once, in order."""
    body = {
        "citations": ["https://a.test", "https://b.test"],
        "choices": [{"message": {"annotations": [
            {"type": "url_citation", "url_citation": {"url": "https://a.test"}},
            {"type": "url_citation", "url": "https://c.test"}]}}],
        "content": [{"citations": [{"type": "web_search_result_location", "url": "https://d.test"}]}],
        "candidates": [{"groundingMetadata": {"groundingChunks": [{"web": {"uri": "https://e.test"}}, {"web": None}]}}],
    }  # fmt: skip
    expected = tuple(f"https://{name}.test" for name in "abcde")
    assert seen(json.dumps(body).encode()).citations == expected


def test_a_refusal_and_an_error_are_seen() -> None:
    """A refusal in a field of its own, and an error in a body that is no refusal by status."""
    assert seen(sse({"choices": [{"delta": {"refusal": "No."}}]})).refused
    refusal = {
        "object": "response",
        "status": "completed",
        "output": [{"content": [{"type": "refusal", "refusal": "No"}]}],
    }
    assert seen(json.dumps(refusal).encode()).refused
    assert seen(b'{"error": {"code": 502, "message": "upstream"}}').error == {"code": 502, "message": "upstream"}


def test_usage_that_is_not_there_is_missing() -> None:
    """None or an empty object is no usage; a host that speaks another dialect is understood."""
    assert seen(b'{"usage": null}').usage("openai.chat") is MISSING
    assert seen(b'{"usage": {}}').usage("openai.chat") is MISSING
    assert seen(b'{"usage": {"input_tokens": 3, "output_tokens": 4}}').usage("openai.chat") == Usage(
        input_uncached=3, output=4, basis="provider"
    )


@pytest.mark.parametrize(
    ("word", "refused", "calls", "expected"),
    [
        ("stop", False, False, "stop"),
        ("stop", False, True, "tool_calls"),
        ("STOP", False, True, "tool_calls"),
        ("completed", False, True, "tool_calls"),
        ("end_turn", False, True, "stop"),
        ("tool_calls", False, False, "stop"),
        ("length", False, True, "length"),
        ("stop", True, False, "refusal"),
        ("refusal", False, False, "refusal"),
        ("content_filter", True, False, "content_filter"),
        ("SAFETY", False, False, "content_filter"),
        ("whatever", False, False, "stop"),
    ],
)
def test_why_a_reply_ended(word: str, refused: bool, calls: bool, expected: Finish) -> None:
    """One vocabulary from all of theirs, corrected by what the reply holds."""
    assert finish_of(word, refused=refused, calls=calls) == expected


def test_every_word_has_a_meaning_of_ours() -> None:
    """The table holds no finish that is none."""
    assert set(FINISHES.values()) == {"stop", "tool_calls", "length", "content_filter", "refusal"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "usage", "message", "response", "delta", "candidates", "status", "object", "type", "error",
                 "citations", "groundingChunks", "web", "output", "content", "promptFeedback", "incomplete_details"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.lists(JSON, max_size=4), st.booleans())
def test_no_body_breaks_the_reading(events: list[Any], whole: bool) -> None:
    """Whatever JSON comes in whatever place, reading it ends."""
    found = seen(json.dumps(events[:1]).encode() if whole else sse(*events))
    assert found.usage("openai.chat").basis in ("missing", "provider", "inferred")
    assert isinstance(found.finish, str)


@pytest.mark.parametrize(
    "body",
    [b'{"usage": "\xff"}', b"data: " + b"[" * 100_000 + b"\n\n", b'{"a": ' * 100_000, b"data: {\n\n", b"\xff\xfe"],
    ids=["no text", "deep stream", "deep", "half", "bytes"],
)
def test_what_is_no_json_is_passed_over(body: bytes) -> None:
    """Broken text, and nesting without end."""
    assert list(payloads(body)) == []


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading(body: bytes) -> None:
    """Nor do bytes that are no JSON."""
    assert list(payloads(body)) == [item for item in payloads(body) if isinstance(item, dict)]
    assert seen(body).error is None or isinstance(seen(body).error, dict)
