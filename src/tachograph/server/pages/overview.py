"""`/`: what a period came to, and what that is made of.

The figures and the course of a period come from roll-ups and are there at once. What needs more reading is sent with
them while the period is small; of a large one it comes afterwards, or under an address of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.overview.figures import agents, figures, models, slow
from tachograph.queries.overview.stops import interventions, stops
from tachograph.queries.overview.when import Chosen, Name, chosen, newest
from tachograph.queries.pages import Text
from tachograph.queries.units import time
from tachograph.server.endpoint import Ask
from tachograph.server.pages.first import first_steps
from tachograph.server.pages.site import page, shown
from tachograph.web import course, links, overview

MANY = 2_000
"""Runs and model calls of a period from which on the rest of the page comes afterwards."""

Part = Literal["models", "agents", "stops", "slow"]
PARTS: tuple[Part, ...] = get_args(Part)


class OverviewAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which period, and how it is shown."""

    period: Annotated[Name | None, Meta(description="Up to now; dates come before it.")] = None
    start_date: StartDate = None
    end_date: EndDate = None
    agent_type: Annotated[Text | None, Meta(description="Only this agent.")] = None
    view: Annotated[
        Literal["table"] | Part | None, Meta(description="The course of the period as a table; or one part alone.")
    ] = None
    part: Annotated[Part | None, Meta(description="One part, to be put into a page.")] = None


def _overview(ask: Ask) -> Response:
    asked: OverviewAsked = ask.asked
    last = newest(ask.store)
    if last is None:
        return shown(ask, "overview/nothing.html", here=links.OVERVIEW, title="Overview", first=first_steps(ask))
    period = chosen(asked.period, between(asked.start_date, asked.end_date), last, ask.now)
    at = overview.looked(period, asked.agent_type)
    if asked.part is not None:
        return shown(ask, "overview/part.html", name=asked.part, rows=_rows(ask, asked.part, period, at))
    if asked.view is not None and asked.view != "table":
        rows = _rows(ask, asked.view, period, at)
        return _shown(ask, at, "overview/alone.html", name=asked.view, rows=rows)
    return _whole(ask, period, at)


def _whole(ask: Ask, period: Chosen, at: overview.Looked) -> Response:
    where, as_table = at.where, ask.asked.view == "table"
    found = figures(ask.store, period.period, ask.now, where)
    is_small = found.total.runs.count + found.total.calls.count < MANY
    parts = {name: _rows(ask, name, period, at) if is_small else None for name in PARTS}
    if found.models is not None:
        parts["models"] = overview.models(found.models, at)
    return _shown(
        ask, at, "overview/overview.html", as_of=time(found.as_of),
        figures=overview.figures(found.total, interventions(ask.store, period.period, where), at),
        tokens=overview.tokens(found.total, at),
        charts=() if as_table else course.charts(found, at), table=course.table(found, at) if as_table else None,
        failures=overview.failures(found.errors, at), failed=found.error_count, parts=parts,
    )  # fmt: skip


def _shown(ask: Ask, at: overview.Looked, template: str, **values: Any) -> Response:
    return shown(ask, template, here=links.OVERVIEW, title="Overview", at=at, choices=overview.choices(at), **values)


def _rows(ask: Ask, part: Part, period: Chosen, at: overview.Looked) -> Sequence[Struct]:
    """What stands in one part of the page."""
    asked = (ask.store, period.period, ask.now, at.where)
    match part:
        case "agents":
            return overview.agents(agents(*asked), at)
        case "models":
            return overview.models(models(*asked), at)
        case "stops":
            return overview.endings(stops(ask.store, period.period, at.where), at)
        case "slow":
            return overview.slow(slow(*asked))


ENDPOINTS = (page(links.OVERVIEW, "What a period came to.", _overview, asks=OverviewAsked),)
