"""Exceptions as facts, whatever they do to resist."""

from __future__ import annotations

import asyncio

import pytest

from tachograph.errors import LimitExceeded, ModelError
from tachograph.record.failure import category_of, failure_of, status_of, stop_reason_of
from tachograph.record.scrub import Scrubber


class Hostile(Exception):
    """Its text raises."""

    def __str__(self) -> str:
        raise ValueError("no")


def masked(text: str) -> str:
    """Masks one word."""
    return text.replace("hunter2", "***")


def test_a_failure_says_class_message_and_place_without_secrets() -> None:
    """The message and the traceback pass the mask; without content no traceback is kept."""

    def login() -> None:
        raise ConnectionError("login hunter2 refused")

    with pytest.raises(ConnectionError) as raised:
        login()
    kept, bare = failure_of(raised.value, masked), failure_of(raised.value, masked, content=False)
    assert (kept.type, kept.message, kept.category) == ("ConnectionError", "login *** refused", "network")
    assert kept.traceback is not None
    assert "test_failure.py" in kept.traceback
    assert "hunter2" not in kept.traceback
    assert (bare.message, bare.traceback) == ("", None)


@pytest.mark.parametrize(
    ("error", "message"),
    [(Hostile(), "<ValueError in str()>"), (ValueError("a\ud800b"), "a?b"), (ValueError("x" * 9_000), "x" * 4_000)],
)
def test_no_exception_can_break_it(error: Exception, message: str) -> None:
    """Texts that raise, that are no Unicode, that are huge."""
    assert failure_of(error, masked).message == message


@pytest.mark.parametrize(
    ("error", "category", "status", "reason"),
    [
        (TimeoutError(), "timeout", "failed", "internal_error"),
        (asyncio.CancelledError(), "cancelled", "cancelled", "user_cancel"),
        (GeneratorExit(), "cancelled", "cancelled", ""),
        (KeyboardInterrupt(), "cancelled", "cancelled", "signal"),
        (LimitExceeded("deadline", 1, 0, 1), "budget", "failed", "deadline"),
        (LimitExceeded("own_metric", 1, 0, 1), "budget", "failed", "quota"),
        (ValueError(), "", "failed", "internal_error"),
    ],
)
def test_what_an_exception_means(error: BaseException, category: str, status: str, reason: str) -> None:
    """Category, status of the step, stop reason of the run."""
    assert (category_of(error), status_of(error), stop_reason_of(error)) == (category, status, reason)


def test_a_model_error_says_its_category_itself() -> None:
    """Whoever asked the model knows best what went wrong."""
    assert category_of(ModelError("overloaded", "later")) == "overloaded"


def test_no_exception_completes() -> None:
    """Without an error a step is completed and a run needs no reason."""
    assert (status_of(None), stop_reason_of(None)) == ("completed", "")


def test_a_cut_never_leaves_half_a_secret() -> None:
    """The text is masked before it is cut to size, at the front and at the back."""
    key = "sk-proj-" + "a1B2c3D4" * 6
    mask = Scrubber().plain
    for shift in range(0, 60, 7):
        message = failure_of(ValueError("x " * 1_985 + "y" * shift + " " + key), mask).message
        assert "a1B2c3D4" not in message
