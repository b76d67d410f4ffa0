from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.usage import MISSING, Usage
from tachograph.wire import usage

Row = dict[str, Any]

# --- every recorded reply ---

SHAPES: Mapping[str, str] = {
    "messages": "anthropic", "messages.count_tokens": "anthropic", "converse": "bedrock.converse",
    "converse-stream": "bedrock.converse", "generateContent": "gemini", "streamGenerateContent": "gemini",
    "interactions": "gemini.interactions", "countTokens": "gemini.count", "responses": "openai.responses",
    "responses.compact": "openai.responses", "chat.completions": "openai.chat", "completions": "openai.chat",
    "ollama.chat": "ollama",
}  # fmt: skip
"""Endpoint → the dialect its replies speak, where all hosts of it agree."""

DEVIATIONS: Mapping[str, tuple[int, str]] = {
    "no usage": (76, "the body has none: an error, a stream nobody asked to count, or a reply that is not billed"),
    "compaction": (2, "what a compaction inside the request used is billed; the ground truth leaves it out"),
    "cached beyond the prompt": (5, "more cached tokens than prompt tokens cannot be a part of them"),
    "read and written": (1, "the same tokens are named as read and as written; disjoint classes count them once"),
    "hidden output": (2, "the ground truth says nothing of output that is not itemised; the total tells it"),
    "converse in an invoke body": (5, "the ground truth does not look for cache counts there"),
    "Mistral's num_cached_tokens": (5, "the ground truth does not look for it"),
}
"""Replies whose figures are not those of the index: how many, and why."""


@cache
def exchanges(shared_data: Path) -> list[Row]:
    """Rows of the recorded exchanges, with the usage of each reply and the ground truth."""
    with (shared_data / "provider_http" / "index.jsonl").open() as lines:
        return [json.loads(line) for line in lines]


def _dialect(row: Row) -> str | None:
    hidden = row["provider"] == "google" and row["endpoint"] == "chat.completions"
    return "gemini.openai" if hidden else usage.dialect_of(row["usage_raw"])


def _differs(row: Row, found: Usage) -> bool:
    wanted, said = row["usage_inclusive"], row["usage_reported"]
    apart = {"cache_read": found.cache_read, "cache_write": found.cache_write, "reasoning": found.reasoning}
    inclusive = (found.input_total, found.output) != (wanted["input"], wanted["output"])
    return inclusive or any(said[name] != count for name, count in apart.items())


def _reason(row: Row, found: Usage) -> str:
    raw = row["usage_raw"]
    kinds = [item.get("type") for item in raw.get("iterations") or ()]
    if "compaction" in kinds:
        return "compaction"
    if row["usage_inclusive"]["rule"].startswith("does not reconcile"):
        return "hidden output"
    if "num_cached_tokens" in raw:
        return "Mistral's num_cached_tokens"
    if row["endpoint"].startswith("invoke") and "inputTokens" in raw:
        return "converse in an invoke body"
    details = raw.get("prompt_tokens_details") or {}
    if details.get("cached_tokens", 0) > raw.get("prompt_tokens", 0):
        return "cached beyond the prompt"
    return "read and written" if details.get("cache_write_tokens") else f"unexplained: {raw} as {found}"


def test_every_recorded_reply_counts_as_the_ground_truth_says(shared_data: Path) -> None:
    """Input, output, cache and reasoning of 979 replies of 28 providers, with exclusions counted by reason."""
    differ: Counter[str] = Counter()
    for row in exchanges(shared_data):
        if row["usage_raw"] is None:
            differ["no usage"] += 1
        elif _differs(row, found := usage.read(row["usage_raw"], _dialect(row))):
            differ[_reason(row, found)] += 1
    assert dict(differ) == {name: count for name, (count, _) in DEVIATIONS.items()}


def test_the_dialect_of_every_recorded_reply_is_recognised(shared_data: Path) -> None:
    """The keys of a usage object tell the dialect of its endpoint, in all replies that have one but Voyage's totals."""
    wrong = Counter(
        (row["endpoint"], usage.dialect_of(row["usage_raw"]))
        for row in exchanges(shared_data)
        if row["usage_raw"] is not None and row["endpoint"] in SHAPES
        if usage.dialect_of(row["usage_raw"]) != SHAPES[row["endpoint"]]
    )
    assert wrong == {}


def test_classes_of_recorded_replies_never_overlap(shared_data: Path) -> None:
    """No class is negative, and reasoning is a part of the output, in every recorded reply."""
    for row in exchanges(shared_data):
        found = usage.read(row["usage_raw"])
        classes = (found.input_uncached, found.cache_read, found.cache_write, found.output, found.reasoning)
        assert all(count is None or count >= 0 for count in classes), row["file"]
        assert (found.reasoning or 0) <= (found.output or 0), row["file"]


def _as_extracted(found: Usage) -> dict[str, int]:
    extra = found.extra or {}
    figures = {
        "input_tokens": found.input_total, "output_tokens": found.output, "cache_read_tokens": found.cache_read,
        "cache_write_tokens": found.cache_write, "input_audio_tokens": extra.get("input_audio"),
        "output_audio_tokens": extra.get("output_audio"), "cache_audio_read_tokens": extra.get("cache_audio"),
    }  # fmt: skip
    return {name: count or 0 for name, count in figures.items()}


def test_usage_of_the_price_list_is_read_alike(shared_data: Path) -> None:
    """What the price list's own extractors read of 684 replies, but for compactions and Mistral's cache count."""
    lines = gzip.decompress((shared_data / "usage_prices" / "genai_prices_cases.jsonl.gz").read_bytes()).splitlines()
    differ: Counter[str] = Counter()
    for row in map(json.loads, lines):
        body = row["body"]
        raw = body.get("usage") or body.get("usageMetadata") or body["meta"]
        found = _as_extracted(usage.read(raw))
        if all({name: item["usage"].get(name, 0) for name in found} != found for item in row["extracted"]):
            differ["compaction" if "iterations" in raw else next(key for key in raw if key.startswith("num_"))] += 1
    assert len(lines) == 684
    assert differ == {"compaction": 2, "num_cached_tokens": 6}


# --- the rules, one by one ---


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (
            {"prompt_tokens": 100, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 60}},
            Usage(input_uncached=40, cache_read=60, output=9, basis="provider"),
        ),
        (
            {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 90, "cache_creation_input_tokens": 7},
            Usage(input_uncached=10, cache_read=90, cache_write=7, output=5, basis="provider"),
        ),
        (
            {
                "input_tokens": 30, "output_tokens": 8, "total_tokens": 38,
                "input_tokens_details": {"cached_tokens": 20}, "output_tokens_details": {"reasoning_tokens": 6},
            },
            Usage(input_uncached=10, cache_read=20, output=8, reasoning=6, basis="provider"),
        ),
        (
            {"promptTokenCount": 50, "cachedContentTokenCount": 20, "candidatesTokenCount": 5, "thoughtsTokenCount": 7},
            Usage(input_uncached=30, cache_read=20, output=12, reasoning=7, basis="provider"),
        ),
        ({"promptTokenCount": 50, "totalTokenCount": 50}, Usage(input_uncached=50, basis="provider")),
        (
            {"inputTokens": 4, "outputTokens": 2, "cacheReadInputTokens": 100, "cacheWriteInputTokens": 0},
            Usage(input_uncached=4, cache_read=100, cache_write=0, output=2, basis="provider"),
        ),
        (
            {"tokens": {"input_tokens": 267, "output_tokens": 91}, "billed_units": {"input_tokens": 51}},
            Usage(input_uncached=267, output=91, basis="provider", extra={"billed_input": 51}),
        ),
        ({"prompt_eval_count": 21, "eval_count": 3}, Usage(input_uncached=21, output=3, basis="provider")),
        (
            {"cache_creation": {"ephemeral_1h_input_tokens": 5}, "cache_creation_input_tokens": 8, "input_tokens": 1},
            Usage(input_uncached=1, cache_write=8, cache_write_1h=5, basis="provider"),
        ),
        ({}, MISSING),
        ({"unheard_of": 3}, MISSING),
        ({"prompt_tokens": None, "completion_tokens": None}, MISSING),
    ],
)  # fmt: skip
def test_each_dialect_is_read_by_its_own_rules(raw: Row, wanted: Usage) -> None:
    """Four disjoint classes from what each API reports; what it does not say stays None."""
    assert usage.read(raw) == wanted


def _chat(prompt: int, completion: int, total: int | None, reasoning: int | None = None, **details: int) -> Row:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": total,
        "prompt_tokens_details": {f"{name}_tokens": count for name, count in details.items()},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


@pytest.mark.parametrize(
    ("raw", "classes"),
    [
        pytest.param(_chat(20, 3, None, cached=90), (20, 90, None, 3), id="more cached than prompt: it leaves it out"),
        pytest.param(_chat(50, 3, 83, cached=30), (50, 30, None, 3), id="the total needs the cached tokens on top"),
        pytest.param(_chat(146, 63, 158, cached=7919), (95, 7919, 51, 63), id="LiteLLM of Anthropic: writes in prompt"),
        pytest.param(_chat(10, 4, 20, reasoning=6), (10, None, None, 10), id="xAI: reasoning on top of the completion"),
        pytest.param(_chat(9, 2, 386, audio=375), (384, None, None, 2), id="Mistral: audio on top of the prompt"),
        pytest.param(_chat(20, 1, 21, cached=15, cache_write=18), (2, 15, 3, 1), id="tokens named as read and written"),
    ],
)
def test_a_total_overrules_what_a_dialect_says_of_itself(raw: Row, classes: tuple[int | None, ...]) -> None:
    """Where the sum tells that a figure leaves something out, it is put right and marked as inferred."""
    found = usage.read(raw)
    assert (found.input_uncached, found.cache_read, found.cache_write, found.output) == classes
    assert found.basis == "inferred"


def test_hidden_thinking_shows_in_the_total_alone() -> None:
    """Gemini's OpenAI-compatible endpoint does not itemise thinking: what the total has more is output."""
    raw = {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}
    assert usage.read(raw, "gemini.openai") == Usage(input_uncached=35, output=74, basis="inferred")
    assert usage.read(raw, "openai.chat") == Usage(input_uncached=35, output=12, basis="provider")


def test_a_compaction_inside_a_request_is_added() -> None:
    """Anthropic's top figures leave out what a compaction used; an adviser of another model is not this model's."""
    iterations = [
        {"type": "compaction", "input_tokens": 600, "output_tokens": 50},
        {"type": "message", "input_tokens": 6, "output_tokens": 5},
        {"type": "advisor_message", "input_tokens": 999, "output_tokens": 99},
    ]
    found = usage.read({"input_tokens": 6, "output_tokens": 5, "iterations": iterations})
    assert found == Usage(input_uncached=606, output=55, basis="provider")


def test_audio_and_pictures_are_counted_apart() -> None:
    """Gemini lists the modalities of prompt, cache and answer; text is no modality of its own price."""
    raw = {
        "promptTokenCount": 30, "candidatesTokenCount": 9, "cachedContentTokenCount": 20,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 5}, {"modality": "AUDIO", "tokenCount": 25}, 3],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 4}, {"modality": "IMAGE", "tokenCount": 2}],
    }  # fmt: skip
    found = usage.read(raw)
    assert found.extra == {"input_audio": 25, "cache_audio": 20, "output_image": 6}
    assert (found.input_uncached, found.cache_read, found.output) == (10, 20, 9)


def test_the_halves_of_a_stream_are_laid_over_each_other() -> None:
    """The first count of output gives way to the final one; null in the later half says nothing."""
    start = {"input_tokens": 25, "cache_read_input_tokens": 4, "output_tokens": 1}
    end = {"output_tokens": 41, "input_tokens": None}
    assert usage.read(usage.overlay(start, end)) == Usage(input_uncached=25, cache_read=4, output=41, basis="provider")


def test_disjoint_buckets_add_up() -> None:
    """Buckets whose names start alike belong together; reasoning is a part of the output."""
    raw = {
        "input": 10, "input_cached_tokens": 5, "input_cache_creation_5m": 2, "input_cache_creation_1h": 1,
        "output": 7, "output_reasoning_tokens": 3, "total": 28,
    }  # fmt: skip
    wanted = Usage(input_uncached=10, cache_read=5, cache_write=3, output=10, reasoning=3, basis="instrumentation")
    assert usage.from_buckets(raw) == wanted
    assert usage.from_buckets({"total": 3}) == MISSING


def test_a_dialect_that_nobody_speaks_is_refused() -> None:
    """Naming an unknown dialect is a mistake of the caller."""
    with pytest.raises(KeyError, match="klingon"):
        usage.read({"prompt_tokens": 3}, "klingon")


COUNTS = st.integers(-2, 9) | st.none() | st.integers(-5, 2**60) | st.floats() | st.text(max_size=3) | st.booleans()
PLACES = ("input", "output", "total", "cache_read", "cache_write", "reasoning", "beside", "audio")
PATHS = sorted({path for dialect in usage.DIALECTS.values() for name in PLACES for path in getattr(dialect, name)})


@given(st.sampled_from(sorted(usage.DIALECTS)), st.dictionaries(st.sampled_from(PATHS), COUNTS), st.booleans())
def test_any_figures_give_classes_that_are_not_negative(dialect: str, counts: Row, named: bool) -> None:
    """Whatever counts stand where, no class is below zero, and nothing is raised."""
    raw: Row = {}
    for path, count in counts.items():
        outer, dot, inner = path.partition(".")
        if dot:
            raw[outer] = {**(raw[outer] if isinstance(raw.get(outer), dict) else {}), inner: count}
        else:
            raw.setdefault(outer, count)
    found = usage.read(raw, dialect if named else None)
    classes = (found.input_uncached, found.cache_read, found.cache_write, found.output, found.reasoning)
    assert all(count is None or count >= 0 for count in classes)
