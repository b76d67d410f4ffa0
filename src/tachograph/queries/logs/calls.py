"""The list of model calls: newest first, filtered, a page at a time; and the calls directly below some steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from tachograph.events import ids
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.call_rows import COLUMNS, LlmCallLog, llm_call_logs
from tachograph.queries.logs.contents import LIST_BYTES
from tachograph.queries.logs.counts import Counted, count, within
from tachograph.queries.logs.keys import Key, Row, key_of
from tachograph.queries.logs.said import SILENCE, words
from tachograph.queries.pages import PageAsked, PageGiven, Text, meeting, page
from tachograph.store.ports import Index, Reading
from tachograph.store.query import Measure, Query, Where

MOST = 2_000
"""Most calls that one answer holds below its steps."""

CallStatus = Literal["started", "completed", "failed", "cancelled", "abandoned"]


class LlmCallsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which model calls. Conditions that are given must all hold."""

    provider: Annotated[Text | None, Meta(description="openai, anthropic, google, …")] = None
    model_id: Annotated[Text | None, Meta(description="The model as requested.")] = None
    call_type: Annotated[Literal["inference", "inference_stream"] | None, Meta(description="Streamed or not.")] = None
    status: Annotated[CallStatus | None, Meta(description="How it stands; `started` while it is open.")] = None
    report_id: Annotated[Text | None, Meta(description="The report it was made for.")] = None
    execution_log_id: Annotated[
        Text | None,
        Meta(description="`id` of an execution log: calls directly below it. Or an `execution_id`: all its calls."),
    ] = None
    start_date: StartDate = None
    end_date: EndDate = None
    include_content: Annotated[bool, Meta(description="Whether to give prompts and responses.")] = False


class LlmCallLogs(PageGiven, frozen=True, kw_only=True):
    """A page of model calls, newest first."""

    llm_call_logs: tuple[LlmCallLog, ...]


def llm_calls(store: Reading, asked: LlmCallsAsked, now_ns: int) -> LlmCallLogs:
    """The calls that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    period, where = between(asked.start_date, asked.end_date), _conditions(store, asked)
    found = page(store, Query("calls", (*within(period), *where), COLUMNS, order=("-started_at",)), asked)
    told = SILENCE
    if asked.include_content:
        runs = {row["run"]: row["run_id"] for row in found.rows}
        told = words(store, runs, map(key_of, found.rows), LIST_BYTES)
    logs = llm_call_logs(store, found.rows, LIST_BYTES, told)
    total = count(store, now_ns, _COUNTED, period, where)
    return LlmCallLogs(llm_call_logs=tuple(logs), **found.given(asked, total))


class Below(NamedTuple):
    """The calls directly below some steps."""

    rows: Sequence[Row]
    """In the order of runs and steps, MOST at most."""
    counts: Mapping[Key, int]
    """Step → how many there are."""


NONE_BELOW = Below((), {})


def below(store: Reading, steps: Sequence[Key]) -> Below:
    """The calls directly below these steps, in two questions to the store whatever the number of steps."""
    wanted = set(steps)
    if not wanted:
        return NONE_BELOW
    runs, numbers = {run for run, _ in wanted}, {step for _, step in wanted}
    where = (Where("run", "in", tuple(runs)), Where("parent", "in", tuple(numbers)))
    groups = store.find(Query("calls", where, group=("run", "parent"), measures=(Measure("count"),), limit=None)).rows
    counts = {key: row["count"] for row in groups if (key := (row["run"], row["parent"])) in wanted}
    if not counts:
        return NONE_BELOW
    rows = store.find(Query("calls", where, COLUMNS, order=("run", "step"), limit=MOST)).rows
    return Below([row for row in rows if (row["run"], row["parent"]) in wanted], counts)


def _conditions(index: Index, asked: LlmCallsAsked) -> tuple[Where, ...]:
    where = meeting(asked, {"provider": "provider", "model_id": "model", "status": "status", "report_id": "report_id"})
    if asked.call_type is not None:
        where = (*where, Where("streaming", "eq", asked.call_type == "inference_stream"))
    if asked.execution_log_id is not None:
        where = (*where, *_of_log(index, asked.execution_log_id))
    return where


def _of_log(index: Index, name: str) -> tuple[Where, ...]:
    """What the id names: a step, or an execution as a whole, whose id may look like that of a step."""
    whole = (Where("execution_id", "eq", name),)
    try:
        run, step = ids.split_step_id(name)
    except ValueError:
        return whole
    known = index.find(Query("runs", (Where("id", "eq", run),), ("id",), limit=1)).rows
    return (Where("run_id", "eq", run), Where("parent", "eq", step)) if known else whole


_COUNTED = Counted(
    table="calls",
    rolled=Where("step", "eq", "llm"),
    keys={"provider": "provider", "model": "model", "status": "status"},
)
