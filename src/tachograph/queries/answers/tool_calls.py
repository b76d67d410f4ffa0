"""Tool calls: what was asked for, how it ended, and the beginning of what went in and came out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries import wording
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.logs.contents import DETAIL_BYTES, NO_PIECE, Piece, Reader, both, piece, reader, tool_results
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.failures import ErrorDetail, failure
from tachograph.queries.logs.keys import Row
from tachograph.queries.pages import PageAsked, PageGiven, Text, meeting, page, total
from tachograph.queries.units import Time, maybe_time, time, whole_ms
from tachograph.store.ports import Reading
from tachograph.store.query import Query

ToolCallState = Literal["started", "completed", "failed", "rejected", "skipped", "cancelled", "abandoned"]


class ToolCallLog(Struct, frozen=True, kw_only=True):
    """One requested tool invocation, in exactly one state."""

    id: Annotated[str, Meta(description="UUID; `id` of its execution log.")]
    parent_id: Annotated[str | None, Meta(description="`id` of the step it is a part of.")]
    run_id: str
    execution_id: str
    session_id: str | None
    tool_name: str
    call_id: Annotated[str | None, Meta(description="The provider's id for it. Models repeat them.")]
    state: ToolCallState
    reason: Annotated[str | None, Meta(description="Why it was rejected or skipped.")]
    classification: Annotated[str, Meta(description="read, write, exec, network, delegation or other.")]
    agent_type: str
    start_time: Time
    end_time: Annotated[Time | None, Meta(description="Null while it is open.")]
    duration_ms: Annotated[int | None, Meta(description="By the monotonic clock; null while it is open.")]
    requested_by: Annotated[str | None, Meta(description="`id` of the model call that asked for it.")]
    position: Annotated[int, Meta(description="Its place among the calls of that reply, from 0.")]
    iteration: int | None
    arguments: Annotated[str | None, Meta(description="The beginning of its arguments, as JSON text.")]
    result: Annotated[str | None, Meta(description="The beginning of what it returned, as JSON text.")]
    error: ErrorDetail | None


class ToolCallsAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which tool calls. Conditions that are given must all hold."""

    tool_name: Annotated[Text | None, Meta(description="The tool.")] = None
    state: Annotated[ToolCallState | None, Meta(description="How it stands; `started` while it is open.")] = None
    classification: Annotated[Text | None, Meta(description="read, write, exec, network, delegation or other.")] = None
    agent_type: Annotated[Text | None, Meta(description="The agent at work.")] = None
    execution_id: Annotated[Text | None, Meta(description="The execution it was made in.")] = None
    session_id: Annotated[Text | None, Meta(description="The session of its run.")] = None
    start_date: StartDate = None
    end_date: EndDate = None
    preview: Annotated[
        int, Meta(ge=0, le=10_000, description="Characters of arguments and result to give; 0 for none.")
    ] = 200


class ToolCalls(PageGiven, frozen=True, kw_only=True):
    """A page of tool calls, newest first."""

    tool_calls: tuple[ToolCallLog, ...]


def tool_calls(store: Reading, asked: ToolCallsAsked) -> ToolCalls:
    """The tool calls that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    where = meeting(
        asked,
        {
            "tool_name": "name",
            "state": "state",
            "classification": "classification",
            "agent_type": "agent_type",
            "execution_id": "execution_id",
            "session_id": "session",
        },
    )
    period = within(between(asked.start_date, asked.end_date))
    query = Query("tool_calls", (*period, *where), _COLUMNS, order=("-started_at",))
    found = page(store, query, asked)
    nothing = [NO_PIECE] * len(found.rows)
    taken = [piece(row, "arguments") for row in found.rows] if asked.preview else nothing
    given = tool_results(store, found.rows) if asked.preview else nothing
    value = reader(store, (*taken, *given), DETAIL_BYTES)
    calls = (
        _log(row, _beginning(value, before, asked.preview), _beginning(value, after, asked.preview))
        for row, before, after in zip(found.rows, taken, given, strict=True)
    )
    return ToolCalls(tool_calls=tuple(calls), **found.given(asked, total(store, query)))


_SAME = (
    "run_id", "execution_id", "call_id", "state", "reason", "classification", "position", "iteration",
)  # fmt: skip
_COLUMNS = (
    *_SAME, "run", "step", "parent", "session", "name", "agent_type", "started_at", "ended_at", "duration_ns",
    "requested_by", "result_node", "error_type", "error_category", "error_message", *both("arguments"), *both("result"),
)  # fmt: skip


def _beginning(value: Reader, found: Piece, length: int) -> str | None:
    json = value(found).json
    return None if json is None else wording.cut(bytes(json).decode(), length)


def _log(row: Row, arguments: str | None, result: str | None) -> ToolCallLog:
    same: dict[str, Any] = {name: row[name] for name in _SAME}
    asker = row["requested_by"]
    return ToolCallLog(
        **same,
        id=ids.step_id(row["run_id"], row["step"]),
        parent_id=None if row["parent"] is None else ids.step_id(row["run_id"], row["parent"]),
        session_id=row["session"],
        tool_name=row["name"],
        agent_type=row["agent_type"] or "",
        start_time=time(row["started_at"]),
        end_time=maybe_time(row["ended_at"]),
        duration_ms=whole_ms(row["duration_ns"]),
        requested_by=None if asker is None else ids.step_id(row["run_id"], asker),
        arguments=arguments,
        result=result,
        error=failure(row),
    )
