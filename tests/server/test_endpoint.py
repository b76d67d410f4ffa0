from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from tachograph.server.endpoint import Nothing, decoded, matches, parameters
from tachograph.server.problems import Refusal


class Asked(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Parameters of a question for these tests."""

    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    status: Literal["completed", "failed"] | None = None
    calls: bool = False
    text: str | None = None


def test_parameters_are_read_as_their_types() -> None:
    """Numbers, flags and words come out as the struct says; what is left out has its default."""
    given = [("limit", "20"), ("calls", "true"), ("status", "failed"), ("text", "null")]
    assert parameters(Asked, given) == Asked(limit=20, calls=True, status="failed", text="null")
    assert parameters(Asked, []) == Asked()


@pytest.mark.parametrize(
    ("given", "blamed", "said"),
    [
        ([("limit", "0")], "limit", "limit='0' cannot be used: Expected `int` >= 1"),
        ([("limit", "501")], "limit", "limit='501' cannot be used: Expected `int` <= 500"),
        ([("limit", "many")], "limit", "limit='many' cannot be used: Expected `int`, got `str`"),
        ([("limit", "1"), ("limit", "2")], "limit", "limit is given more than once; give it once"),
        ([("status", "null")], "status", "status='null' cannot be used; leave it out to ask nothing of it"),
        ([("status", "odd")], "status", "status='odd' cannot be used: Invalid enum value 'odd'"),
        ([("limits", "5")], "limits", "the query has no field 'limits'; there are: limit, status, calls, text"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(given: list[tuple[str, str]], blamed: str, said: str) -> None:
    """Out of bounds, of another type, unknown or given twice: 422, with the name and the value."""
    with pytest.raises(Refusal) as caught:
        parameters(Asked, given)
    problem = caught.value.problem
    assert (problem.status, problem.parameter, problem.detail) == (422, blamed, said)


def test_an_endpoint_without_parameters_takes_none() -> None:
    """Where nothing can be asked, any parameter is unknown."""
    with pytest.raises(Refusal) as caught:
        parameters(Nothing, [("page", "1")])
    assert caught.value.problem.detail == "the query has no field 'page'; there are: none"


@pytest.mark.parametrize(
    ("body", "status", "blamed"),
    [
        (b"{", 400, "body"),
        (b'{"limit": "many"}', 422, "limit"),
        (b'{"other": 1}', 422, "other"),
        (b"[]", 422, "body"),
    ],
)
def test_a_body_that_cannot_be_used_is_blamed(body: bytes, status: int, blamed: str) -> None:
    """What is no JSON is a 400; JSON of another shape is a 422 that names the place."""
    with pytest.raises(Refusal) as caught:
        decoded(body, Asked)
    assert (caught.value.problem.status, caught.value.problem.parameter) == (status, blamed)


@pytest.mark.parametrize(
    ("header", "same"),
    [(None, False), ('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False)],
)
def test_entity_tags_are_compared_weakly(header: str | None, same: bool) -> None:
    """If-None-Match may name several tags, weak ones, or any."""
    assert matches(header, '"a"') is same
