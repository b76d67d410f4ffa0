from __future__ import annotations

import msgspec
import pytest

from tachograph.errors import (
    Ambiguous,
    CodecError,
    InvalidParameter,
    MissingExtra,
    NotFound,
    SequenceGap,
    SettingsError,
    StoreUnavailable,
    TachographError,
)
from tachograph.server.problems import MEDIA_TYPE, Refusal, invalid, refusal_for, response


@pytest.mark.parametrize(
    ("problem", "status", "kind"),
    [
        (InvalidParameter("start_date", "yesterday", "an ISO date"), 422, "invalid-parameter"),
        (NotFound("execution", "exec_1"), 404, "not-found"),
        (Ambiguous("run", "exec_1", ("a", "b")), 409, "ambiguous"),
        (SequenceGap("r", 3, 7), 409, "sequence-gap"),
        (CodecError("no type"), 422, "invalid-parameter"),
        (MissingExtra("archiving", "pyarrow", "archive"), 501, "missing-extra"),
        (SettingsError("store", "x:", "sqlite:PATH"), 422, "invalid-parameter"),
        (StoreUnavailable("sqlite:a.db", "locked"), 503, "store-unavailable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_error_of_ours_is_a_problem_with_a_status(problem: TachographError, status: int, kind: str) -> None:
    """Each error that a request can cause has its status and kind, and says what the error says."""
    refusal = refusal_for(problem)
    assert refusal is not None
    assert (refusal.problem.status, refusal.problem.type) == (status, f"urn:tachograph:problem:{kind}")
    assert refusal.problem.detail == str(problem)


def test_what_no_request_is_to_blame_for_is_no_refusal() -> None:
    """A fault of ours stays a fault, to be logged whole."""
    assert refusal_for(KeyError("x")) is None


def test_outside_nobody_is_told_where_the_store_is() -> None:
    """A store that does not answer is a 503 for everybody; its path is for this machine alone."""
    problem = StoreUnavailable("sqlite:/srv/private/a.db", "locked")
    told = [refusal_for(problem, inside=inside) for inside in (True, False)]
    assert [refusal is not None and refusal.problem.status for refusal in told] == [503, 503]
    assert ["/srv/private" in str(refusal) for refusal in told] == [True, False]


def test_a_refusal_stays_what_it_is() -> None:
    """A refusal that a handler raises is answered as it is."""
    refusal = invalid("limit", "limit=0")
    assert refusal_for(refusal) is refusal


def test_a_problem_is_spelled_as_rfc_9457_says() -> None:
    """The response has the problem's media type, status, headers and members; empty members are left out."""
    refusal = Refusal(409, "sequence-gap", "a hole", headers={"Retry-After": "1"}, facts={"expected": 3})
    made = response(refusal)
    assert (made.status_code, made.headers["content-type"], made.headers["retry-after"]) == (409, MEDIA_TYPE, "1")
    assert msgspec.json.decode(bytes(made.body)) == {
        "type": "urn:tachograph:problem:sequence-gap",
        "title": "Conflict",
        "status": 409,
        "detail": "a hole",
        "facts": {"expected": 3},
    }
