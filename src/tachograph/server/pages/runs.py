"""`/runs`: the list of runs."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.answers.runs import RunsAsked, listed
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links


def _runs(ask: Ask) -> Response:
    return shown(ask, "runs.html", here=links.RUNS, title="Runs", found=listed(ask.store, ask.asked))


ENDPOINTS = (page(links.RUNS, "The list of runs.", _runs, asks=RunsAsked),)
