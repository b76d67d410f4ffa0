"""`/steps`: the steps, or the model calls, that a figure counts."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.overview.steps import StepsAsked, steps
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.steps import listed


def _steps(ask: Ask) -> Response:
    found = listed(steps(ask.store, ask.asked, ask.now), ask.asked)
    return shown(ask, "overview/steps.html", here=links.OVERVIEW, title=found.title, list=found)


ENDPOINTS = (page(links.STEPS, "Steps, or model calls.", _steps, asks=StepsAsked),)
