"""An endpoint as a value: what it is called, what it takes, what it gives, who may.

From that one value come the route, the checking of parameters, the OpenAPI document and the guide. Parameters are a
msgspec struct whose constraints are the bounds; a name that it has not, a value given twice or out of bounds is a 422
that names it. Handlers are plain functions from an `Ask` to an answer, run in a thread: the store waits for disks.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tachograph.errors import StoreError
from tachograph.server import problems
from tachograph.server.callers.access import Caller, admit
from tachograph.server.callers.keys import Scope
from tachograph.server.problems import Refusal, invalid
from tachograph.server.service import Service
from tachograph.settings import MIB
from tachograph.store.ports import Store
from tachograph.store.scoped import Scoped

log = logging.getLogger("tachograph.server")

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
BODY_BYTES, FORM_BYTES = 64 * MIB, MIB // 16
"""Largest body of a request, and of one that is a form: that is read before anybody knows whose it is."""
TOKEN_FIELD = "token"  # noqa: S105 - a field's name
Method = Literal["GET", "POST", "DELETE"]
AskedT = TypeVar("AskedT")


def _problem(service: Service, request: Request, refusal: Refusal) -> Response:
    return problems.response(refusal)


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """No parameters."""


class Ask(Struct, frozen=True):
    """One request, checked: everything a handler may look at."""

    service: Service
    caller: Caller
    store: Store | Scoped
    """All that the caller may read."""
    asked: Any
    """The endpoint's parameters."""
    path: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    now: int
    """UTC ns."""
    is_secure: bool = False
    """Whether it came over HTTPS."""

    def read(self, kind: type[AskedT]) -> AskedT:
        """The body as this type. Raises Refusal."""
        return decoded(self.body, kind)

    def filled(self, kind: type[AskedT]) -> AskedT:
        """The body, a form, as this type; fields left blank are not given. Raises Refusal."""
        return parameters(kind, [each for each in _fields(self.body) if each[0] != TOKEN_FIELD and each[1]])


class Answer(Struct, frozen=True):
    """A body with what goes around it. `etag` names this state of the resource: who has it already gets a 304."""

    body: Any
    status: int = 200
    etag: str | None = None
    headers: Mapping[str, str] = {}


class Endpoint(Struct, frozen=True, kw_only=True):
    """One operation at one path."""

    name: str
    """The operation's id in OpenAPI."""
    method: Method = "GET"
    path: str
    """With `{names}` of path parameters."""
    about: str
    """What it does: the first sentence is its summary."""
    handler: Callable[[Ask], Any]
    gives: Any
    """Type of the answer."""
    asks: type[Struct] = Nothing
    """Type of the query parameters."""
    takes: Any = None
    """Type of the JSON body; None for none."""
    media: str = JSON
    """What the answer is, where it is not JSON: then `handler` gives a str, bytes or a Response."""
    takes_media: tuple[str, ...] = (JSON,)
    scope: Scope = "read"
    status: int = 200
    problems: tuple[int, ...] = ()
    """Statuses that only this operation has; the common ones are known."""
    without_body: tuple[int, ...] = ()
    """Statuses of answers that have nothing to say."""
    tag: str = "api"
    open: bool = False
    """Whether it answers without a key, wherever the server listens."""
    blank: bool = False
    """Whether a parameter without a value counts as not given: a browser sends every field of a form."""
    refuse: Callable[[Service, Request, Refusal], Response] = _problem
    """How a refusal is told."""


def routes(endpoints: Iterable[Endpoint], service: Service) -> list[Route]:
    """The Starlette routes of endpoints: one a path, which knows all methods that the path takes."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in endpoints:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [_route(path, methods, service) for path, methods in by_path.items()]


def _route(path: str, methods: Mapping[str, Endpoint], service: Service) -> Route:
    async def answer(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await _answer(methods[method], service, request)

    return Route(path, answer, methods=list(methods))


async def _answer(endpoint: Endpoint, service: Service, request: Request) -> Response:
    try:
        ask = await _ask(endpoint, service, request)
        given = await run_in_threadpool(endpoint.handler, ask)
        return given if isinstance(given, Response) else _response(endpoint, ask, given)
    except Exception as problem:
        refusal = problems.refusal_for(problem, inside=not service.needs_key)
        if refusal is None:
            raise
        if isinstance(problem, StoreError):
            log.warning("%s: %s", endpoint.name, problem)
        return endpoint.refuse(service, request, refusal)


async def _ask(endpoint: Endpoint, service: Service, request: Request) -> Ask:
    now = service.clock.now()
    scope: Scope | None = None if endpoint.open else endpoint.scope
    body, token, form = b"", None, endpoint.takes_media == (FORM,)
    if endpoint.takes is not None and form:
        _check_media(request, endpoint.takes_media)
        body = await _body(request, FORM_BYTES)
        token = dict(_fields(body)).get(TOKEN_FIELD, "")
    caller = await run_in_threadpool(admit, service, request.headers, scope, now, token)
    if endpoint.takes is not None and not form:
        _check_media(request, endpoint.takes_media)
        body = await _body(request, BODY_BYTES)
    given = request.query_params.multi_items()
    return Ask(
        service=service,
        caller=caller,
        store=service.store if caller.tenant is None else Scoped(service.store, caller.tenant),
        asked=parameters(endpoint.asks, [each for each in given if each[1] or not endpoint.blank]),
        path=request.path_params,
        headers=request.headers,
        body=body,
        now=now,
        is_secure=request.url.scheme == "https",
    )


def _response(endpoint: Endpoint, ask: Ask, given: Any) -> Response:
    answer = given if isinstance(given, Answer) else Answer(given, endpoint.status)
    headers = dict(answer.headers)
    if answer.etag is not None:
        headers |= {"ETag": answer.etag, "Cache-Control": "private, no-cache"}
        if matches(ask.headers.get("if-none-match"), answer.etag):
            return Response(None, 304, headers)
    plain = isinstance(answer.body, str | bytes) and endpoint.media != JSON
    body = answer.body if plain else msgspec.json.encode(answer.body)
    return Response(body, answer.status, headers, media_type=endpoint.media)


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this entity tag, compared weakly (RFC 9110, 13.1.2)."""
    if header is None:
        return False
    names = {part.strip().removeprefix("W/") for part in header.split(",")}
    return "*" in names or etag.removeprefix("W/") in names


# ---- parameters and bodies -------------------------------------------------------------------------------------------

_AT = re.compile(r" - at `\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"unknown field `([^`]*)`")
_MISSING = re.compile(r"missing required field `([^`]*)`")


def parameters(kind: type[AskedT], given: list[tuple[str, str]]) -> AskedT:
    """Query parameters as this struct. Raises Refusal for one that is unknown, given twice, or out of bounds."""
    values = dict(given)
    if len(values) < len(given):
        twice = next(name for place, (name, _) in enumerate(given) if name in dict(given[:place]))
        raise invalid(twice, f"{twice} is given more than once; give it once")
    try:
        asked = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise _blamed(problem, kind, values, "the query") from None
    for name, value in values.items():
        if getattr(asked, name) is None:  # msgspec reads the text `null` as nothing
            raise invalid(name, f"{name}={value!r} cannot be used; leave it out to ask nothing of it")
    return asked


def decoded(body: bytes, kind: type[AskedT]) -> AskedT:
    """A JSON body as this type. Raises Refusal."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as problem:
        raise _blamed(problem, kind, {}, "the body") from None
    except msgspec.DecodeError as problem:
        raise Refusal(400, "malformed-json", f"the body is not JSON: {problem}", parameter="body") from None


def _blamed(problem: Exception, kind: Any, values: Mapping[str, str], where: str) -> Refusal:
    text = str(problem)
    if unknown := _UNKNOWN.search(text):
        known = ", ".join(getattr(kind, "__struct_fields__", ())) or "none"
        return invalid(unknown[1], f"{where} has no field {unknown[1]!r}; there are: {known}")
    if missing := _MISSING.search(text):
        return invalid(missing[1], f"{where} has no {missing[1]!r}, which is needed")
    found = _AT.search(text)
    name = found[1] if found else "body"
    said = f"{name}={values[name]!r}" if name in values else name
    return invalid(name, f"{said} cannot be used: {_AT.sub('', text)}")


def _fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form. Raises Refusal."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100)
    except ValueError as problem:
        raise Refusal(400, "malformed-form", f"the body is no form: {problem}", parameter="body") from None


async def _body(request: Request, most: int) -> bytes:
    """The body, as long as it is no longer than it may be. Raises Refusal (413)."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            detail = f"the body is larger than {most} bytes; send it in parts"
            raise Refusal(413, "too-large", detail, parameter="body", headers={"Connection": "close"})
        parts.append(part)
    return b"".join(parts)


def _check_media(request: Request, allowed: tuple[str, ...]) -> None:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in allowed:
        detail = f"the body is {media or 'of no stated type'}; send {' or '.join(allowed)}"
        raise Refusal(415, "unsupported-media-type", detail, parameter="Content-Type", headers={"Accept": allowed[0]})
