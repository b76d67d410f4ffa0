"""`/runs/{run}/cost`: what a run's model calls cost, and by which prices."""

from __future__ import annotations

from starlette.responses import Response

from tachograph.queries.views.costs import CallsAsked, costs, priced_calls
from tachograph.server.endpoint import Ask
from tachograph.server.pages.run import framed, headed
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.run.cost import bases, classes, compared, priced_call, prices


def _cost(ask: Ask) -> Response:
    found, asked = headed(ask), ask.asked
    spent = costs(ask.store, found.pk)
    rows = priced_calls(ask.store, found.pk, asked)
    values = {
        "whole": spent.whole,
        "classes": classes(spent),
        "prices": prices(spent.groups),
        "compared": compared(spent.compared),
        "bases": tuple(bases(spent)),
        "calls": [priced_call(found.run.id, row) for row in rows.rows],
        "order": asked.order,
        "is_first": asked.cursor is None and not asked.offset,
        "next_cursor": rows.next_cursor,
    }
    return shown(ask, "run/cost.html", **framed(found, "cost"), **values)


ENDPOINTS = (page(f"{links.RUNS}/{{run}}/cost", "What a run cost.", _cost, asks=CallsAsked),)
