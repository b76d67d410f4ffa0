"""What the server says of itself: is it well, its metrics, and the token for changes from this machine."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import TachographError
from tachograph.server import metrics
from tachograph.server.endpoint import Answer, Ask, Endpoint
from tachograph.server.problems import Refusal
from tachograph.store.query import Query
from tachograph.version import VERSION


class Health(Struct, frozen=True):
    """The server can do its work."""

    status: Literal["ok"]
    version: str


class Token(Struct, frozen=True):
    """What a change from this machine has to show."""

    token: Annotated[str, Meta(description="Send it as the header X-Tachograph-Token.")]


def _healthz(ask: Ask) -> Health:
    service = ask.service
    try:
        service.store.find(Query("runs", columns=("id",), limit=1))
        failing = service.rounds.failing
    except TachographError as problem:
        failing = str(problem)
    if failing:
        detail = "the server's log says why" if service.needs_key else failing
        raise Refusal(503, "failing", detail, headers={"Retry-After": "1"})
    return Health("ok", VERSION)


def _token(ask: Ask) -> Answer:
    if ask.service.needs_key:
        raise Refusal(404, "not-found", "this server gives out no token: every request needs an access key")
    return Answer(Token(ask.service.token), headers={"Cache-Control": "no-store"})


def _metrics(ask: Ask) -> Response:
    if ask.caller.tenant is not None:
        raise Refusal(403, "scope-needed", "metrics tell of every tenant; this needs a key for all of them")
    return Response(metrics.exposition(ask.service, ask.now), media_type=metrics.MEDIA_TYPE)


ENDPOINTS = (
    Endpoint(
        name="healthz", path="/healthz", about="Whether the server and its store are well; 503 when they are not.",
        handler=_healthz, gives=Health, tag="about", open=True,
    ),
    Endpoint(
        name="token", path="/api/token", tag="about", open=True, problems=(404,), handler=_token, gives=Token,
        about="The same-origin token. Changes from this machine without an access key have to show it.",
    ),
    Endpoint(
        name="metrics", path="/metrics", about="Recorders, drain, store and money as Prometheus text.",
        handler=_metrics, gives=str, media=metrics.MEDIA_TYPE.partition(";")[0], tag="about",
    ),
)  # fmt: skip
