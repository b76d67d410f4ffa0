"""`/search`: messages that contain a text. The form comes at once; what was found comes when it was found."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.queries.answers.hits import SearchAsked, search_hits
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links
from tachograph.web.hits import row

MOST = 200
"""Most messages that a search gives."""


class SearchShown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to look for."""

    q: Annotated[str, Meta(max_length=500, description="Text of a message, in any case.")] = ""
    limit: Annotated[int, Meta(ge=1, le=MOST, description="Most messages to give.")] = 20
    part: Annotated[
        Literal["hits", "whole"] | None, Meta(description="Only what was found; or the page when it was found.")
    ] = None


def _search(ask: Ask) -> Response:
    asked: SearchShown = ask.asked
    found = None
    if asked.q and asked.part is not None:
        hits = search_hits(ask.store, SearchAsked(text=asked.q, limit=asked.limit)).hits
        found = tuple(map(row, hits))
    more = asked.limit < MOST and found is not None and len(found) == asked.limit
    return shown(
        ask, "hits.html" if asked.part == "hits" else "search.html", here=links.SEARCH, title="Search", found=found,
        asked=asked, part=links.search(asked.q, asked.limit, part="hits"),
        whole=links.search(asked.q, asked.limit, part="whole"),
        more=links.search(asked.q, min(MOST, asked.limit * 5)) if more else None,
    )  # fmt: skip


ENDPOINTS = (page(links.SEARCH, "Messages that contain a text.", _search, asks=SearchShown),)
