"""Runs and steps: a journey and the units of work inside it.

A step is named by the sequence number of its start event, and the run itself is step 0, so the root step's id is the
run's id. `RunStarted`/`RunEnded` bracket the run; `StepStarted`/`StepEnded` bracket any step that is neither a model
call nor a tool call (those bring their own families). `RunResumed` takes the end of a run back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.events.body import Recorded
from tachograph.events.content import Content

Status = Literal["started", "paused", "completed", "failed", "cancelled", "abandoned"]

StepKind = Literal[
    "run", "agent", "iteration", "plan", "llm", "tool", "handoff", "delegation", "guardrail", "retrieval",
    "compaction", "observe", "custom",
]  # fmt: skip

STOP_REASONS: Mapping[str, frozenset[str]] = {
    "completed": frozenset({"final_answer", "tool_stop", "human_handoff"}),
    "cancelled": frozenset({"user_cancel", "superseded", "signal"}),
    "abandoned": frozenset({"process_died"}),
    "paused": frozenset({"approval"}),
    "failed": frozenset(
        {
            "max_iterations", "max_llm_calls", "max_tool_calls", "max_handoffs", "max_depth", "deadline", "tool_loop",
            "no_progress", "token_budget", "cost_budget", "session_limit", "quota", "schema_failed",
            "required_tool_missing", "guardrail_block", "output_truncated", "content_filter", "empty_reply",
            "provider_error", "tool_error", "internal_error", "watchdog",
        }
    ),
}  # fmt: skip
"""Which stop reasons each status may carry; see the domain table in docs/events.md."""


AUDIT = "audit"
"""`source` of the runs that say what was done to the records. They are no work: nothing counts them."""


class Failure(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """An error as a fact: what class it was, what it said, where it came from."""

    type: str
    message: str = ""
    category: str = ""
    """timeout, auth, rate_limit, overloaded, server_error, network, context_overflow, invalid_request, cancelled,
    budget, bug."""
    traceback: str | None = None
    """Trimmed, secrets masked; None when the level keeps no content."""


class RunStarted(Recorded, frozen=True, kw_only=True, tag="run_started"):
    """A run began. Always event 0 of its run."""

    name: str
    execution_id: str
    """Public grouping id: `exec_` + 12 hex + `_` + unix seconds, or whatever the program groups its runs by."""
    parent_run: str | None = None
    parent_step: int | None = None
    session: str | None = None
    user: str | None = None
    tenant: str = "default"
    tags: tuple[str, ...] = ()
    metadata: Content | None = None
    version: str | None = None
    environment: str | None = None
    platform: str | None = None
    """External platform the trigger came from (chat channel, CLI, API), as the caller names it."""
    agent_type: str | None = None
    action_type: str | None = None
    refs: Mapping[str, str] | None = None
    """Application ids, as for `StepStarted.refs`: they stand in the row of the run's own step."""
    input: Content | None = None
    trace_id: str | None = None
    """W3C trace id, when the run continues a trace of another system."""
    trace_parent: str | None = None
    """W3C span id of the caller in that trace."""
    owner: str = ""
    """The journal (process) that owns the run; empty for imported runs."""
    epoch: int = 0
    """Raised each time ownership is taken over."""
    source: str = ""
    """Where an imported run was read from: format and file name; empty for live runs."""


class RunEnded(Recorded, frozen=True, kw_only=True, tag="run_ended"):
    """A run reached its outcome, or waits (`paused`).

    Nothing but scores, notes, late usage and re-pricing follows it, unless `RunResumed` does: then the run goes on.
    """

    status: Status
    stop_reason: str = ""
    output: Content | None = None
    error: Failure | None = None
    discarded: bool = False
    metadata: Content | None = None
    """More facts, known only at the end."""


class RunResumed(Recorded, frozen=True, kw_only=True, tag="run_resumed"):
    """A run that had ended, or was paused, goes on: it is open again as it was after its start, with another owner.

    What its end said (status, reason, error, output) holds no more. Steps that had ended stay as they are.
    """

    owner: str
    """The journal (process) that owns the run from here on. What a former one still writes is not kept."""
    epoch: int
    """One more than before."""
    by: str | None = None
    """Who wanted it, as the caller names them."""
    limits: Content | None = None
    """The limits that were stated for what follows, in words; None: the same as before, or none."""


class StepStarted(Recorded, frozen=True, kw_only=True, tag="step_started"):
    """A unit of work began."""

    kind: StepKind = "custom"
    name: str
    parent: int = 0
    iteration: int | None = None
    agent_type: str | None = None
    """Column `agent_type` of execution_logs; the step inherits its run's when None."""
    action_type: str | None = None
    input: Content | None = None
    metadata: Content | None = None
    refs: Mapping[str, str] | None = None
    """Application ids kept in columns of their own: report_id, completion_id, widget_id, step_id."""


class StepEnded(Recorded, frozen=True, kw_only=True, tag="step_ended"):
    """A unit of work ended; exactly one per start."""

    status: Status
    output: Content | None = None
    error: Failure | None = None
    metadata: Content | None = None


def is_billable(status: str, stop_reason: str, *, discarded: bool = False, failed: bool = False) -> bool:
    """Whether a run that ended so is a credit: completed, not given to a person, not discarded, without an error."""
    return status == "completed" and stop_reason != "human_handoff" and not discarded and not failed


def stop_reason_allowed(status: str, reason: str) -> bool:
    """Whether a status may carry this reason. An empty reason is allowed for every status."""
    return not reason or reason in STOP_REASONS.get(status, frozenset())


def facts(body: Struct) -> dict[str, Any]:
    """The body's fields as a plain dict (shallow)."""
    return {name: getattr(body, name) for name in body.__struct_fields__}
