"""Estimates of tokens before anybody counted them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.limits.estimate import FRAME, LEAST_COUNTED, family_of, ratio_of, tokens_of


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4.1-mini", "gpt"),
        ("openai/gpt-5", "gpt"),
        ("claude-sonnet-4-5-20250929", "claude"),
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude"),
        ("Meta/Llama-3.3-70B", "llama"),
        ("house-blend", ""),
        ("", ""),
    ],
)
def test_a_model_belongs_to_a_family_by_its_name(model: str, family: str) -> None:
    """With the maker in front or not, in any case."""
    assert family_of(model) == family


@given(st.integers(0, 10**9), st.sampled_from(["gpt-5", "claude-opus-4", "x"]), st.floats(0, 1), st.booleans())
def test_an_estimate_grows_with_its_text_and_with_what_was_seen(
    size: int, model: str, seen: float, tools: bool
) -> None:
    """Never less than for a shorter text, or than requests have come to; strict is a token a byte."""
    found = tokens_of(size, model, tools=tools, seen=seen)
    assert found >= max(size * seen, tokens_of(size // 2, model, tools=tools)) >= FRAME
    assert tokens_of(size, model, tools=tools, strict=True, seen=seen) >= size


@given(st.integers(1, 10**6), st.integers(LEAST_COUNTED, 10**6))
def test_what_was_counted_takes_the_place_of_the_estimate(tokens: int, size: int) -> None:
    """All in all, so that the same bytes come to the same tokens; but to no more than a token a byte."""
    known = ratio_of(tokens, size)
    assert known is not None
    assert abs(tokens_of(size, "gpt-5", tools=True, known=known) - min(tokens, size)) <= 1


def test_the_count_of_a_small_request_says_nothing_of_its_text() -> None:
    """What providers put around it is most of it."""
    assert ratio_of(300, LEAST_COUNTED - 1) is None


def test_estimates_hold_for_what_providers_counted(shared_data: Path) -> None:
    """Of the recorded requests, all but those with input from elsewhere: at least 95 of 100 are within their estimate.

    No text makes more tokens than bytes; a count beyond that is of an image, or of what the provider itself looked up.
    """
    billed = [found for found in _billed(shared_data / "provider_http") if found[3] <= found[0]]
    covered = sum(tokens_of(size, model, tools=tools) >= tokens for size, model, tools, tokens in billed)
    assert (len(billed), covered / len(billed) >= 0.95) == (534, True)


def _billed(folder: Path) -> list[tuple[int, str, bool, int]]:
    """(bytes of the request, model, whether it has tools, input tokens billed) where both are known."""
    found = []
    for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        billed = (row["usage_inclusive"] or {}).get("input")
        if row["status"] != 200 or row["body_format"] != "json" or not billed:
            continue
        request = json.loads((folder / row["file"]).read_text(encoding="utf-8"))["request"]
        if request is None:
            continue
        body = request.get("body") or request.get("body_text")
        text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        found.append((len(text.encode()), row["model"] or "", '"tools"' in text or '"toolConfig"' in text, billed))
    return found
