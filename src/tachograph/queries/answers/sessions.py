"""Sessions: conversations of many runs, a page of them; and one with its runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tachograph.errors import Ambiguous, NotFound
from tachograph.queries.answers.heads import Beside, SessionCount, SessionHead, Stands
from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.contents import Json
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.keys import Row
from tachograph.queries.pages import (
    Listing,
    Ordinal,
    PageAsked,
    Paged,
    PageGiven,
    Text,
    listing,
    meeting,
    page,
    total,
)
from tachograph.queries.runs import COLUMNS, NO_AUDIT, run_of
from tachograph.queries.units import Time, time, usd
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

SessionStatus = Literal["active", "handed_off", "closed"]
Tokens = Annotated[
    int, Meta(description="Of those that somebody counted: a lower bound while `usage_missing` is not 0.")
]


class SessionOverview(Struct, frozen=True, kw_only=True):
    """A conversation: sums over its runs."""

    session_id: str
    tenant: str
    user: Annotated[str | None, Meta(description="Of the run that started last.")]
    status: Annotated[SessionStatus, Meta(description="As its last run left it.")]
    head: Annotated[SessionHead | None, Meta(description="How it stands for the next turn; null without a runtime.")]
    start_time: Time
    updated_at: Annotated[Time, Meta(description="The time of its newest event.")]
    last_run_id: Annotated[str, Meta(description="The run that started last.")]
    runs: int
    llm_calls: int
    tool_calls: int
    errors: int
    interventions: int
    input_tokens: Tokens
    uncached_tokens: Tokens
    cache_read_tokens: Tokens
    cache_write_tokens: Tokens
    output_tokens: Tokens
    reasoning_tokens: Annotated[Tokens, Meta(description="A part of the output.")]
    total_tokens: Tokens
    usage_missing: Annotated[int, Meta(description="Calls whose usage nobody gave.")]
    total_cost: Annotated[float, Meta(description="USD of the calls that have a price.")]
    unpriced: Annotated[int, Meta(description="Calls without a price.")]
    reported_cost: Annotated[float, Meta(description="USD as other sides said.")]


class SessionsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which sessions. Conditions that are given must all hold."""

    status: Annotated[SessionStatus | None, Meta(description="As the last run left it.")] = None
    user: Annotated[Text | None, Meta(description="User of the run that started last.")] = None
    session_id: Annotated[Text | None, Meta(description="A part of the session's id, in any case.")] = None
    start_date: Annotated[StartDate, Meta(description="With something that happened from this moment on.")] = None
    end_date: Annotated[EndDate, Meta(description="With nothing that happened after this moment.")] = None


class Sessions(PageGiven, frozen=True, kw_only=True):
    """A page of sessions, those with the newest event first."""

    sessions: tuple[SessionOverview, ...]


class SessionAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of the session's runs."""

    tenant: Annotated[Text | None, Meta(description="Whose session, where several tenants have one of this id.")] = None


class SessionDetail(PageGiven, frozen=True, kw_only=True):
    """One session and a page of its runs, newest first."""

    session: SessionOverview
    state: Annotated[Json, Meta(description="The application's own; null where there is no head.")] = None
    counts: Annotated[tuple[SessionCount, ...], Meta(description="What its limits have counted, over a day.")] = ()
    runs: tuple[RunOverview, ...]


def sessions(index: Index, asked: SessionsAsked, beside: Beside | None = None) -> Sessions:
    """The sessions that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    found = _page(index, asked)
    return Sessions(sessions=_shown(found, beside), **found.given(asked, counted(index, asked)))


def leafed(index: Index, asked: SessionsAsked, beside: Beside | None = None) -> Listing[SessionOverview]:
    """The same page, without the number of all sessions. Raises InvalidParameter."""
    found = _page(index, asked)
    return listing(found, _shown(found, beside))


def counted(index: Index, asked: SessionsAsked) -> int:
    """How many sessions meet every condition. Raises InvalidParameter."""
    return total(index, _query(asked))


def _page(index: Index, asked: SessionsAsked) -> Paged:
    return page(index, _query(asked), asked, tuple[Ordinal, str, str])


def _shown(found: Paged, beside: Beside | None) -> tuple[SessionOverview, ...]:
    keys = [(row["tenant"], row["session"]) for row in found.rows]
    stand = {} if beside is None else beside.several(keys)
    return tuple(_session(row, stand.get(key)) for key, row in zip(keys, found.rows, strict=True))


def _query(asked: SessionsAsked) -> Query:
    period = within(between(asked.start_date, asked.end_date), "updated_at")
    where = meeting(asked, {"status": "status", "user": "user"})
    if asked.session_id is not None:
        where = (*where, Where("session", "contains", asked.session_id))
    return Query("sessions", (*where, *period), _COLUMNS, order=("-updated_at",))


def session(
    index: Index, session_id: str, asked: SessionAsked, beside: Beside | None = None
) -> SessionDetail:  # fmt: skip
    """The session with this id. Raises NotFound; Ambiguous where several tenants have one."""
    where = (Where("session", "eq", session_id), *meeting(asked, {"tenant": "tenant"}))
    found = index.find(Query("sessions", where, _COLUMNS, limit=3)).rows
    if not found:
        raise NotFound("session", session_id)
    if len(found) > 1:
        raise Ambiguous("session", session_id, tuple(row["tenant"] for row in found))
    whose = Where("tenant", "eq", found[0]["tenant"])
    query = Query("runs", (where[0], whose, NO_AUDIT), COLUMNS, order=("-started_at",))
    runs = page(index, query, asked, tuple[Ordinal, Ordinal])
    stands = Stands() if beside is None else beside.of((found[0]["tenant"], session_id))
    return SessionDetail(
        session=_session(found[0], stands.head),
        state=stands.state,
        counts=stands.counts,
        runs=tuple(overview(run_of(row)) for row in runs.rows),
        **runs.given(asked, total(index, query)),
    )


_SAME = (
    "tenant", "user", "status", "runs", "llm_calls", "tool_calls", "errors", "interventions", "input_tokens",
    "uncached_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens", "total_tokens",
    "usage_missing", "unpriced",
)  # fmt: skip
_COLUMNS = (*_SAME, "session", "started_at", "updated_at", "last_run", "cost_nano", "reported_cost_nano")


def _session(row: Row, head: SessionHead | None) -> SessionOverview:
    same: dict[str, Any] = {name: row[name] for name in _SAME}
    return SessionOverview(
        **same,
        head=head,
        session_id=row["session"],
        start_time=time(row["started_at"]),
        updated_at=time(row["updated_at"]),
        last_run_id=row["last_run"],
        total_cost=usd(row["cost_nano"]),
        reported_cost=usd(row["reported_cost_nano"]),
    )
