"""What a period came to: totals, the course of time, models and errors. And apart from them what takes longer to find.

Read from the roll-ups like the analytics of the API, and with their meaning: what began in the period counts, a cost or
a number of tokens that nobody knows is None. A condition that no roll-up knows has every step of the period read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tachograph.queries.logs.slowest import SlowStep, slowest
from tachograph.queries.overview.points import Interval, Point, Times, interval_of, minutes, points, times, times_of
from tachograph.queries.period import Period, Plan, Wanted, facet_of, of_row, plan, read_all
from tachograph.queries.stats import ErrorGroup, Group, errors, group, groups, parts
from tachograph.store.ports import Index
from tachograph.store.query import Where
from tachograph.store.rollup import SUMS, Row, merged

SLOWEST, MOST_ERRORS = 10, 20
_BY_MODEL = Wanted(("step", "provider", "model"))
_BY_AGENT = Wanted(("step", "agent"))
_SUMS_BY_AGENT = Wanted(("step", "agent"), SUMS)
_NO_TIMES: Row = {"timed": 0, **dict.fromkeys(("duration_min_ns", "duration_max_ns", "hist", "first_token_hist"))}


class Models(Struct, frozen=True):
    """Model calls, by who answered them; the dearest first."""

    providers: tuple[Group, ...]
    """Key: provider."""
    models: tuple[Group, ...]
    """Key: provider, model."""


class Figures(Struct, frozen=True, kw_only=True):
    """What a period came to."""

    total: Group
    points: tuple[Point, ...]
    times: tuple[Times, ...]
    intervals: tuple[Interval, Interval]
    """Of points, and of times."""
    models: Models | None
    """None under a condition: see `models`."""
    errors: tuple[ErrorGroup, ...]
    """Most frequent first."""
    error_count: int
    """Of all groups."""
    as_of: int
    source: str


def figures(index: Index, period: Period, now_ns: int, where: Mapping[str, str]) -> Figures:
    """What the steps came to that began in the period. `where` are equalities, of CONDITIONS of `stats`."""
    sums, long = interval_of(period), times_of(period)
    keys = ("step", *(("agent",) if "agent" in where else () if where else ("provider", "model")))
    asked = [Wanted(keys if long == "minute" else (*keys, long))]
    if sums != long:
        asked.append(Wanted(("step", sums), SUMS))
    whole, *rest = read_all(index, period, now_ns, asked, where)
    apart = merged(whole.rows, keys)
    by_time = minutes(index, period, where) if long == "minute" else whole.rows
    return Figures(
        total=group((), merged(apart, ("step",))),
        points=points(rest[0].rows if rest else by_time, period, sums),
        times=times(by_time, period, long),
        intervals=(sums, long),
        models=None if where else _models(apart),
        errors=errors(whole.errors)[:MOST_ERRORS],
        error_count=sum(row["count"] for row in whole.errors),
        as_of=now_ns,
        source=whole.source,
    )


def models(index: Index, period: Period, now_ns: int, where: Mapping[str, str]) -> Models:
    """The model calls of the period by provider and model. With a condition it reads more rows than `figures` does."""
    return _models(read_all(index, period, now_ns, (_BY_MODEL,), {**where, "step": "llm"})[0].rows)


def agents(index: Index, period: Period, now_ns: int, where: Mapping[str, str]) -> tuple[Group, ...]:
    """What each agent did, the dearest first. Key: agent. How long it took is told of runs, of the rest maybe.

    Of a long period packed times are what takes long to read, of a short one that steps are read twice.
    """
    if times_of(period) == "minute":
        rows = read_all(index, period, now_ns, (_BY_AGENT,), where)[0].rows
        return groups(parts(rows, ("step", "agent")), ("agent",))
    rows = read_all(index, period, now_ns, (_SUMS_BY_AGENT,), where)[0].rows
    runs = read_all(index, period, now_ns, (_BY_AGENT,), {**where, "step": "run"})[0].rows
    others = ({**row, **_NO_TIMES} for row in rows if row["step"] != "run")
    return groups(parts([*others, *runs], ("step", "agent")), ("agent",))


def slow(index: Index, period: Period, now_ns: int, where: Mapping[str, str]) -> tuple[SlowStep, ...]:
    """The longest steps that are no model calls."""
    facet = facet_of(set(where))
    places = plan(index, period, now_ns) if facet else Plan((), (), (period,))
    rolled = tuple(Where(name, "eq", value) for name, value in where.items())
    steps = tuple(
        Where("agent_type", "eq", value) if name == "agent" else of_row(name, value) for name, value in where.items()
    )
    return slowest(index, places, facet or "each", rolled, steps, SLOWEST)


def _models(rows: Iterable[Row]) -> Models:
    apart = parts((row for row in rows if row["step"] == "llm"), ("step", "provider", "model"))
    return Models(groups(apart, ("provider",)), groups(apart, ("provider", "model")))
