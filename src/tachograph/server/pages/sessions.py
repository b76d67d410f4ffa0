"""`/sessions`: the list of conversations."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta
from starlette.responses import Response

from tachograph.queries.answers.sessions import SessionsAsked, counted, leafed
from tachograph.server.beside import beside
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import page, shown
from tachograph.web import links, lists
from tachograph.web.sessions import FIELDS


class SessionsShown(SessionsAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sessions are shown, and which part of the page."""

    part: Annotated[Literal["count"] | None, Meta(description="Only the number.")] = None
    counted: Annotated[bool, Meta(description="Count before the page is sent.")] = False


def _sessions(ask: Ask) -> Response:
    asked: SessionsShown = ask.asked
    if asked.part == "count":
        return shown(ask, "count.html", number=counted(ask.store, asked), thing="session")
    found = leafed(ask.store, asked, beside(ask))
    known = counted(ask.store, asked) if asked.counted else None
    return shown(
        ask, "sessions.html", here=links.SESSIONS, title="Sessions", sessions=found.rows,
        tenants=len({session.tenant for session in found.rows}) > 1,
        form=lists.conditions(links.SESSIONS, asked, FIELDS), pager=lists.pager(links.SESSIONS, asked, found),
        count=lists.count(links.SESSIONS, asked, found, "session", known),
    )  # fmt: skip


ENDPOINTS = (page(links.SESSIONS, "The list of sessions.", _sessions, asks=SessionsShown),)
