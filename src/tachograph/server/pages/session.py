"""`/session`: one conversation across its runs, and what can be done to it. Its id may be anything: it is asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from starlette.responses import Response

from tachograph.errors import Ambiguous
from tachograph.queries.answers.sessions import SessionAsked, session
from tachograph.queries.pages import Text
from tachograph.queries.views.exchanges import exchanges
from tachograph.server.beside import Anew, beside, close, key_of, ledger_of, reopen, reset
from tachograph.server.endpoint import Ask
from tachograph.server.pages.site import moved, page, shown
from tachograph.web import links
from tachograph.web import session as web

ROWS = 20
"""Runs on a page."""
Doing = Literal["close", "reopen", "reset"]
Id = Annotated[Text, Meta(description="The session.")]
Tenant = Annotated[Text | None, Meta(description="Whose session, where several tenants have one of this id.")]


class Asked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which session, and which of its runs."""

    id: Id
    tenant: Tenant = None
    cursor: Annotated[Annotated[str, Meta(max_length=2_000)] | None, Meta(description="Runs before these.")] = None
    confirm: Annotated[Doing | None, Meta(description="Ask whether this is to be done.")] = None


class Changed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which session changes."""

    id: Id
    tenant: Tenant = None


class Begun(Changed, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of it begins anew."""

    counters: bool = False
    history: bool = False
    state: bool = False


def _session(ask: Ask) -> Response:
    asked: Asked = ask.asked
    which = SessionAsked(tenant=asked.tenant, cursor=asked.cursor, limit=ROWS)
    try:
        with ledger_of(ask) as ledger:
            found = session(ask.store, asked.id, which, beside(ask, ledger))
    except Ambiguous as several:
        return _shown(ask, "session/tenants.html", asked, tenants=several.matches)
    values = {"found": found, "told": web.session(found, exchanges(ask.store, found.runs))}
    return _shown(ask, "session/session.html", asked, **values)


def _shown(ask: Ask, template: str, asked: Asked, **values: Any) -> Response:
    return shown(ask, template, here=links.SESSIONS, title=f"Session {asked.id}", asked=asked, **values)


def _close(ask: Ask) -> Response:
    form = ask.filled(Changed)
    close(ask, key_of(ask, form.id, form.tenant))
    return _back(form)


def _reopen(ask: Ask) -> Response:
    form = ask.filled(Changed)
    reopen(ask, key_of(ask, form.id, form.tenant))
    return _back(form)


def _reset(ask: Ask) -> Response:
    form = ask.filled(Begun)
    what = Anew(counters=form.counters, history=form.history, state=form.state)
    reset(ask, key_of(ask, form.id, form.tenant), what)
    return _back(form)


def _back(form: Changed) -> Response:
    return moved(links.session(form.id, form.tenant))


ENDPOINTS = (
    page(links.SESSION, "One session: the conversation across its runs.", _session, asks=Asked),
    page(f"{links.SESSION}/close", "Closes a session.", _close, method="POST", takes=Changed, scope="write"),
    page(f"{links.SESSION}/reopen", "Reopens a session.", _reopen, method="POST", takes=Changed, scope="write"),
    page(f"{links.SESSION}/reset", "Lets a session begin anew.", _reset, method="POST", takes=Begun, scope="admin"),
)
