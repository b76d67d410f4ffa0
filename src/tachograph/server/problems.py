"""What went wrong, as problem details (RFC 9457): one shape for every error, whoever found it.

`type` names the kind of problem and stays the same across versions; `detail` says it for people; `parameter` names the
part of the request that is to blame, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import (
    Ambiguous,
    ApprovalRefused,
    CodecError,
    InvalidParameter,
    MissingExtra,
    NotFound,
    SequenceGap,
    SettingsError,
    StoreUnavailable,
    TachographError,
)

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A problem with a request, after RFC 9457."""

    type: Annotated[str, Meta(description="What kind of problem it is; `about:blank` where the status says it all.")]
    title: Annotated[str, Meta(description="The status in words.")]
    status: Annotated[int, Meta(ge=400, le=599, description="The HTTP status.")]
    detail: Annotated[str, Meta(description="What was wrong, with what value, and what to do.")] = ""
    parameter: Annotated[str, Meta(description="The parameter, header or part of the body that is to blame.")] = ""
    facts: Annotated[dict[str, str | int | float | None], Meta(description="The same as values, by name.")] = {}


class Refusal(TachographError):
    """A request is answered with a problem. `headers` go with it."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        parameter: str = "",
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.headers = dict(headers or {})
        self.problem = Problem(
            type=_kind(kind), title=HTTPStatus(status).phrase, status=status, detail=detail, parameter=parameter,
            facts=dict(facts or {}),
        )  # fmt: skip
        super().__init__(detail)


def invalid(parameter: str, detail: str) -> Refusal:
    """A parameter or a part of the body has a value that cannot be used: 422."""
    return Refusal(422, "invalid-parameter", detail, parameter=parameter)


def refusal_for(problem: Exception, *, inside: bool = True) -> Refusal | None:
    """The refusal that an error of ours stands for; None for one that is no fault of the request.

    Who is not `inside`, on this machine, is not told where the store is.
    """
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, StoreUnavailable) and not inside:
        detail = "the store is not available; the server's log says why"
        return Refusal(503, "store-unavailable", detail, headers={"Retry-After": "1"})
    found = next((make for kind, make in _REFUSALS if isinstance(problem, kind)), None)
    return None if found is None else found(problem)


def response(refusal: Refusal) -> Response:
    """The problem as a response."""
    body = msgspec.json.encode(refusal.problem)
    return Response(body, refusal.problem.status, refusal.headers, media_type=MEDIA_TYPE)


def _kind(name: str) -> str:
    return name if name == "about:blank" else f"urn:tachograph:problem:{name}"


def _not_found(problem: NotFound | Ambiguous, status: int, kind: str) -> Refusal:
    return Refusal(status, kind, str(problem), facts={"what": problem.what, "key": problem.key})


def _gap(problem: SequenceGap) -> Refusal:
    facts = {"run": problem.run, "expected": problem.expected, "found": problem.found}
    return Refusal(409, "sequence-gap", str(problem), facts=facts)


def _undecided(problem: ApprovalRefused) -> Refusal:
    facts = {"approval": problem.approval, "problem": problem.problem, "by": problem.by}
    return Refusal(409, "approval-refused", str(problem), facts=facts)


_REFUSALS: tuple[tuple[type[Exception], Callable[[Any], Refusal]], ...] = (
    (InvalidParameter, lambda problem: invalid(problem.name, str(problem))),
    (NotFound, lambda problem: _not_found(problem, 404, "not-found")),
    (Ambiguous, lambda problem: _not_found(problem, 409, "ambiguous")),
    (SequenceGap, _gap),
    (ApprovalRefused, _undecided),
    (CodecError, lambda problem: invalid("body", str(problem))),
    (MissingExtra, lambda problem: Refusal(501, "missing-extra", str(problem))),
    (SettingsError, lambda problem: invalid(problem.name, str(problem))),
    (
        StoreUnavailable,
        lambda problem: Refusal(503, "store-unavailable", str(problem), headers={"Retry-After": "1"}),
    ),
)
"""Error → its refusal; the first that fits counts."""
