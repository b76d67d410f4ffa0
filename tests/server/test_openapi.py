from __future__ import annotations

import msgspec
import pytest

from tachograph.server.api import surface
from tachograph.server.app import document
from tachograph.server.endpoint import Endpoint
from tachograph.server.openapi import statuses

DOCUMENT = msgspec.json.decode(document())
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]


def test_every_endpoint_is_in_the_document() -> None:
    """Path, method and id of each endpoint stand in the document, and nothing else does."""
    ours = {(each.path, each.method.lower(), each.name) for each in surface.ENDPOINTS}
    found = {(path, method, operation["operationId"]) for path, method, operation in OPERATIONS}
    assert found - ours == {("/openapi.json", "get", "openapi")}
    assert ours - found == set()


def test_operation_ids_are_unique() -> None:
    """No two operations have the same id."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("endpoint", surface.ENDPOINTS, ids=lambda each: each.name)
def test_every_status_is_documented(endpoint: Endpoint) -> None:
    """An operation lists its success and every problem it may answer."""
    responses = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]["responses"]
    assert {str(status) for status in (endpoint.status, *statuses(endpoint))} - set(responses) == set()


def test_every_reference_leads_somewhere() -> None:
    """Each `$ref` names a schema that is there."""
    schemas = set(DOCUMENT["components"]["schemas"])
    found = {text.rpartition("/")[2] for text in _references(DOCUMENT)}
    assert found - schemas == set()


def test_every_operation_and_parameter_says_what_it_is() -> None:
    """Operations and query parameters have a description."""
    silent = [
        (path, found.get("name"))
        for path, _, operation in OPERATIONS
        for found in ({"description": operation["description"]}, *operation["parameters"])
        if not found.get("description") and found.get("in") != "path"
    ]
    assert silent == []


def test_parameters_that_may_be_left_out_have_no_null() -> None:
    """A query has no null: what asks nothing is not there."""
    assert not [
        found["name"]
        for _, _, operation in OPERATIONS
        for found in operation["parameters"]
        if "null" in str(found["schema"])
    ]


def _references(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [text for inner in value.values() for text in _references(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in _references(inner)]
    return []
