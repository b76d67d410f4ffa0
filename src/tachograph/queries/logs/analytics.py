"""The analytics of a period: what was executed, how it ended, how long it took, what the model calls cost.

A month is read from the roll-ups: one reading by provider and model, one by agent. All sums add up: those by status, by
agent, by provider, by model and by day each make the totals, and the totals are the lists' `total_count`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs import figures
from tachograph.queries.logs.figures import (
    AgentFigures,
    CallFigures,
    DurationStats,
    FirstToken,
    Rate,
    Statuses,
    TokenStats,
    agent_figures,
    call_figures,
)
from tachograph.queries.logs.paused import paused
from tachograph.queries.logs.series import VALUES, Interval, Series, interval_of, series
from tachograph.queries.logs.slowest import SlowStep, slowest
from tachograph.queries.pages import Text
from tachograph.queries.period import Period, Plan, Wanted, facet_of, of_row, plan, read_all
from tachograph.queries.units import Time, time
from tachograph.store.ports import Index
from tachograph.store.query import Where
from tachograph.store.rollup import DAY_HOURS, HOUR, SUMS, Row, merged

DAYS = 30
"""Length of a period that nobody gave a start: so many days before its end, from midnight (UTC) on."""
SLOWEST = 10
MOST_ERRORS = 50
_DAY = DAY_HOURS * HOUR


class SummaryAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which period, and what of it."""

    start_date: StartDate = None
    end_date: EndDate = None
    report_id: Annotated[Text | None, Meta(description="Only what was made for this report. Reads every step.")] = None
    agent_type: Annotated[Text | None, Meta(description="Only this agent.")] = None
    session_id: Annotated[Text | None, Meta(description="Only runs of this session. Reads every step.")] = None
    tag: Annotated[Text | None, Meta(description="Only runs with this tag. Reads every step.")] = None
    interval: Annotated[
        Interval | None, Meta(description="Of the series; without it hours for up to two days, and days for more.")
    ] = None


class DateRange(Struct, frozen=True):
    """A period, both bounds included."""

    start_date: Time
    end_date: Time


class ExecutionAnalytics(Struct, frozen=True, kw_only=True):
    """Steps of all kinds but model calls: the rows of `execution_logs`."""

    total_executions: Annotated[int, Meta(ge=0)]
    status_counts: Statuses
    success_rate: Rate
    agent_type_counts: Annotated[dict[str, int], Meta(description="By agent; under '' where nobody said.")]
    kind_counts: Annotated[dict[str, int], Meta(description="By kind: run, tool, plan, …")]
    duration_stats: DurationStats
    agents: Annotated[tuple[AgentFigures, ...], Meta(description="By agent, the one with the most cost first.")]


class LlmCallAnalytics(Struct, frozen=True, kw_only=True):
    """Model calls, each attempt counted: the rows of `llm_call_logs`."""

    total_calls: Annotated[int, Meta(ge=0)]
    status_counts: Statuses
    success_rate: Rate
    provider_counts: dict[str, int]
    model_counts: dict[str, int]
    duration_stats: DurationStats
    first_token: FirstToken
    token_stats: TokenStats
    providers: Annotated[tuple[CallFigures, ...], Meta(description="By provider, the dearest first.")]
    models: Annotated[tuple[CallFigures, ...], Meta(description="By provider and model, the dearest first.")]


class ErrorCount(Struct, frozen=True):
    """Steps of one kind that had an error of one type."""

    kind: str
    error_type: str
    count: int


class Summary(Struct, frozen=True, kw_only=True):
    """The analytics of a period."""

    date_range: DateRange
    execution_analytics: ExecutionAnalytics
    llm_call_analytics: LlmCallAnalytics
    series: Series
    slowest_steps: Annotated[tuple[SlowStep, ...], Meta(description="The ten longest of the execution logs.")]
    error_groups: Annotated[tuple[ErrorCount, ...], Meta(description="Most frequent first, fifty at most.")]
    error_count: Annotated[int, Meta(ge=0, description="Steps and calls with an error, of all groups.")]
    as_of: Annotated[Time, Meta(description="When these figures were exact.")]
    source: Annotated[
        str, Meta(description="`rollups`, or `rows` when a condition made every step of the period be read.")
    ]


def summary(index: Index, asked: SummaryAsked, now_ns: int) -> Summary:
    """The analytics of the steps that started in the period. Raises InvalidParameter."""
    period = _period(asked, now_ns)
    interval = interval_of(asked.interval, period)
    where = _conditions(asked)
    wanted = [Wanted(("step", "provider", "model", *(("day",) if interval == "day" else ()))), _BY_AGENT]
    if interval == "hour":
        wanted.append(_BY_HOUR)
    by_model, by_agent, *by_hour = read_all(index, period, now_ns, wanted, where)
    places = _Places(
        plan=plan(index, period, now_ns) if by_model.source == "rollups" else Plan((), (), (period,)),
        facet=facet_of(set(where)) or "each",
        rolled=tuple(Where(name, "eq", value) for name, value in where.items()),
        steps=tuple(
            Where("agent_type", "eq", value) if name == "agent" else of_row(name, value)
            for name, value in where.items()
        ),
    )
    waiting = paused(index, places.plan, by_model.rows, places.rolled, places.steps)
    return Summary(
        date_range=DateRange(time(period.since or 0), time((period.until or 1) - 1)),
        execution_analytics=_executions(by_model.rows, by_agent.rows, waiting),
        llm_call_analytics=_calls(by_model.rows),
        series=series((by_hour or [by_model])[0].rows, period, interval),
        slowest_steps=slowest(index, *places, SLOWEST),
        error_groups=_errors(by_model.errors)[:MOST_ERRORS],
        error_count=sum(row["count"] for row in by_model.errors),
        as_of=time(now_ns),
        source=by_model.source,
    )


class _Places(NamedTuple):
    """Where the period is read, and the conditions as rows of roll-ups and as steps meet them."""

    plan: Plan
    facet: str
    rolled: Sequence[Where]
    steps: Sequence[Where]


_BY_AGENT = Wanted(("step", "agent"), (*SUMS, "duration_min_ns", "duration_max_ns"))
_BY_HOUR = Wanted(("step", "hour"), VALUES)


def _period(asked: SummaryAsked, now_ns: int) -> Period:
    given = between(asked.start_date, asked.end_date)
    until = now_ns + 1 if given.until is None else given.until
    since = (until - 1) // _DAY * _DAY - DAYS * _DAY if given.since is None else given.since
    return Period(since, until)


def _conditions(asked: SummaryAsked) -> Mapping[str, str]:
    given = {"report_id": asked.report_id, "agent": asked.agent_type, "session": asked.session_id, "tag": asked.tag}
    return {name: value for name, value in given.items() if value is not None}


def _executions(by_model: Sequence[Row], by_agent: Sequence[Row], waiting: Mapping[str, int]) -> ExecutionAnalytics:
    kinds = merged((row for row in by_model if row["step"] != "llm"), ("step",))
    whole = next(iter(merged(kinds, ())), None)
    agents = _agents(by_agent, waiting)
    counts = {each.agent_type: each.executions for each in agents if each.executions}
    return ExecutionAnalytics(
        total_executions=0 if whole is None else whole["count"],
        status_counts=figures.status_counts(whole, sum(waiting.values())),
        success_rate=figures.success_rate(whole),
        agent_type_counts=dict(sorted(counts.items(), key=_most_first)),
        kind_counts=dict(sorted(((row["step"], row["count"]) for row in kinds), key=_most_first)),
        duration_stats=figures.duration_stats(whole),
        agents=agents,
    )


def _agents(rows: Sequence[Row], waiting: Mapping[str, int]) -> tuple[AgentFigures, ...]:
    steps = {row["agent"]: row for row in merged((row for row in rows if row["step"] != "llm"), ("agent",))}
    calls = {row["agent"]: row for row in merged((row for row in rows if row["step"] == "llm"), ("agent",))}
    found = [
        agent_figures(agent, steps.get(agent), calls.get(agent), waiting.get(agent, 0)) for agent in {**steps, **calls}
    ]
    return tuple(
        sorted(found, key=lambda each: (-(each.token_stats.total_cost or 0), -each.executions, each.agent_type))
    )


def _calls(rows: Iterable[Row]) -> LlmCallAnalytics:
    models = merged((row for row in rows if row["step"] == "llm"), ("provider", "model"))
    providers = merged(models, ("provider",))
    whole = next(iter(merged(providers, ())), None)
    by_model: Counter[str] = Counter()
    for row in models:
        by_model[row["model"]] += row["count"]
    return LlmCallAnalytics(
        total_calls=0 if whole is None else whole["count"],
        status_counts=figures.status_counts(whole),
        success_rate=figures.success_rate(whole),
        provider_counts=dict(sorted(((row["provider"], row["count"]) for row in providers), key=_most_first)),
        model_counts=dict(sorted(by_model.items(), key=_most_first)),
        duration_stats=figures.duration_stats(whole),
        first_token=figures.first_token(whole),
        token_stats=figures.token_stats(whole),
        providers=_dearest_first(call_figures(row, None) for row in providers),
        models=_dearest_first(call_figures(row, row["model"]) for row in models),
    )


def _dearest_first(found: Iterable[CallFigures]) -> tuple[CallFigures, ...]:
    def rank(each: CallFigures) -> tuple[float, int, str, str]:
        return -(each.token_stats.total_cost or 0), -each.calls, each.provider, each.model_id or ""

    return tuple(sorted(found, key=rank))


def _most_first(counted: tuple[str, int]) -> tuple[int, str]:
    return -counted[1], counted[0]


def _errors(rows: Iterable[Row]) -> tuple[ErrorCount, ...]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts[row["step"], row["error"]] += row["count"]
    groups = (ErrorCount(kind, error, count) for (kind, error), count in counts.items())
    return tuple(sorted(groups, key=lambda group: (-group.count, group.kind, group.error_type)))
