"""The steps, or the model calls, that a figure counts: newest first, a page at a time.

What nearly no step meets would have a list read for a long time. Roll-ups know the hours in which some step met the
conditions, so only these are opened, and only until the page is full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.counts import Counted, count, within
from tachograph.queries.logs.executions import NO_CALLS
from tachograph.queries.pages import PageAsked, Paged, Text, meeting, page
from tachograph.queries.pages import total as matching
from tachograph.queries.period import Period, Wanted, added, facet_of, plan
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where
from tachograph.store.rollup import DAY_HOURS, HOUR


class StepsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which steps. Conditions that are given must all hold."""

    kind: Annotated[Text | None, Meta(description="llm for model calls, tool, run, …; without it all but llm.")] = None
    agent_type: Annotated[Text | None, Meta(description="The agent whose step it was.")] = None
    provider: Annotated[Text | None, Meta(description="Of model calls.")] = None
    model_id: Annotated[Text | None, Meta(description="Of model calls: the model as requested.")] = None
    status: Annotated[Text | None, Meta(description="How it stands; `started` while it is open.")] = None
    error: Annotated[Text | None, Meta(description="The type of its error; its category where it has no type.")] = None
    start_date: StartDate = None
    end_date: EndDate = None


class Step(Struct, frozen=True, kw_only=True):
    """A step, in the units of the store."""

    id: str
    run_id: str
    run_name: str
    kind: str
    name: str
    """Of a model call: its model."""
    provider: str
    agent: str | None
    status: str
    error: str
    message: str
    started_at: int
    duration_ns: int | None
    first_token_ns: int | None
    input_tokens: int | None
    """None when nobody counted; so is the output, and the cost when it has no price."""
    output_tokens: int | None
    cost: int | None


class Steps(Struct, frozen=True):
    """A page of steps."""

    steps: tuple[Step, ...]
    total: int
    """On all pages."""
    next_cursor: str | None


def steps(index: Index, asked: StepsAsked, now_ns: int) -> Steps:
    """The steps that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    period = between(asked.start_date, asked.end_date)
    found, total = _found(index, asked, now_ns, period, _where(asked, "error_type"))
    if asked.error is not None and not found.rows:
        untyped = (*_where(asked, "error_category"), Where("error_type", "eq", ""))
        query = Query(
            _table(asked), (*_always(asked), *within(period), *untyped), _columns(asked), order=("-started_at",)
        )
        found = page(index, query, asked)
        total = matching(index, query)
    return Steps(tuple(_step(row) for row in found.rows), total, found.next_cursor)


def _table(asked: StepsAsked) -> str:
    return "calls" if _are_calls(asked) else "steps"


def _are_calls(asked: StepsAsked) -> bool:
    return asked.kind == "llm" or asked.provider is not None or asked.model_id is not None


def _always(asked: StepsAsked) -> tuple[Where, ...]:
    if _are_calls(asked):
        return ()
    return (NO_CALLS,) if asked.kind is None else (NO_CALLS, Where("kind", "eq", asked.kind))


_COMMON = ("run", "step", "run_id", "run_name", "agent_type", "status", "started_at", "duration_ns")
_ERROR = ("error_type", "error_category", "error_message")
_OF_CALL = (
    "provider", "model", "first_token_ns", "input_tokens", "output_tokens", "usage_basis", "cost_nano", "cost_state",
)  # fmt: skip


def _columns(asked: StepsAsked) -> tuple[str, ...]:
    return (*_COMMON, *_ERROR, *(_OF_CALL if _are_calls(asked) else ("kind", "name")))


_KEYS: Mapping[str, str] = {
    "provider": "provider",
    "model": "model",
    "agent_type": "agent",
    "status": "status",
    "error_type": "error",
}
"""Columns → the keys of roll-ups that say the same."""


def _where(asked: StepsAsked, error: str) -> tuple[Where, ...]:
    columns = {"provider": "provider", "model_id": "model", "agent_type": "agent_type", "status": "status"}
    return meeting(asked, {**columns, "error": error})


def _found(index: Index, asked: StepsAsked, now_ns: int, period: Period, where: tuple[Where, ...]) -> tuple[Paged, int]:
    kind = "llm" if _are_calls(asked) else asked.kind
    rolled = Where("step", "ne", "llm") if kind is None else Where("step", "eq", kind)
    counted = Counted(table=_table(asked), always=_always(asked), rolled=rolled, keys=_KEYS)
    total = count(index, now_ns, counted, period, where)
    query = Query(_table(asked), (*_always(asked), *where), _columns(asked), order=("-started_at",))
    met = (rolled, *(Where(_KEYS[each.column], "eq", each.value) for each in where))
    if not where and kind in {None, "llm"}:  # then every hour has some
        return page(index, _inside(query, period), asked), total
    return _filled(index, query, asked, _places(index, period, now_ns, met)), total


def _filled(index: Index, query: Query, asked: StepsAsked, places: Iterator[Period]) -> Paged:
    """A page from places that follow each other backwards in time, and hold everything there is."""
    rows: list[Mapping[str, Any]] = []
    for place in places:
        rest = msgspec.structs.replace(asked, limit=asked.limit - len(rows))
        found = page(index, _inside(query, place), rest)
        before = next(places, None) if len(found.rows) == rest.limit and found.next_cursor is None else None
        if before is not None:  # whether there are more is seen together with the place before
            found = page(index, _inside(query, Period(before.since, place.until)), rest)
        rows += found.rows
        if len(rows) == asked.limit:
            return msgspec.structs.replace(found, rows=rows)
    nothing = page(index, _inside(query, Period(0, 0)), asked)
    return msgspec.structs.replace(nothing, rows=rows)


def _inside(query: Query, period: Period) -> Query:
    return msgspec.structs.replace(query, where=(*query.where, *within(period)))


_COUNT = ("count",)


def _places(index: Index, period: Period, now_ns: int, met: Sequence[Where]) -> Iterator[Period]:
    """Where steps are that meet these conditions on roll-ups: hours, and what no roll-up covers; the last first."""
    parts = plan(index, period, now_ns)
    facet = facet_of({each.column for each in met}) or "each"
    days = added(index, msgspec.structs.replace(parts, hours=()), facet, met, Wanted(("day",), _COUNT))
    hours = added(index, msgspec.structs.replace(parts, days=()), facet, met, Wanted(("hour",), _COUNT))
    spans = [(row["day"] * DAY_HOURS * HOUR, "day", Period()) for row in days]
    spans += [(row["hour"] * HOUR, "hour", _hour(row["hour"])) for row in hours]
    spans += [(part.since or 0, "steps", part) for part in parts.steps]
    for start, span, place in sorted(spans, key=lambda each: -each[0]):
        if span != "day":
            yield place
            continue
        first = start // HOUR
        inside = msgspec.structs.replace(parts, days=(), hours=((first, first + DAY_HOURS),))
        found = {row["hour"] for row in added(index, inside, facet, met, Wanted(("hour",), _COUNT))}
        yield from map(_hour, sorted(found, reverse=True))


def _hour(number: int) -> Period:
    return Period(number * HOUR, (number + 1) * HOUR)


def _step(row: Mapping[str, Any]) -> Step:
    is_call = "model" in row
    counted = is_call and row["usage_basis"] not in {None, "missing"}
    return Step(
        id=ids.step_id(row["run_id"], row["step"]),
        run_id=row["run_id"],
        run_name=row["run_name"],
        kind="llm" if is_call else row["kind"],
        name=row["model"] if is_call else row["name"],
        provider=row["provider"] if is_call else "",
        agent=row["agent_type"],
        status=row["status"],
        error=row["error_type"] or row["error_category"] or "",
        message=row["error_message"] or "",
        started_at=row["started_at"],
        duration_ns=row["duration_ns"],
        first_token_ns=row["first_token_ns"] if is_call else None,
        input_tokens=row["input_tokens"] if counted else None,
        output_tokens=row["output_tokens"] if counted else None,
        cost=row["cost_nano"] if is_call and row["cost_state"] not in {None, "unpriced"} else None,
    )
