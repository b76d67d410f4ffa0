"""`/runs/{run}`: one run, in several views, each below the same head; the first of them is its steps in time."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from tachograph.queries.heading import Heading, heading
from tachograph.queries.timeline.waterfall import TimelineAsked, timeline
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.run.head import head
from tachograph.web.run.timeline import EVENT_TYPES, chart

_RUN = f"{links.RUNS}/{{run}}"


def framed(found: Heading, view: str) -> dict[str, Any]:
    """The values that `run/frame.html` wants: every view of a run is shown with these."""
    run = found.run
    return {"here": links.RUNS, "title": run.name or run.id, "run": run, "head": head(found), "view": view}


def headed(ask: Ask) -> Heading:
    """The run that the path names. Raises NotFound, Ambiguous."""
    return heading(ask.store, ask.path["run"], ask.now)


def _run(ask: Ask) -> Response:
    return shown(ask, "run/timeline.html", **_timed(ask))


def _rows(ask: Ask) -> Response:
    return shown(ask, "run/rows.html", **_timed(ask))


def _head(ask: Ask) -> Response:
    return shown(ask, "run/head.html", **framed(headed(ask), ""))


def _timed(ask: Ask) -> dict[str, Any]:
    found, asked = headed(ask), ask.asked
    told = timeline(ask.store, found.pk, asked, ask.now, ask.service.outlines)
    drawn = chart(found.run, told, asked)
    return {**framed(found, ""), "asked": asked, "chart": drawn, "at": asked.step, "types": EVENT_TYPES}


ENDPOINTS = (
    page(_RUN, "One run: its steps in time.", _run, asks=TimelineAsked),
    page(f"{_RUN}/rows", "Some rows of it: a part of a page.", _rows, asks=TimelineAsked),
    page(f"{_RUN}/head", "What stands above its views: a part of a page.", _head),
)
