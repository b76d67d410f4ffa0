"""Limits that were reached, and what was done about it."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.events.limit import LimitHit, Mode
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.keys import Row
from tachograph.queries.pages import Listing, PageAsked, PageGiven, Text, listing, meeting, page, total
from tachograph.queries.runs import NO_AUDIT
from tachograph.queries.units import Time, time
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

Amount = Annotated[float | None, Meta(description="In the unit of the metric; null for what has no end.")]

CHANGING: tuple[Mode, ...] = ("nudge", "block", "skip", "wrap_up", "stop", "handoff", "raise")
"""Modes that change what happens: interventions. The others only say something."""


class Limit(Struct, frozen=True, kw_only=True):
    """A limit that was reached."""

    metric: str
    scope: Annotated[str, Meta(description="call, run, session or tenant.")]
    mode: Annotated[Mode, Meta(description="What was done.")]
    used: Amount
    requested: Annotated[Amount, Meta(description="How much more was wanted.")]
    threshold: Amount
    reason: str
    refused_kind: Annotated[str | None, Meta(description="Kind of the step that was refused; null when none was.")]
    refused_name: str | None
    evidence: Annotated[tuple[int, ...], Meta(description="Seqs of the events that led to it.")]


class ReachedLimit(Limit, frozen=True, kw_only=True):
    """A limit that was reached, and where."""

    time: Time
    run_id: str
    execution_id: str
    run_name: str
    agent_type: Annotated[str | None, Meta(description="The agent its run began with.")]
    session_id: str | None
    seq: Annotated[int, Meta(description="Of its event.")]
    step_id: Annotated[str, Meta(description="`id` of the step it was reached in.")]


class LimitsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which limits. Conditions that are given must all hold."""

    metric: Annotated[Text | None, Meta(description="What was measured: llm_calls, cost, same_call, …")] = None
    mode: Annotated[Mode | None, Meta(description="What was done.")] = None
    scope: Annotated[Text | None, Meta(description="call, run, session or tenant.")] = None
    interventions: Annotated[bool, Meta(description="Only those that changed what happened.")] = False
    agent_type: Annotated[Text | None, Meta(description="The agent its run began with.")] = None
    execution_id: Annotated[Text | None, Meta(description="The execution it was reached in.")] = None
    session_id: Annotated[Text | None, Meta(description="The session of its run.")] = None
    start_date: StartDate = None
    end_date: EndDate = None


class ReachedLimits(PageGiven, frozen=True, kw_only=True):
    """A page of limits that were reached, newest first."""

    limits: tuple[ReachedLimit, ...]


def limits(index: Index, asked: LimitsAsked) -> ReachedLimits:
    """Limits reached in runs of programs; alerts are in the audit. Raises InvalidParameter."""
    found = page(index, _query(asked), asked)
    return ReachedLimits(limits=tuple(map(_reached, found.rows)), **found.given(asked, counted(index, asked)))


def leafed(index: Index, asked: LimitsAsked) -> Listing[ReachedLimit]:
    """The same page, without the number of all limits that were reached. Raises InvalidParameter."""
    found = page(index, _query(asked), asked)
    return listing(found, map(_reached, found.rows))


def counted(index: Index, asked: LimitsAsked) -> int:
    """How many reached limits meet every condition. Raises InvalidParameter."""
    return total(index, _query(asked))


def _query(asked: LimitsAsked) -> Query:
    where = meeting(
        asked,
        {
            "metric": "metric",
            "mode": "mode",
            "scope": "scope",
            "agent_type": "run_agent",
            "execution_id": "execution_id",
            "session_id": "session",
        },
    )
    if asked.interventions:
        where = (*where, Where("mode", "in", CHANGING))
    period = within(between(asked.start_date, asked.end_date), "at")
    return Query("limit_hits", (*where, *period, NO_AUDIT), _COLUMNS, order=("-at",))


def reached(index: Index, *where: Where, limit: int, order: str = "seq") -> tuple[ReachedLimit, ...]:
    """Limits reached under these conditions on their table, as many as `limit`."""
    query = Query("limit_hits", where, _COLUMNS, order=(order,), limit=limit)
    return tuple(map(_reached, index.find(query).rows))


def limit(hit: LimitHit) -> Limit:
    """A limit as its event says it."""
    facts: dict[str, Any] = {name: getattr(hit, name) for name in Limit.__struct_fields__}
    return Limit(**{**facts, **{name: _amount(facts[name]) for name in _AMOUNTS}})


_AMOUNTS = ("used", "requested", "threshold")
_COLUMNS = (
    *(name for name in Limit.__struct_fields__), "at", "run", "step", "run_id", "execution_id", "run_name", "run_agent",
    "session", "seq",
)  # fmt: skip


def _amount(value: float) -> float | None:
    return value if isfinite(value) else None


def _reached(row: Row) -> ReachedLimit:
    facts: dict[str, Any] = {name: row[name] for name in Limit.__struct_fields__ if name != "evidence"}
    facts.update({name: _amount(row[name]) for name in _AMOUNTS})
    return ReachedLimit(
        **facts,
        evidence=msgspec.json.decode(row["evidence"] or "[]", type=tuple[int, ...]),
        time=time(row["at"]),
        run_id=row["run_id"],
        execution_id=row["execution_id"],
        run_name=row["run_name"],
        agent_type=row["run_agent"],
        session_id=row["session"],
        seq=row["seq"],
        step_id=ids.step_id(row["run_id"], row["step"]),
    )
