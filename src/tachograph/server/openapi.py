"""The OpenAPI 3.1 document, made from the endpoints: it cannot say what the server does not do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from tachograph.server.callers.access import TOKEN_HEADER
from tachograph.server.endpoint import JSON, Endpoint
from tachograph.server.problems import MEDIA_TYPE, Problem

_REF = "#/components/schemas/{name}"
_ABOUT = (
    "What agents did, what it cost, where they looped. "
    "Times are UTC, money is USD, every error is a problem (RFC 9457)."
)
_EVERYWHERE = (400, 401, 403, 421, 422, 503)
_WITH_PATH, _WITH_BODY = (404, 409), (413, 415)
_READING: Sequence[Mapping[str, Any]] = ({"key": []}, {})
_CHANGING: Sequence[Mapping[str, Any]] = ({"key": []}, {"token": []})
_SCHEMES = {
    "key": {"type": "http", "scheme": "bearer", "description": "An access key: `tachograph keys add`."},
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": TOKEN_HEADER,
        "description": "The same-origin token of a server that listens on loopback: `GET /api/token`.",
    },
}


def document(endpoints: Sequence[Endpoint], version: str) -> dict[str, Any]:
    """The whole document."""
    schemas, components = _schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        operations = paths.setdefault(endpoint.path, {})
        operations[endpoint.method.lower()] = _operation(endpoint, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tachograph", "version": version, "description": _ABOUT, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def statuses(endpoint: Endpoint) -> tuple[int, ...]:
    """Every status with which the operation may answer a problem."""
    found = set(_EVERYWHERE) | set(endpoint.problems)
    if "{" in endpoint.path:
        found |= set(_WITH_PATH)
    if endpoint.takes is not None:
        found |= set(_WITH_BODY)
    return tuple(sorted(found))


def _schemas(endpoints: Iterable[Endpoint]) -> tuple[Mapping[Any, dict[str, Any]], dict[str, Any]]:
    """Schema of every type that is named, and the components they share."""
    types: list[Any] = [Problem]
    for endpoint in endpoints:
        types += [kind for kind in (endpoint.asks, endpoint.gives, endpoint.takes) if kind is not None]
    unique = list(dict.fromkeys(types))
    found, components = msgspec.json.schema_components(unique, ref_template=_REF)
    return dict(zip(unique, found, strict=True)), dict(components)


def _operation(endpoint: Endpoint, schemas: Mapping[Any, Any], components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.about.partition(". ")[0].rstrip("."),
        "description": endpoint.about,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint, components)],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.takes is not None:
        content = {media: {"schema": schemas[endpoint.takes]} for media in endpoint.takes_media}
        operation["requestBody"] = {"required": True, "content": content}
    operation["security"] = [{}] if endpoint.open else list(_READING if endpoint.scope == "read" else _CHANGING)
    return operation


def _responses(endpoint: Endpoint, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    given = {"content": {endpoint.media: {"schema": schemas[endpoint.gives]}}} if endpoint.status != 204 else {}
    found: dict[str, Any] = {str(endpoint.status): {"description": HTTPStatus(endpoint.status).phrase, **given}}
    if endpoint.method == "GET" and endpoint.media == JSON:
        found["304"] = {"description": "You have this state already (If-None-Match)."}
    found |= {str(status): {"description": HTTPStatus(status).phrase} for status in endpoint.without_body}
    problem = {"content": {MEDIA_TYPE: {"schema": schemas[Problem]}}}
    found |= {str(status): {"description": HTTPStatus(status).phrase, **problem} for status in statuses(endpoint)}
    return found


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    return [
        {"name": name.partition(":")[0], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in names
    ]


def _query_parameters(endpoint: Endpoint, components: Mapping[str, Any]) -> list[dict[str, Any]]:
    properties: Mapping[str, Any] = components[endpoint.asks.__name__]["properties"]
    required = components[endpoint.asks.__name__].get("required", ())
    return [_query_parameter(name, schema, name in required) for name, schema in properties.items()]


def _query_parameter(name: str, schema: Mapping[str, Any], required: bool) -> dict[str, Any]:
    """A parameter. One that may be left out has no null in the query: it is just not there."""
    plain = {key: value for key, value in schema.items() if key not in ("description", "default")}
    if "anyOf" in plain:
        rest = [part for part in plain.pop("anyOf") if part != {"type": "null"}]
        plain |= rest[0] if len(rest) == 1 else {"anyOf": rest}
    own = schema.get("description") or plain.pop("description", "")
    description = own or f"Only what has this {name.replace('_', ' ')}."
    if schema.get("default") is not None:
        plain["default"] = schema["default"]
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": description,
        "schema": plain,
    }
