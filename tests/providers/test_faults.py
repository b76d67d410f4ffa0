"""From what was seen of a failure to its category; the module's table, row by row."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.events.chat import assistant
from tachograph.providers.config import ModelConfig
from tachograph.providers.faults import Incomplete, Refusal, category, failure, told, without
from tachograph.providers.port import Reply
from tachograph.providers.tap import Attempt, Collector

CATEGORIES = {
    "timeout", "auth", "rate_limit", "overloaded", "server_error", "network", "context_overflow", "invalid_request",
}  # fmt: skip
CONFIG = ModelConfig(model="m", provider="openai")
SAID = Reply(message=assistant("Hel"), finish="stop")


class ModelAPIError(Exception):
    """Named like the library's, as are those below: they are known by their names."""

    def __init__(self, message: str = "no", **facts: Any) -> None:
        super().__init__(message)
        vars(self).update(facts)


class ModelConnectionError(ModelAPIError):
    """The connection."""


class ModelTimeoutError(ModelConnectionError):
    """The connection took too long."""


class ModelHTTPError(ModelAPIError):
    """A status."""


class ModelQuotaExceededError(ModelAPIError):
    """No money left."""


class UserError(Exception):
    """What cannot be asked."""


def tried(status: int | None = 200, **headers: str) -> Collector:
    """A request that got this answer."""
    attempt = Attempt("POST", "https://x.test/", 5, 0, ended=1, status=status)
    attempt.headers = httpx2.Headers(headers)
    return Collector(attempts=[attempt], secret="sk-secret")


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        (Refusal(401), "auth"),
        (Refusal(402), "rate_limit"),
        (Refusal(408), "timeout"),
        (Refusal(413), "invalid_request"),
        (Refusal(425), "overloaded"),
        (Refusal(418), "invalid_request"),
        (Refusal(507), "server_error"),
        (Refusal(400, kind="invalid_api_key"), "auth"),
        (Refusal(400, kind="billing_error"), "rate_limit"),
        (Refusal(400, message="This model's maximum context length is 8192 tokens"), "context_overflow"),
        (Refusal(500, message="maximum context length"), "server_error"),
        (Refusal(None, kind="overloaded_error"), "overloaded"),
        (Refusal(None, code="rate_limit_exceeded"), "rate_limit"),
        (Refusal(None), "server_error"),
    ],
)
def test_a_refusal_has_a_category(refusal: Refusal, expected: str) -> None:
    """By its status, its code, its type, or what it says of the context."""
    assert category(refusal) == expected


@given(st.builds(Refusal, st.none() | st.integers(400, 599), st.text(), st.text(), st.text()))
def test_every_refusal_has_a_category(refusal: Refusal) -> None:
    """Whatever a provider says."""
    assert category(refusal) in CATEGORIES


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"message": "m", "type": "t", "code": "c"}}, Refusal(None, "c", "t", "m")),
        ({"type": "error", "error": {"type": "t", "message": "m"}}, Refusal(None, "", "t", "m")),
        ([{"error": {"code": 429, "status": "S", "message": "m"}}], Refusal(429, "", "S", "m")),
        ({"error": "words"}, Refusal(message="words")),
        ({"detail": "m"}, Refusal(message="m")),
        ("words", Refusal(message="words")),
        (None, Refusal()),
        (7, Refusal()),
    ],
    ids=["openai", "anthropic", "gemini", "text inside", "detail", "text", "nothing", "number"],
)
def test_what_an_error_says(body: Any, expected: Refusal) -> None:
    """The shapes of the four wires, and poorer ones."""
    assert told(body) == expected


@pytest.mark.parametrize(
    ("error", "collector", "partial", "expected"),
    [
        (TimeoutError(), tried(), None, ("timeout", "deadline", False)),
        (Incomplete("cut"), tried(), SAID, ("network", "incomplete", False)),
        (ModelConnectionError(phase="connect"), tried(None), None, ("network", "connect", True)),
        (ModelConnectionError(phase="read"), tried(), SAID, ("network", "read", False)),
        (ModelTimeoutError(phase="read"), tried(), None, ("timeout", "read", False)),
        (ModelTimeoutError(phase="connect"), tried(None), None, ("network", "connect", True)),
        (ModelAPIError(body=None), tried(), SAID, ("network", "incomplete", False)),
        (ModelHTTPError(status_code=503, body=None), tried(503), None, ("overloaded", "", True)),
        (ModelHTTPError(status_code=529, body={}, in_stream=True), tried(), None, ("overloaded", "", True)),
        (ModelHTTPError(status_code=529, body={}, in_stream=True), tried(), SAID, ("overloaded", "", False)),
        (ModelQuotaExceededError(body={}), tried(429), None, ("rate_limit", "insufficient_quota", True)),
        (UserError("x"), Collector(), None, ("invalid_request", "unsupported", True)),
        (NotImplementedError("x"), Collector(), None, ("invalid_request", "unsupported", True)),
        (ValueError("x"), tried(), None, ("bug", "", False)),
    ],
    ids=[
        "late", "cut", "connect", "read", "slow", "slow connect", "no end", "503", "in stream", "in stream after text",
        "quota", "user", "not there", "bug",
    ],
)  # fmt: skip
def test_a_failure_is_one_of_ours(
    error: Exception, collector: Collector, partial: Reply | None, expected: tuple[str, str, bool]
) -> None:
    """Category, code, and whether asking again is safe."""
    found = failure(error, CONFIG, collector, partial)
    assert (found.category, found.code, found.safe) == expected
    assert (found.provider, found.model, found.partial) == ("openai", "m", partial)
    assert found.exchanges == collector.exchanges


def test_the_waiting_time_is_the_headers_or_the_errors() -> None:
    """The header at the wire counts, then what the library read of the body."""
    assert failure(ModelHTTPError(status_code=429, retry_after=9.0), CONFIG, tried(429), None).retry_after == 9.0
    headers = tried(429, **{"retry-after": "3"})
    assert failure(ModelHTTPError(status_code=429, retry_after=9.0), CONFIG, headers, None).retry_after == 3.0
    assert failure(ModelHTTPError(status_code=500), CONFIG, tried(500), None).retry_after is None


def test_the_key_is_taken_out_of_what_is_said() -> None:
    """Also where a provider repeats it; what is too short to be a key is not looked for."""
    found = failure(ModelHTTPError("bad sk-secret!", status_code=401), CONFIG, tried(401), None)
    assert str(found) == "openai m: auth: bad [key]!"
    assert without("abc", "a") == "abc"
