"""Runs as answers show them: a page of them, and the one form that a run has wherever it stands."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.pages import Listing, Ordinal, PageAsked, Paged, PageGiven, Text, listing, page, total
from tachograph.queries.runs import COLUMNS, NO_AUDIT, Filter, Run, conditions, run_of
from tachograph.queries.units import Time, maybe_usd, time, usd, whole_ms
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

Tokens = Annotated[
    int | None, Meta(description="Null when nobody counted; a lower bound while `usage_missing` is not 0.")
]
RunStatus = Literal["started", "paused", "completed", "failed", "cancelled", "abandoned"]
RunOrder = Literal["newest", "oldest", "longest", "dearest", "most_tokens", "most_errors"]

_ORDERS: dict[RunOrder, str] = {
    "newest": "-started_at",
    "oldest": "started_at",
    "longest": "-duration_ns",
    "dearest": "-cost_nano",
    "most_tokens": "-total_tokens",
    "most_errors": "-errors",
}


class RunOverview(Struct, frozen=True, kw_only=True):
    """A run: its facts and totals, no content."""

    id: Annotated[str, Meta(description="UUID; sorts by the time at which it began.")]
    execution_id: str
    name: str
    agent_type: str | None
    tenant: str
    session_id: str | None
    user: str | None
    tags: tuple[str, ...]
    project: Annotated[str, Meta(description="From the tag `project:<name>`; empty without one.")]
    environment: str | None
    version: str | None
    external_platform: str | None
    source: Annotated[str, Meta(description="Format and file of an imported run; empty for live ones.")]
    parent_run_id: Annotated[str | None, Meta(description="The run that started it.")]
    status: RunStatus
    stop_reason: str
    start_time: Time
    end_time: Annotated[Time | None, Meta(description="Null while it is open.")]
    duration_ms: Annotated[int | None, Meta(description="By the monotonic clock; null while it is open.")]
    events: int
    iterations: int
    steps: Annotated[int, Meta(description="Plain steps: neither model nor tool calls.")]
    llm_calls: Annotated[int, Meta(description="Attempts.")]
    tool_calls: int
    errors: int
    interventions: Annotated[int, Meta(description="Limits that changed what happened.")]
    input_tokens: Tokens
    uncached_tokens: Tokens
    cache_read_tokens: Tokens
    cache_write_tokens: Tokens
    output_tokens: Tokens
    reasoning_tokens: Annotated[Tokens, Meta(description="A part of the output.")]
    usage_missing: Annotated[int, Meta(description="Calls whose usage nobody gave.")]
    total_cost: Annotated[
        float | None,
        Meta(description="USD. Null when no call has a price; a lower bound while `unpriced` is not 0."),
    ]
    unpriced: Annotated[int, Meta(description="Calls without a price.")]
    reported_cost: Annotated[float, Meta(description="USD as other sides said.")]
    error_type: str | None
    error_message: str | None
    lost: Annotated[int, Meta(description="Events that could not be recorded.")]
    truncated: Annotated[int, Meta(description="Contents that were cut when they were recorded.")]
    billable: bool


class RunsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which runs. Conditions that are given must all hold."""

    status: Annotated[RunStatus | None, Meta(description="How it stands; `started` while it is open.")] = None
    stop_reason: Annotated[Text | None, Meta(description="Why it ended: final_answer, tool_loop, deadline, …")] = None
    agent_type: Annotated[Text | None, Meta(description="The agent it began with.")] = None
    session_id: Annotated[Text | None, Meta(description="The session it belongs to.")] = None
    user: Annotated[Text | None, Meta(description="Whose run it is.")] = None
    environment: Annotated[Text | None, Meta(description="production, staging, …")] = None
    tag: Annotated[Text | None, Meta(description="One of its tags.")] = None
    project: Annotated[Text | None, Meta(description="What follows `project:` in a tag.")] = None
    source: Annotated[
        Text | None, Meta(description="What `source` begins with. Audit runs are given only when it is `audit`.")
    ] = None
    name: Annotated[Text | None, Meta(description="A part of the run's name, in any case.")] = None
    parent_run_id: Annotated[Text | None, Meta(description="Runs that this run started.")] = None
    top: Annotated[bool, Meta(description="Only runs that no other run started.")] = False
    start_date: StartDate = None
    end_date: EndDate = None
    order: Annotated[RunOrder, Meta(description="What comes first.")] = "newest"


class Runs(PageGiven, frozen=True, kw_only=True):
    """A page of runs."""

    runs: tuple[RunOverview, ...]


def listed(index: Index, asked: RunsAsked) -> Runs:
    """The runs that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    found = _page(index, asked)
    return Runs(runs=tuple(map(_shown, found.rows)), **found.given(asked, counted(index, asked)))


def leafed(index: Index, asked: RunsAsked) -> Listing[RunOverview]:
    """The same page, without the number of all runs. Raises InvalidParameter."""
    found = _page(index, asked)
    return listing(found, map(_shown, found.rows))


def overviews(index: Index, *where: Where, limit: int) -> tuple[RunOverview, ...]:
    """Runs under these conditions on their table, the oldest first; the audit's are none."""
    query = Query("runs", (*where, NO_AUDIT), COLUMNS, order=("started_at",), limit=limit)
    return tuple(overview(run_of(row)) for row in index.find(query).rows)


def counted(index: Index, asked: RunsAsked) -> int:
    """How many runs meet every condition. Raises InvalidParameter."""
    return total(index, _query(asked))


def named(index: Index, ids: Collection[str]) -> tuple[RunOverview, ...]:
    """The runs with these ids, those that there are, newest first."""
    if not ids:
        return ()
    query = Query("runs", (Where("id", "in", tuple(ids)),), COLUMNS, order=("-started_at",), limit=None)
    return tuple(map(_shown, index.find(query).rows))


def _page(index: Index, asked: RunsAsked) -> Paged:
    return page(index, _query(asked), asked, tuple[Ordinal | None, Ordinal])


def _shown(row: Mapping[str, Any]) -> RunOverview:
    return overview(run_of(row))


def _query(asked: RunsAsked) -> Query:
    period = between(asked.start_date, asked.end_date)
    where = conditions(
        Filter(
            status=asked.status,
            stop_reason=asked.stop_reason,
            agent=asked.agent_type,
            session=asked.session_id,
            user=asked.user,
            environment=asked.environment,
            tag=asked.tag,
            project=asked.project,
            source=asked.source,
            text=asked.name,
            since=period.since,
            until=period.until,
            parent=asked.parent_run_id,
            top=asked.top,
        )
    )
    return Query("runs", where, COLUMNS, order=(_ORDERS[asked.order],))


def overview(run: Run) -> RunOverview:
    """A run in the form that answers have."""
    duration = run.duration_ns
    return RunOverview(
        **{name: getattr(run, name) for name in _SAME},
        agent_type=run.agent,
        session_id=run.session,
        external_platform=run.platform,
        parent_run_id=run.parent,
        start_time=time(run.started_at),
        end_time=None if duration is None else time(run.started_at + duration),
        duration_ms=whole_ms(duration),
        input_tokens=run.input_total,
        uncached_tokens=run.input_uncached,
        cache_read_tokens=run.cache_read,
        cache_write_tokens=run.cache_write,
        output_tokens=run.output,
        reasoning_tokens=run.reasoning,
        total_cost=maybe_usd(run.cost),
        reported_cost=usd(run.reported_cost),
    )


_SAME = (
    "id", "execution_id", "name", "tenant", "user", "tags", "project", "environment", "version", "source", "status",
    "stop_reason", "events", "iterations", "steps", "llm_calls", "tool_calls", "errors", "interventions",
    "usage_missing", "unpriced", "error_type", "error_message", "lost", "truncated", "billable",
)  # fmt: skip
