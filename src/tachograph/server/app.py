"""The application: every endpoint behind the same doors.

From the outside in: errors nobody expected, the doorkeeper (Host and Origin), a bound on bodies, compression, routes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from tachograph.server import openapi, problems
from tachograph.server.api import surface
from tachograph.server.callers.access import Doorkeeper
from tachograph.server.endpoint import Ask, Endpoint, routes
from tachograph.server.pages import surface as pages
from tachograph.server.pages.site import refused
from tachograph.server.problems import Refusal
from tachograph.server.service import Service
from tachograph.version import VERSION

log = logging.getLogger("tachograph.server")

_COMPRESS_FROM = 1_024


def build(service: Service, more: Sequence[BaseRoute] = ()) -> Starlette:
    """The ASGI application over a service; `more` routes are added to those of the API."""
    endpoints = (*surface.ENDPOINTS, _described(surface.ENDPOINTS), *pages.ENDPOINTS)
    return Starlette(
        routes=[*routes(endpoints, service), *more],
        middleware=[
            Middleware(Doorkeeper, service=service),
            Middleware(GZipMiddleware, minimum_size=_COMPRESS_FROM, compresslevel=5),
        ],
        exception_handlers={HTTPException: partial(_http_problem, service), Exception: partial(_fault, service)},
    )


def _described(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that serves the OpenAPI document, its own place in it included."""

    def handler(ask: Ask) -> dict[str, Any]:
        return made

    own = msgspec.structs.replace(_OPENAPI, handler=handler)
    made = openapi.document((*endpoints, own), VERSION)
    return own


async def _http_problem(service: Service, request: Request, problem: Exception) -> Response:
    """What Starlette itself refuses: no such path or method, a body that is too large."""
    assert isinstance(problem, HTTPException)
    detail = {
        404: f"there is nothing at {request.url.path}; /openapi.json lists what there is",
        405: f"{request.url.path} does not take {request.method}",
    }.get(problem.status_code, problem.detail)
    return _told(service, request, Refusal(problem.status_code, "about:blank", detail, headers=problem.headers))


async def _fault(service: Service, request: Request, problem: Exception) -> Response:
    """A fault of ours: logged whole, told without its insides."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
    return _told(service, request, Refusal(500, "fault", "the server failed at this; its log says why"))


def _told(service: Service, request: Request, refusal: Refusal) -> Response:
    """A page for a browser, JSON for anybody else."""
    is_browser = "text/html" in request.headers.get("accept", "")
    return refused(service, request, refusal) if is_browser else problems.response(refusal)


def document() -> bytes:
    """The OpenAPI document as JSON, for the guide."""
    return msgspec.json.encode(openapi.document((*surface.ENDPOINTS, _OPENAPI), VERSION))


_OPENAPI = Endpoint(
    name="openapi", path="/openapi.json", about="This document: every endpoint, parameter, answer and problem.",
    handler=lambda ask: {}, gives=dict[str, Any], tag="about", open=True,
)  # fmt: skip
