"""One execution: all its steps in the order they began, over every run that has its id."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.errors import NotFound
from tachograph.queries.logs.call_rows import llm_call_logs
from tachograph.queries.logs.calls import NONE_BELOW, below
from tachograph.queries.logs.contents import DETAIL_BYTES
from tachograph.queries.logs.execution_rows import COLUMNS, ExecutionLog, execution_logs
from tachograph.queries.logs.executions import NO_CALLS, with_calls
from tachograph.queries.logs.keys import key_of
from tachograph.queries.logs.said import words
from tachograph.queries.pages import total
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where


class ExecutionAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of an execution."""

    include_llm_calls: Annotated[bool, Meta(description="Whether to give the model calls of each step.")] = True
    limit: Annotated[int, Meta(ge=1, le=5_000, description="Most steps to give.")] = 1_000
    offset: Annotated[int, Meta(ge=0, le=2**31, description="Steps to leave out before the first.")] = 0


class Execution(Struct, frozen=True, kw_only=True):
    """The steps of an execution, oldest first."""

    execution_id: str
    steps: tuple[ExecutionLog, ...]
    total_count: Annotated[int, Meta(ge=1, description="Steps there are.")]
    limit: Annotated[int, Meta(ge=1)]
    offset: Annotated[int, Meta(ge=0)]


def execution(store: Reading, execution_id: str, asked: ExecutionAsked) -> Execution:
    """The execution with this id; with the prompts and responses of its calls. Raises NotFound.

    A content of more than DETAIL_BYTES is cut, and so is what goes beyond TOGETHER_BYTES in one answer.
    """
    where = (Where("execution_id", "eq", execution_id), NO_CALLS)
    count = total(store, Query("steps", where))
    if not count:
        raise NotFound("execution", execution_id)
    query = Query("steps", where, COLUMNS, order=("started_at",), limit=asked.limit, offset=asked.offset)
    rows = store.find(query).rows
    calls = below(store, list(map(key_of, rows))) if asked.include_llm_calls else NONE_BELOW
    telling = (*calls.rows, *(row for row in rows if row["error_type"] is not None))
    told = words(store, {row["run"]: row["run_id"] for row in telling}, map(key_of, calls.rows), DETAIL_BYTES)
    logs = execution_logs(store, rows, DETAIL_BYTES, told.tracebacks)
    if asked.include_llm_calls:
        logs = with_calls(logs, rows, calls, llm_call_logs(store, calls.rows, DETAIL_BYTES, told))
    return Execution(
        execution_id=execution_id, steps=tuple(logs), total_count=count, limit=asked.limit, offset=asked.offset
    )
