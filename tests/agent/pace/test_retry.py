from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.pace.retry import EXHAUSTED, REFUSALS, TRANSIENT, Retry
from tachograph.errors import ModelError, SettingsError

CATEGORIES = (
    "timeout", "auth", "rate_limit", "overloaded", "server_error", "network", "context_overflow", "invalid_request",
    "cancelled", "budget", "bug",
)  # fmt: skip


def failure(category: str, **facts: Any) -> ModelError:
    """A request that failed."""
    return ModelError(category, "it failed", **facts)


TABLE: dict[str, tuple[ModelError, bool, bool, bool]] = {
    # what happened: (the error, whether anything of the reply was passed on, made again, made again with `cut`)
    "no connection": (failure("network", safe=True), False, True, True),
    "no free connection in time": (failure("timeout", safe=True), False, True, True),
    "408": (failure("timeout", status=408, safe=True), False, True, True),
    "409": (failure("overloaded", status=409, safe=True), False, True, True),
    "425": (failure("overloaded", status=425, safe=True), False, True, True),
    "429": (failure("rate_limit", status=429, safe=True), False, True, True),
    "500": (failure("server_error", status=500, safe=True), False, True, True),
    "502 of an adapter that says no more": (failure("server_error", status=502), False, True, True),
    "503": (failure("overloaded", status=503, safe=True), False, True, True),
    "504": (failure("server_error", status=504, safe=True), False, True, True),
    "522": (failure("server_error", status=522, safe=True), False, True, True),
    "529": (failure("overloaded", status=529, safe=True), False, True, True),
    "501": (failure("server_error", status=501, safe=True), False, False, False),
    "505": (failure("server_error", status=505, safe=True), False, False, False),
    "overload inside the stream": (failure("overloaded", status=529, in_stream=True), True, True, True),
    "overload before any content": (failure("overloaded", in_stream=True, safe=True), False, True, True),
    "server error inside the stream": (failure("server_error", in_stream=True), True, True, True),
    "rate limit inside the stream": (failure("rate_limit", in_stream=True), True, True, True),
    "cut in the middle": (failure("network", in_stream=True), True, False, True),
    "cut after it was sent": (failure("network"), False, False, True),
    "ended without saying so": (failure("network", in_stream=True), False, False, True),
    "too late": (failure("timeout"), False, False, True),
    "too late in the middle": (failure("timeout", in_stream=True), True, False, True),
    "said to be safe, yet something came": (failure("network", safe=True), True, False, True),
    "a reply that cannot be read": (failure("server_error"), False, False, False),
    "a reply that cannot be read, 200": (failure("server_error", status=200), False, False, False),
    "402": (failure("rate_limit", status=402, safe=True), False, False, False),
    "402, inside the stream": (failure("rate_limit", status=402, in_stream=True), True, False, False),
    "quota used up": (failure("rate_limit", status=429, code="insufficient_quota", safe=True), False, False, False),
    "quota used up, inside": (failure("rate_limit", code="insufficient_quota", in_stream=True), False, False, False),
    "400": (failure("invalid_request", status=400, safe=True), False, False, False),
    "401": (failure("auth", status=401, safe=True), False, False, False),
    "403": (failure("auth", status=403, safe=True), False, False, False),
    "404": (failure("invalid_request", status=404, safe=True), False, False, False),
    "422": (failure("invalid_request", status=422, safe=True), False, False, False),
    "context full": (failure("context_overflow", status=400, safe=True), False, False, False),
    "context full, 500": (failure("context_overflow", status=500, safe=True), False, False, False),
    "no budget": (failure("budget", safe=True), False, False, False),
    "cancelled": (failure("cancelled", safe=True), False, False, False),
    "a bug": (failure("bug", safe=True), False, False, False),
}


@pytest.mark.parametrize("case", TABLE, ids=list(TABLE))
def test_what_is_made_again(case: str) -> None:
    """Each row of the table: whether a request that failed like this is made again, and with `cut`."""
    error, started, again, with_cut = TABLE[case]
    assert Retry().repeats(error, started=started) is again
    assert Retry(cut=True).repeats(error, started=started) is with_cut
    wait = Retry().after(error, 1, random=lambda: 0.5, left=None, started=started)
    assert wait == (0.25 if again else None)


def test_attempts_count_from_one_and_the_first_is_one_of_them() -> None:
    """With three attempts there are two waits, whose bounds double up to the most."""
    error = failure("overloaded", status=529, safe=True)
    waits = [Retry().after(error, attempt, random=lambda: 0.5, left=None) for attempt in (1, 2, 3, 4)]
    assert waits == [0.25, 0.5, None, None]
    assert Retry(attempts=1).after(error, 1, random=lambda: 0.5, left=None) is None
    assert [Retry().bound(attempt) for attempt in (1, 2, 3, 6, 7, 8, 10_000)] == [0.5, 1, 2, 16, 30, 30, 30]


@pytest.mark.parametrize(
    ("asked", "left", "wait"),
    [
        (7.0, None, 7.0),
        (7.0, 7.5, 7.0),
        (7.0, 7.0, None),
        (7.0, 3.0, None),
        (60.0, None, 60.0),
        (60.5, None, None),
        (3600.0, 7200.0, None),
        (0.0, None, 0.25),
        (0.1, None, 0.25),
        (-5.0, None, 0.25),
        (math.nan, None, None),
        (math.inf, None, None),
        (None, 0.0, None),
        (None, 0.1, 0.05),
    ],
    ids=[
        "asked", "in-time", "at-the-deadline", "past-it", "most", "too-long", "an-hour", "at-once", "less-than-jitter",
        "negative", "no-number", "never", "no-time", "little-time",
    ],
)  # fmt: skip
def test_a_provider_that_says_when_is_heeded(asked: float | None, left: float | None, wait: float | None) -> None:
    """Retry-After is the least wait; what is beyond `honour` or the deadline is given up at once."""
    error = failure("rate_limit", status=429, retry_after=asked, safe=True)
    assert Retry().after(error, 1, random=lambda: 0.5, left=left) == wait


@given(
    category=st.sampled_from(CATEGORIES),
    status=st.none() | st.sampled_from([200, 400, 401, 402, 404, 408, 422, 429, 500, 501, 503, 529]),
    code=st.sampled_from(["", "slow_down", *EXHAUSTED]),
    asked=st.none() | st.floats(-1, 200),
    safe=st.booleans(),
    in_stream=st.booleans(),
    started=st.booleans(),
    attempt=st.integers(1, 5),
    left=st.none() | st.floats(0, 100),
    drawn=st.floats(0, 1, exclude_max=True),
    retry=st.builds(
        Retry,
        attempts=st.integers(1, 5),
        base=st.floats(0, 5),
        most=st.floats(0, 60),
        honour=st.floats(0, 100),
        cut=st.booleans(),
    ),
)
def test_no_wait_is_out_of_its_bounds(
    *, category: str, status: int | None, code: str, asked: float | None, safe: bool, in_stream: bool, started: bool,
    attempt: int, left: float | None, drawn: float, retry: Retry,
) -> None:  # fmt: skip
    """Whatever failed: no wait past the deadline, below what was asked, above its bound, after the last attempt."""
    error = failure(category, status=status, code=code, retry_after=asked, safe=safe, in_stream=in_stream)
    wait = retry.after(error, attempt, random=lambda: drawn, left=left, started=started)
    if wait is None:
        return
    assert 0 <= wait < (math.inf if left is None else left)
    assert (asked or 0) <= wait <= max(asked or 0, retry.bound(attempt))
    assert (asked or 0) <= retry.honour
    assert attempt < retry.attempts
    assert category in TRANSIENT
    assert code not in EXHAUSTED
    assert in_stream or started or status is None or status < 400 or status in REFUSALS
    assert retry.cut or safe or status in REFUSALS or in_stream or started
    assert retry.cut or not (started and category in ("network", "timeout"))


@given(
    attempt=st.integers(1, 12), drawn=st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=2, unique=True)
)
def test_jitter_is_full(attempt: int, drawn: list[float]) -> None:
    """The wait is the drawn share of the bound: all of the range is used, evenly."""
    retry, error = Retry(attempts=20), failure("network", safe=True)
    waits = [retry.after(error, attempt, random=lambda value=value: value, left=None) for value in drawn]  # type: ignore[misc]
    assert waits == [value * min(30.0, 0.5 * 2 ** (attempt - 1)) for value in drawn]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attempts": 0}, "attempts=0 cannot be used: a number from 1 on"),
        ({"base": -1}, "base=-1 cannot be used: seconds, 0 or more"),
        ({"most": math.nan}, "most=nan cannot be used"),
        ({"honour": -0.5}, "honour=-0.5 cannot be used"),
    ],
    ids=["attempts", "base", "most", "honour"],
)
def test_what_cannot_work_is_refused(settings: dict[str, Any], told: str) -> None:
    """Figures that mean nothing raise, with what would do."""
    with pytest.raises(SettingsError, match=told):
        Retry(**settings)
