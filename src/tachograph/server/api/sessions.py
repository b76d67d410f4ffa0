"""Sessions: to be listed and shown; and closed, reopened and reset. What is done leaves an entry in the audit."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.queries.answers.heads import SessionHead
from tachograph.queries.answers.sessions import (
    SessionAsked,
    SessionDetail,
    Sessions,
    SessionsAsked,
    session,
    sessions,
)
from tachograph.queries.pages import Text
from tachograph.server.beside import Anew, beside, close, key_of, ledger_of, reopen, reset
from tachograph.server.endpoint import Ask, Endpoint
from tachograph.store.sessions.head import Key

Tenant = Annotated[Text | None, Meta(description="Whose session; `default` where the caller sees several tenants.")]


class Whose(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which session of this id."""

    tenant: Tenant = None


class ResetAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What begins anew."""

    tenant: Tenant = None
    counters: Annotated[bool, Meta(description="What its limits have counted.")] = True
    history: Annotated[bool, Meta(description="The conversation; the log keeps what was said.")] = False
    state: Annotated[bool, Meta(description="The application's state.")] = False


def _sessions(ask: Ask) -> Sessions:
    return sessions(ask.store, ask.asked, beside(ask))


def _session(ask: Ask) -> SessionDetail:
    with ledger_of(ask) as ledger:
        return session(ask.store, ask.path["session"], ask.asked, beside(ask, ledger))


def _close(ask: Ask) -> SessionHead:
    return close(ask, _key(ask))


def _reopen(ask: Ask) -> SessionHead:
    return reopen(ask, _key(ask))


def _reset(ask: Ask) -> SessionHead:
    asked: ResetAsked = ask.asked
    return reset(ask, _key(ask), Anew(counters=asked.counters, history=asked.history, state=asked.state))


def _key(ask: Ask) -> Key:
    return key_of(ask, ask.path["session"], ask.asked.tenant)


ENDPOINTS = (
    Endpoint(
        name="list_sessions", path="/api/sessions", tag="sessions", handler=_sessions, asks=SessionsAsked,
        gives=Sessions, about="Sessions, the one that something happened in last first. Each with its totals.",
    ),
    Endpoint(
        name="get_session", path="/api/sessions/{session}", tag="sessions", handler=_session, asks=SessionAsked,
        gives=SessionDetail, about="One session with its runs, newest first. With its state and what limits counted.",
    ),
    Endpoint(
        name="close_session", method="POST", path="/api/sessions/{session}/close", tag="sessions", handler=_close,
        asks=Whose, gives=SessionHead, scope="write", problems=(404,),
        about="Close a session: it takes no turns any more. One that is under way may end.",
    ),
    Endpoint(
        name="reopen_session", method="POST", path="/api/sessions/{session}/reopen", tag="sessions", handler=_reopen,
        asks=Whose, gives=SessionHead, scope="write", problems=(404,),
        about="Reopen a session that was closed, or that a person had.",
    ),
    Endpoint(
        name="reset_session", method="POST", path="/api/sessions/{session}/reset", tag="sessions", handler=_reset,
        asks=ResetAsked, gives=SessionHead, scope="admin", problems=(404,),
        about="Let a session begin anew: its limits allow all again, and it is active. Without its history or its "
        "state, if that is asked; a turn under way is then lost.",
    ),
)  # fmt: skip
