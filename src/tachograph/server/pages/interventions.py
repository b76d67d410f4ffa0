"""`/interventions`: the limits that were reached, with the evidence."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from starlette.responses import Response

from tachograph.queries.answers.limits import LimitsAsked, counted, leafed
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links, lists
from tachograph.web.interventions import FIELDS, row


class InterventionsShown(LimitsAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limits are shown, and which part of the page. Unless all are asked for, those that changed something."""

    interventions: Annotated[bool, Meta(description="Only those that changed what happened.")] = True
    part: Annotated[Literal["count"] | None, Meta(description="Only the number.")] = None
    counted: Annotated[bool, Meta(description="Count before the page is sent.")] = False


def _interventions(ask: Ask) -> Response:
    asked: InterventionsShown = ask.asked
    thing = "intervention" if asked.interventions else "limit"
    if asked.part == "count":
        return shown(ask, "count.html", number=counted(ask.store, asked), thing=thing)
    found = leafed(ask.store, asked)
    known = counted(ask.store, asked) if asked.counted else None
    given = lists.asked_of(asked, lists.PAGING)
    return shown(
        ask, "interventions.html", here=links.INTERVENTIONS, title="Interventions", rows=tuple(map(row, found.rows)),
        form=lists.conditions(links.INTERVENTIONS, asked, FIELDS),
        pager=lists.pager(links.INTERVENTIONS, asked, found),
        count=lists.count(links.INTERVENTIONS, asked, found, thing, known),
        every=None if not asked.interventions else links.again(links.INTERVENTIONS, given, interventions="false"),
    )  # fmt: skip


ENDPOINTS = (page(links.INTERVENTIONS, "Limits that were reached.", _interventions, asks=InterventionsShown),)
