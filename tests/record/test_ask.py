"""What a model request asks for, and whether it was taken."""

from __future__ import annotations

from typing import Any

import pytest

from tachograph import LLMCall
from tachograph.errors import ModelError
from tachograph.record.ask import most_output, was_refused


@pytest.mark.parametrize(
    ("params", "most", "replies"),
    [
        (None, None, 1),
        ({"temperature": 0.2}, None, 1),
        ({"max_tokens": 400}, 400, 1),
        ({"max_tokens": 400, "max_completion_tokens": 900}, 900, 1),
        ({"max_output_tokens": 7}, 7, 1),
        ({"generationConfig": {"maxOutputTokens": 64, "candidateCount": 2}}, 64, 2),
        ({"config": {"max_output_tokens": 5}}, 5, 1),
        ({"options": {"num_predict": 9}}, 9, 1),
        ({"max_tokens": 100, "n": 3}, 100, 3),
        ({"max_tokens": 100, "n": 0, "best_of": None}, 100, 1),
        ({"n": 3}, None, 3),
        ({"max_tokens": "400"}, None, 1),
        ({"max_tokens": -1}, None, 1),
        ({"max_tokens": True}, None, 1),
        (["max_tokens"], None, 1),
    ],
)
def test_the_most_output_is_read_from_what_is_sent(params: Any, most: int | None, replies: int) -> None:
    """Under each provider's name, and how many replies are asked for; what is no count says nothing."""
    assert most_output(LLMCall("m", params=params)) == (most, replies)


def test_what_the_program_says_counts_before_the_parameters() -> None:
    """Its own figure; and what has no output has none."""
    assert most_output(LLMCall("m", params={"max_tokens": 400}, max_output=10)) == (10, 1)
    assert most_output(LLMCall("m", operation="embedding", params={"max_tokens": 400})) == (0, 1)


class StatusError(Exception):
    """As the SDKs of providers have it."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("sent", "http_status", "error", "refused"),
    [
        (False, None, None, True),
        (True, 429, None, False),
        (None, 429, None, True),
        (None, 400, None, True),
        (None, 503, None, True),
        (None, 529, None, True),
        (None, 500, None, False),
        (None, 408, None, False),
        (None, 200, None, False),
        (None, None, StatusError(401), True),
        (None, None, StatusError(502), False),
        (None, None, TimeoutError(), False),
        (None, None, ModelError("rate_limit", "no", safe=True), True),
        (None, 429, ModelError("network", "cut"), False),
    ],
)
def test_a_refused_request_cost_nothing(
    sent: bool | None, http_status: int | None, error: BaseException | None, refused: bool
) -> None:
    """By what the program says, the error, or the status: what may have been worked on was not refused."""
    assert was_refused(sent, "failed", http_status, error) is refused


def test_a_request_that_ended_otherwise_was_sent() -> None:
    """Completed, cancelled, abandoned: whatever its status was."""
    assert not any(was_refused(None, status, 429, None) for status in ("completed", "cancelled", "abandoned"))
