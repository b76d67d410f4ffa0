"""`/runs/{run}`: one run, in several views, each below the same head."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from tachograph.queries.heading import Heading, heading
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.run import head


def framed(found: Heading, view: str) -> dict[str, Any]:
    """The values that `run/frame.html` wants: every view of a run is shown with these."""
    run = found.run
    return {"here": links.RUNS, "title": run.name or run.id, "run": run, "head": head(found), "view": view}


def headed(ask: Ask) -> Heading:
    """The run that the path names. Raises NotFound, Ambiguous."""
    return heading(ask.store, ask.path["run"], ask.now)


def _run(ask: Ask) -> Response:
    return shown(ask, "run/timeline.html", **framed(headed(ask), ""))


ENDPOINTS = (page(f"{links.RUNS}/{{run}}", "One run: its steps in time.", _run),)
