"""A row of `llm_call_logs`: one attempt of a model call, with its tokens and its cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries.logs.contents import Cut, Json, piece, reader
from tachograph.queries.logs.failures import ErrorDetail, failure
from tachograph.queries.logs.keys import Row, key_of
from tachograph.queries.logs.said import SILENCE, UNSAID, Words
from tachograph.queries.units import Time, maybe_ms, maybe_time, maybe_usd, time, whole_ms
from tachograph.store.ports import Reading

Tokens = Annotated[int | None, Meta(description="Null when nobody said.")]
Usd = Annotated[float | None, Meta(description="USD; null while it has no price.")]


class LlmCallLog(Struct, frozen=True, kw_only=True):
    """One attempt of a model call: one HTTP request, whatever came of it."""

    id: Annotated[str, Meta(description="UUID; sorts by the time at which its run began.")]
    execution_log_id: Annotated[str | None, Meta(description="`id` of the execution log it was made in.")]
    provider: str
    model_id: Annotated[str, Meta(description="The model as requested.")]
    call_type: Annotated[str, Meta(description="inference or inference_stream.")]
    status: Annotated[str, Meta(description="started, completed, failed, cancelled or abandoned.")]
    start_time: Time
    end_time: Annotated[Time | None, Meta(description="Null while it is open.")]
    duration_ms: Annotated[int | None, Meta(description="By the monotonic clock; null while it is open.")]
    prompt: Annotated[
        str | None,
        Meta(
            description="What was sent: the text of a single plain message, else the JSON array of the messages as they"
            " were recorded. Null unless the question includes content, and where nothing was kept."
        ),
    ]
    response: Annotated[str | None, Meta(description="What came back, likewise; on an abort the part that came.")]
    error_message: str | None
    input_tokens: Annotated[Tokens, Meta(description="Of all classes. Null when nobody said.")]
    output_tokens: Tokens
    total_tokens: Tokens
    input_cost: Usd
    output_cost: Usd
    total_cost: Usd
    is_streaming: bool
    chunks_count: int | None
    metadata: Json
    report_id: str | None
    completion_id: str | None
    created_at: Time
    updated_at: Time
    run_id: str
    execution_id: str
    operation: Annotated[str, Meta(description="chat, completion, embedding, …")]
    agent_type: Annotated[str, Meta(description="The agent at work; empty when nobody said.")]
    purpose: str | None
    iteration: int | None
    attempt: Annotated[int, Meta(description="1 for the first request, more for its repetitions.")]
    retry_of: Annotated[str | None, Meta(description="`id` of the attempt that this one repeats.")]
    session_id: str | None
    uncached_tokens: Tokens
    cache_read_tokens: Tokens
    cache_write_tokens: Tokens
    reasoning_tokens: Annotated[Tokens, Meta(description="A part of `output_tokens`.")]
    usage_basis: Annotated[
        str | None, Meta(description="Who counted: provider, instrumentation, inferred, estimated, or missing.")
    ]
    cost_state: Annotated[
        str | None, Meta(description="priced, estimated, reported or unpriced; null while the call is open.")
    ]
    unpriced_reason: str | None
    reported_cost: Annotated[Usd, Meta(description="USD as the other side said.")]
    price_id: str | None
    price_date: str | None
    finish_reason: str | None
    served_model: str | None
    tier: str | None
    served_tier: str | None
    http_status: int | None
    first_token_ms: Annotated[float | None, Meta(description="From the start to the first content.")]
    response_id: str | None
    request_id: str | None
    error: ErrorDetail | None
    cut: Cut


_SAME = (
    "provider", "status", "error_message", "input_tokens", "output_tokens", "total_tokens", "report_id",
    "completion_id", "run_id", "execution_id", "operation", "purpose", "iteration", "attempt", "uncached_tokens",
    "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "usage_basis", "cost_state", "unpriced_reason",
    "price_id", "price_date", "finish_reason", "served_model", "tier", "served_tier", "http_status", "response_id",
    "request_id",
)  # fmt: skip
COLUMNS = (
    *_SAME, "run", "step", "parent", "model", "streaming", "started_at", "duration_ns", "ended_at", "cost_nano",
    "input_cost_nano", "output_cost_nano", "reported_cost_nano", "chunks", "agent_type", "retry_of", "first_token_ns",
    "session", "error_type", "error_category", "metadata", "metadata_payload",
)  # fmt: skip
"""Columns of the table of calls that a row is made of."""


def llm_call_logs(store: Reading, rows: Sequence[Row], each: int, told: Words = SILENCE) -> list[LlmCallLog]:
    """Rows of an answer from rows of the table of calls; metadata of up to `each` bytes is whole."""
    pieces = [piece(row, "metadata") for row in rows]
    value = reader(store, pieces, each)
    found = []
    for row, metadata in zip(rows, map(value, pieces), strict=True):
        words = told.spoken.get(key_of(row), UNSAID)
        cut = words.cut if metadata.whole else (*words.cut, "metadata")
        facts = {"prompt": words.prompt, "response": words.response, "metadata": metadata.json, "cut": cut}
        found.append(_log(row, error=failure(row, told.tracebacks.get(key_of(row))), **facts))
    return found


def _log(row: Row, **facts: Any) -> LlmCallLog:
    run, parent, again = row["run_id"], row["parent"], row["retry_of"]
    started, ended = time(row["started_at"]), maybe_time(row["ended_at"])
    return LlmCallLog(
        **{name: row[name] for name in _SAME},
        **facts,
        id=ids.step_id(run, row["step"]),
        execution_log_id=None if parent is None else ids.step_id(run, parent),
        model_id=row["model"],
        call_type="inference_stream" if row["streaming"] else "inference",
        start_time=started,
        end_time=ended,
        duration_ms=whole_ms(row["duration_ns"]),
        input_cost=maybe_usd(row["input_cost_nano"]),
        output_cost=maybe_usd(row["output_cost_nano"]),
        total_cost=maybe_usd(row["cost_nano"]),
        is_streaming=row["streaming"],
        chunks_count=row["chunks"],
        created_at=started,
        updated_at=ended or started,
        agent_type=row["agent_type"] or "",
        retry_of=None if again is None else ids.step_id(run, again),
        session_id=row["session"],
        reported_cost=maybe_usd(row["reported_cost_nano"]),
        first_token_ms=maybe_ms(row["first_token_ns"]),
    )
