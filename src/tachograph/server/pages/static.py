"""`/static`: scripts and styles, under an address that changes when they do."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.server.endpoint import Ask, Endpoint
from tachograph.server.pages.site import HEADERS, refused
from tachograph.server.problems import Refusal
from tachograph.web.assets import assets, stamp

_FOR_EVER = "public, max-age=31536000, immutable"


def _static(ask: Ask) -> Response:
    asset = assets().get(ask.path["name"])
    if asset is None:
        raise Refusal(404, "not-found", f"there is no file {ask.path['name']!r}")
    fresh = ask.path["stamp"] == stamp()
    return Response(
        asset.body, headers={**HEADERS, "Cache-Control": _FOR_EVER if fresh else "no-cache"}, media_type=asset.media
    )


ENDPOINTS = (
    Endpoint(
        name="static", path="/static/{stamp}/{name}", about="A script, a style or an icon.", handler=_static, gives=str,
        media="*/*", tag="pages", open=True, refuse=refused,
    ),
)  # fmt: skip
