"""A row of `execution_logs`: a step of any kind but a model call, with what went in and what came out.

What went into a run stands in the row of the run, what went into a tool call in that of the tool call: for a page of
rows each of these tables is asked once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tachograph.events import ids
from tachograph.queries.logs.call_rows import LlmCallLog
from tachograph.queries.logs.contents import NO_PIECE, Cut, Json, Piece, Value, both, piece, reader, tool_results
from tachograph.queries.logs.failures import ErrorDetail, failure
from tachograph.queries.logs.keys import Key, Row, key_of, step_of
from tachograph.queries.logs.said import SILENCE
from tachograph.queries.units import Time, maybe_time, time, whole_ms
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

Status = Annotated[str, Meta(description="started, paused, completed, failed, cancelled or abandoned.")]


class ExecutionLog(Struct, frozen=True, kw_only=True):
    """One step of an execution: a run, a tool call, or any work of the program's own."""

    id: Annotated[str, Meta(description="UUID; sorts by the time at which its run began.")]
    execution_id: Annotated[str, Meta(description="Groups the steps of one execution.")]
    agent_type: Annotated[str, Meta(description="The agent at work; empty when nobody said.")]
    execution_step: Annotated[str, Meta(description="`tool` for a tool call, else the name of the step.")]
    action_type: str | None
    status: Status
    start_time: Time
    end_time: Annotated[Time | None, Meta(description="Null while it is open.")]
    duration_ms: Annotated[int | None, Meta(description="By the monotonic clock; null while it is open.")]
    input_data: Json
    output_data: Json
    error_message: str | None
    metadata: Json
    report_id: str | None
    completion_id: str | None
    widget_id: str | None
    step_id: Annotated[str | None, Meta(description="The application's own id of the step.")]
    external_platform: str | None
    external_user_id: str | None
    created_at: Time
    updated_at: Time
    run_id: str
    parent_id: Annotated[str | None, Meta(description="The step it is a part of; for a run the one that started it.")]
    kind: Annotated[str, Meta(description="run, agent, iteration, plan, tool, handoff, delegation, guardrail, …")]
    name: str
    iteration: int | None
    session_id: str | None
    tags: tuple[str, ...]
    refs: Annotated[dict[str, str], Meta(description="Further ids of the application, by name.")]
    error: ErrorDetail | None
    cut: Cut
    llm_call_count: Annotated[int | UnsetType, Meta(description="Model calls directly below it, when asked for.")] = (
        UNSET
    )
    llm_calls: Annotated[
        tuple[LlmCallLog, ...] | UnsetType,
        Meta(
            description="These calls, oldest first, when asked for; fewer than `llm_call_count` in a very large answer."
        ),
    ] = UNSET


COLUMNS = (
    "run", "step", "parent", "kind", "name", "agent_type", "action_type", "iteration", "status", "started_at",
    "duration_ns", "ended_at", "report_id", "completion_id", "widget_id", "step_ref", "refs", "error_type",
    "error_category", "error_message", "input", "input_payload", "output", "output_payload", "metadata",
    "metadata_payload", "run_id", "execution_id", "session", "user", "platform", "tags",
)  # fmt: skip
"""Columns of the table of steps that a row is made of."""


class _Pieces(NamedTuple):
    taken: Piece
    given: Piece
    metadata: Piece


def execution_logs(
    store: Reading, rows: Sequence[Row], each: int, tracebacks: Mapping[Key, str] = SILENCE.tracebacks
) -> list[ExecutionLog]:
    """Rows of an answer from rows of the table of steps; contents of up to `each` bytes are whole."""
    runs = _runs(store, {row["run"] for row in rows if row["kind"] == "run"})
    tools = _tools(store, [row for row in rows if row["kind"] == "tool"])
    pieces = [_pieces(row, runs, tools) for row in rows]
    value = reader(store, (part for parts in pieces for part in parts), each)
    return [
        _log(row, _parent(row, runs), tuple(map(value, parts)), tracebacks.get(key_of(row)))
        for row, parts in zip(rows, pieces, strict=True)
    ]


def _log(row: Row, parent: str | None, values: Sequence[Value], traceback: str | None) -> ExecutionLog:
    taken, given, metadata = values
    started, ended = time(row["started_at"]), maybe_time(row["ended_at"])
    named = (("input_data", taken), ("output_data", given), ("metadata", metadata))
    return ExecutionLog(
        **{name: row[name] for name in _SAME},
        id=ids.step_id(row["run_id"], row["step"]),
        agent_type=row["agent_type"] or "",
        execution_step="tool" if row["kind"] == "tool" else row["name"],
        start_time=started,
        end_time=ended,
        duration_ms=whole_ms(row["duration_ns"]),
        input_data=taken.json,
        output_data=given.json,
        metadata=metadata.json,
        step_id=row["step_ref"],
        external_platform=row["platform"],
        external_user_id=row["user"],
        created_at=started,
        updated_at=ended or started,
        parent_id=parent,
        session_id=row["session"],
        tags=msgspec.json.decode(row["tags"] or "[]", type=tuple[str, ...]),
        refs=msgspec.json.decode(row["refs"] or "{}", type=dict[str, str]),
        error=failure(row, traceback),
        cut=tuple(name for name, value in named if not value.whole),
    )


_SAME = (
    "execution_id", "action_type", "status", "error_message", "report_id", "completion_id", "widget_id", "run_id",
    "kind", "name", "iteration",
)  # fmt: skip


def _parent(row: Row, runs: Mapping[int, Row]) -> str | None:
    if row["parent"] is not None:
        return ids.step_id(row["run_id"], row["parent"])
    run = runs.get(row["run"])
    above = None if run is None else run["parent_run"]
    return None if run is None or above is None else step_of(above, run["parent_step"])


def _pieces(row: Row, runs: Mapping[int, Row], tools: Mapping[Key, tuple[Piece, Piece]]) -> _Pieces:
    if row["kind"] == "run" and (run := runs.get(row["run"])) is not None:
        return _Pieces(piece(run, "input"), piece(run, "output"), piece(run, "metadata"))
    if row["kind"] == "tool":
        return _Pieces(*tools.get(key_of(row), (NO_PIECE, NO_PIECE)), piece(row, "metadata"))
    return _Pieces(piece(row, "input"), piece(row, "output"), piece(row, "metadata"))


def _runs(store: Reading, pks: set[int]) -> Mapping[int, Row]:
    """What stands in the rows of runs only, by pk."""
    if not pks:
        return {}
    columns = ("pk", "parent_run", "parent_step", *both("input"), *both("output"), *both("metadata"))
    found = store.find(Query("runs", (Where("pk", "in", tuple(pks)),), columns, limit=None)).rows
    return {row["pk"]: row for row in found}


def _tools(store: Reading, rows: Sequence[Row]) -> Mapping[Key, tuple[Piece, Piece]]:
    """Arguments and results of the tool calls among the rows."""
    if not rows:
        return {}
    where = tuple(Where(name, "in", tuple({row[name] for row in rows})) for name in ("run", "step"))
    columns = ("run", "step", "result_node", *both("arguments"), *both("result"))
    found = store.find(Query("tool_calls", where, columns, limit=None)).rows
    results = tool_results(store, found)
    return {key_of(row): (piece(row, "arguments"), result) for row, result in zip(found, results, strict=True)}
