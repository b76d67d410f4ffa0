"""Sessions: to be listed and shown; and closed, reopened and reset. What is done leaves an entry in the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from tachograph.errors import NotFound
from tachograph.events.account import COUNTED, Account
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
from tachograph.record.after import audit as record
from tachograph.server.endpoint import Ask, Endpoint
from tachograph.server.standings import beside, open_counts
from tachograph.store.sessions.head import Head, Key

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
    with open_counts(ask) as ledger:
        return session(ask.store, ask.path["session"], ask.asked, beside(ask, ledger))


def _close(ask: Ask) -> SessionHead:
    return _changed(ask, "session_closed", {}, ask.service.heads.close_session)


def _reopen(ask: Ask) -> SessionHead:
    return _changed(ask, "session_reopened", {}, ask.service.heads.reopen)


def _reset(ask: Ask) -> SessionHead:
    asked: ResetAsked = ask.asked
    facts = {"counters": asked.counters, "history": asked.history, "state": asked.state}

    def work(key: Key, now: int) -> Head | None:
        if asked.counters:
            _clear_counters(ask, key)
        return ask.service.heads.reset(key, now, history=asked.history, state=asked.state)

    return _changed(ask, "session_reset", facts, work)


def _changed(
    ask: Ask, action: str, facts: Mapping[str, Any], work: Callable[[Key, int], Head | None]
) -> SessionHead:  # fmt: skip
    heads, key = ask.service.heads, _key(ask)
    if heads.get(key) is None:
        raise NotFound("session", key[1])
    events = record.audit(
        action, {"session": key[1], **facts}, at=ask.now, entropy=ask.service.clock.entropy(6), tenant=key[0],
        user=ask.caller.name,
    )  # fmt: skip
    with ask.service.turns.turn():
        record.keep(ask.service.store, ask.service.admitter, events)
    head = work(key, ask.now)
    if head is None:
        raise NotFound("session", key[1])
    return beside(ask).told(head)


def _key(ask: Ask) -> Key:
    """The session that the caller may mean. Raises NotFound for one of another tenant."""
    own, asked, session = ask.caller.tenant, ask.asked.tenant, ask.path["session"]
    if own is not None and asked not in (None, own):
        raise NotFound("session", session)
    return own or asked or "default", session


def _clear_counters(ask: Ask, key: Key) -> None:
    with open_counts(ask) as ledger:
        for of in COUNTED:
            if ledger is not None:
                ledger.reset(Account.of_session(*key, of), ask.now)


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
