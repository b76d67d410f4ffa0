"""`/runs`: the list of runs, and the parts of it that change while somebody looks."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.responses import Response

from tachograph.queries.answers.runs import RunsAsked, counted, leafed, named
from tachograph.server.endpoint import Ask
from tachograph.server.pages.first import first_run
from tachograph.server.pages.site import page, shown
from tachograph.web import links, lists
from tachograph.web.runs import FIELDS, longest_of, rows

MOST_NEWS = 100
"""Most new runs that are put on top of a list; for more it is loaded again."""


class RunsShown(RunsAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs are shown, and which part of the page."""

    part: Annotated[
        Literal["count", "news", "rows"] | None,
        Meta(description="Only the number; only what comes before `cursor`; only the rows of `ids`."),
    ] = None
    counted: Annotated[bool, Meta(description="Count before the page is sent.")] = False
    ids: Annotated[str, Meta(max_length=8_000, description="Runs, between commas.")] = ""
    longest: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="Milliseconds that a full bar means.")] = (
        None
    )


def _runs(ask: Ask) -> Response:
    asked: RunsShown = ask.asked
    match asked.part:
        case "count":
            return shown(ask, "count.html", number=counted(ask.store, asked), thing="run")
        case "news":
            return _news(ask, asked)
        case "rows":
            found = named(ask.store, asked.ids.split(",") if asked.ids else ())
            return _rows(ask, asked, rows(found, ask.now, asked.longest))
    return _whole(ask, asked)


def _whole(ask: Ask, asked: RunsShown) -> Response:
    place = ask.store.head()  # before the rows are read: what comes meanwhile is told twice, not never
    found = leafed(ask.store, asked)
    given = lists.asked_of(asked, (*lists.PAGING, "limit", "ids", "longest"))
    is_first = lists.asked_of(asked).keys().isdisjoint(lists.PAGING) and asked.order == "newest"
    made = rows(found.rows, ask.now)
    return shown(
        ask, "runs.html", here=links.RUNS, title="Runs", rows=made, top=found.top, place=place,
        longest=longest_of(row.lasted for row in made), takes_news=is_first,
        news=links.again(links.RUNS, given, part="news"), update=links.runs(part="rows"),
        stream=links.live(session=asked.session_id, agent=asked.agent_type, tag=asked.tag),
        first=None if made else first_run(ask),
        form=lists.conditions(links.RUNS, asked, FIELDS), pager=lists.pager(links.RUNS, asked, found),
        count=lists.count(links.RUNS, asked, found, "run", counted(ask.store, asked) if asked.counted else None),
    )  # fmt: skip


def _news(ask: Ask, asked: RunsShown) -> Response:
    found = leafed(ask.store, msgspec.structs.replace(asked, limit=MOST_NEWS))
    return _rows(ask, asked, rows(found.rows, ask.now, asked.longest), top=found.top, more=bool(found.previous_cursor))


def _rows(ask: Ask, asked: RunsShown, made: object, top: str | None = None, *, more: bool = False) -> Response:
    return shown(ask, "runs_rows.html", rows=made, top=top, more=more)


ENDPOINTS = (page(links.RUNS, "The list of runs.", _runs, asks=RunsShown),)
