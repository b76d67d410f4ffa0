"""`/runs/{run}`: one run, in several views."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.answers.runs import overview
from tachograph.queries.find import find
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links


def _run(ask: Ask) -> Response:
    run = overview(find(ask.store, ask.path["run"]))
    return shown(ask, "run/timeline.html", here=links.RUNS, title=run.name or run.id, run=run, view="")


ENDPOINTS = (page(f"{links.RUNS}/{{run}}", "One run: its steps in time.", _run),)
