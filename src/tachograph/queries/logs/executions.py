"""The list of execution logs: newest first, filtered, a page at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.call_rows import LlmCallLog, llm_call_logs
from tachograph.queries.logs.calls import Below, below
from tachograph.queries.logs.contents import LIST_BYTES
from tachograph.queries.logs.counts import Counted, count, within
from tachograph.queries.logs.execution_rows import COLUMNS, ExecutionLog, execution_logs
from tachograph.queries.logs.keys import Key, Row, key_of
from tachograph.queries.pages import PageAsked, PageGiven, Text, meeting, page
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

ExecutionStatus = Literal["started", "paused", "completed", "failed", "cancelled", "abandoned"]

NO_CALLS = Where("kind", "ne", "llm")
"""Model calls are steps too, but rows of the other list."""


class ExecutionsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which steps. Conditions that are given must all hold."""

    report_id: Annotated[Text | None, Meta(description="The report it was made for.")] = None
    agent_type: Annotated[Text | None, Meta(description="planner, designer, answer, …")] = None
    execution_step: Annotated[
        Text | None,
        Meta(description="plan, execute, observe, …: the name of a step. `tool` means tool calls and nothing else."),
    ] = None
    action_type: Annotated[Text | None, Meta(description="create_widget, answer_question, …")] = None
    status: Annotated[ExecutionStatus | None, Meta(description="How it stands; `started` while it is open.")] = None
    external_platform: Annotated[Text | None, Meta(description="Where the trigger of its run came from.")] = None
    start_date: StartDate = None
    end_date: EndDate = None
    include_llm_calls: Annotated[bool, Meta(description="Whether to give the model calls of each step.")] = False


class ExecutionLogs(PageGiven, frozen=True, kw_only=True):
    """A page of execution logs, newest first."""

    execution_logs: tuple[ExecutionLog, ...]


def executions(store: Reading, asked: ExecutionsAsked, now_ns: int) -> ExecutionLogs:
    """The steps that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    period, where = between(asked.start_date, asked.end_date), _conditions(asked)
    found = page(store, Query("steps", (NO_CALLS, *within(period), *where), COLUMNS, order=("-started_at",)), asked)
    logs = execution_logs(store, found.rows, LIST_BYTES)
    if asked.include_llm_calls:
        calls = below(store, [key_of(row) for row in found.rows])
        logs = with_calls(logs, found.rows, calls, llm_call_logs(store, calls.rows, LIST_BYTES))
    total = count(store, now_ns, _COUNTED, period, where)
    return ExecutionLogs(execution_logs=tuple(logs), **found.given(asked, total))


def with_calls(
    logs: Sequence[ExecutionLog], rows: Sequence[Row], calls: Below, made: Sequence[LlmCallLog]
) -> list[ExecutionLog]:
    """The logs, which were made of `rows`, with the calls directly below each; `made` are the logs of `calls`."""
    by_step: dict[Key, list[LlmCallLog]] = defaultdict(list)
    for call, log in zip(calls.rows, made, strict=True):
        by_step[call["run"], call["parent"]].append(log)
    return [
        msgspec.structs.replace(log, llm_calls=tuple(by_step[key]), llm_call_count=calls.counts.get(key, 0))
        for key, log in zip(map(key_of, rows), logs, strict=True)
    ]


def _conditions(asked: ExecutionsAsked) -> tuple[Where, ...]:
    where = meeting(
        asked,
        {
            "report_id": "report_id",
            "agent_type": "agent_type",
            "action_type": "action_type",
            "status": "status",
            "external_platform": "platform",
        },
    )
    match asked.execution_step:
        case None:
            return where
        case "tool":
            return (*where, Where("kind", "eq", "tool"))
        case name:
            return (*where, Where("kind", "ne", "tool"), Where("name", "eq", name))


_COUNTED = Counted(
    table="steps",
    always=(NO_CALLS,),
    rolled=Where("step", "ne", "llm"),
    keys={"agent_type": "agent", "status": "status"},
)
