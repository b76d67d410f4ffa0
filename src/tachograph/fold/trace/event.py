"""Trace events: what an agent loop did, in eight kinds. The JSON form of each has exactly its fields and `type`.

Two kinds stand beside the eight: `LlmFailed`, for a model call that did not complete, and `OtherEvent`, for what a
later version or another program calls an event. No summary counts either.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

NOTE = "agent_trace."
"""A note whose name is this and a kind is a trace event of the run it stands in; its data are the event's fields."""


class TraceEvent(Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """What the kinds have in common: frozen, every field written out, tagged by `type`. Durations are milliseconds."""


class LlmCall(TraceEvent, frozen=True, kw_only=True, tag="llm_call"):
    """A model call completed."""

    call_id: str
    """Id of the attempt: a retry has one of its own."""
    model: str
    """As requested."""
    input_tokens: int
    """All of them, cached or not; 0 when nobody said."""
    output_tokens: int
    cache_tokens: int
    """The part of the input that was read from a cache."""
    duration_ms: int
    iteration: int
    """Of the loop, counted from 1; 0 outside a loop, or when the program did not say."""


class ToolExecution(TraceEvent, frozen=True, kw_only=True, tag="tool_execution"):
    """A tool ran."""

    tool_name: str
    tool_use_id: str
    """The provider's id for it; empty when there is none."""
    duration_ms: int
    status: str
    """`ok`, or `error` for one that failed, was cancelled or was abandoned."""
    classification: str
    """read, write, exec, network, delegation, other."""
    iteration: int


class ToolRejected(TraceEvent, frozen=True, kw_only=True, tag="tool_rejected"):
    """A tool call was refused or skipped: the tool did not run."""

    tool_name: str
    reason: str
    iteration: int


class LoopIntervention(TraceEvent, frozen=True, kw_only=True, tag="loop_intervention"):
    """A call that repeats itself was warned about, blocked or skipped."""

    tool_name: str
    kind: str
    """What was done: the mode of the limit (warn, nudge, block, skip, …)."""
    count: int
    """How often the call was made, this time included."""
    iteration: int


class ContextCompaction(TraceEvent, frozen=True, kw_only=True, tag="context_compaction"):
    """Messages gave way to a summary of them."""

    archived_messages: int
    """Messages before, less messages after, and one more: the summary is among those after."""
    new_summary_len: int
    """Characters."""
    iteration: int


class PhaseChange(TraceEvent, frozen=True, kw_only=True, tag="phase_change"):
    """The loop went from one phase to another."""

    from_phase: str
    to_phase: str
    """Empty when the reply did not name one; see `next_phase`."""
    iteration: int


class LoopComplete(TraceEvent, frozen=True, kw_only=True, tag="loop_complete"):
    """A loop is over, however it ended."""

    status: str
    """done, stuck, budget_exhausted, idle, watchdog, failed, cancelled, abandoned."""
    iterations: int
    total_duration_ms: int
    tools_used: tuple[str, ...]
    """One name an execution, in the order they ended."""
    successful_tools: tuple[str, ...]
    """Tools that succeeded at least once, in the order they first did."""


class SchemaRetry(TraceEvent, frozen=True, kw_only=True, tag="schema_retry"):
    """The model was asked again, because its reply did not fit the schema."""

    attempt: int
    """Counted from 1: the first call is no retry."""
    errors: tuple[str, ...]
    nudge_used: bool


class LlmFailed(TraceEvent, frozen=True, kw_only=True, tag="llm_failed"):
    """A model call failed, was cancelled or was abandoned."""

    call_id: str
    model: str
    status: str
    """failed, cancelled or abandoned."""
    error: str
    """Class of the error; empty when there is none."""
    category: str
    """timeout, auth, rate_limit, …; empty when nobody could tell."""
    input_tokens: int
    """What it used all the same, as far as somebody said."""
    output_tokens: int
    cache_tokens: int
    duration_ms: int
    iteration: int


class LLMTraceEntry(Struct, frozen=True, gc=False):
    """One completed model call in the LLM trace, which has no other kinds."""

    model: str
    input_tokens: int
    """As in `LlmCall`."""
    output_tokens: int
    duration_ms: int


class OtherEvent(Struct, frozen=True):
    """An event of a kind this version does not know, or whose fields do not fit its kind; kept whole."""

    type: str
    fields: Mapping[str, Any] = {}


AgentTraceEvent = (
    LlmCall
    | ToolExecution
    | ToolRejected
    | LoopIntervention
    | ContextCompaction
    | PhaseChange
    | LoopComplete
    | SchemaRetry
    | LlmFailed
    | OtherEvent
)

KINDS: Mapping[str, type[TraceEvent]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        LlmCall, ToolExecution, ToolRejected, LoopIntervention, ContextCompaction, PhaseChange, LoopComplete,
        SchemaRetry, LlmFailed,
    )
}  # fmt: skip
"""Every kind by its tag."""

_ZERO: Mapping[Any, Any] = {"str": "", "int": 0, "bool": False, "tuple[str, ...]": ()}


def kind_of(event: AgentTraceEvent) -> str:
    """The tag of an event."""
    return event.type if isinstance(event, OtherEvent) else str(type(event).__struct_config__.tag)


def fields_of(event: AgentTraceEvent) -> dict[str, Any]:
    """An event as plain values, `type` first: its JSON form before it is text."""
    if isinstance(event, OtherEvent):
        return {"type": event.type, **{key: item for key, item in event.fields.items() if key != "type"}}
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return fields


def event_of(kind: str, fields: object) -> AgentTraceEvent:
    """The event that a kind and its plain fields stand for; never raises.

    Without fields (None: their content was not kept) it is known only that it happened, and the rest is zero.
    """
    known = KINDS.get(kind)
    if fields is None:
        return OtherEvent(kind) if known is None else _blank(known)
    if not isinstance(fields, Mapping):
        return OtherEvent(kind, {"value": fields})
    if known is not None:
        try:
            return msgspec.convert({**fields, "type": kind}, known)  # type: ignore[return-value]  # one of the union
        except msgspec.ValidationError:
            pass
    return OtherEvent(kind, {key: item for key, item in fields.items() if key != "type"})


def next_phase(reply: str) -> str:
    """The phase that a reply asks for: what the last of its lines `next_phase: …` says; empty when none does."""
    for line in reversed(reply.splitlines()):
        head, colon, phase = line.strip().partition(":")
        if head == "next_phase" and colon:
            return phase.strip()
    return ""


def _blank(kind: type[TraceEvent]) -> Any:
    return kind(**{name: _ZERO[hint] for name, hint in kind.__annotations__.items()})
