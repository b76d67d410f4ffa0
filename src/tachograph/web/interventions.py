"""Limits that were reached, in words: what was measured, and what was done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from msgspec import Struct

from tachograph.events import ids
from tachograph.events.limit import Mode
from tachograph.limits.limit import Scope
from tachograph.queries import wording
from tachograph.queries.answers.limits import CHANGING, ReachedLimit
from tachograph.web import filters, links
from tachograph.web.lists import ROWS, Field, words

ACTIONS: Mapping[Mode, str] = {
    "observe": "only noted",
    "warn": "warned, nothing changed",
    "nudge": "reminded the model",
    "block": "refused, and told the model",
    "skip": "left the call out",
    "wrap_up": "took the tools away for a last turn",
    "stop": "stopped the run",
    "handoff": "gave the run to a person",
    "raise": "raised an error",
}
"""What each mode does, in plain words."""

_MOST_EVIDENCE = 8


class Evidence(Struct, frozen=True):
    """An event that led to it."""

    seq: int
    href: str


class Row(Struct, frozen=True):
    """A limit that was reached, in the list."""

    limit: ReachedLimit
    action: str
    is_change: bool
    """Whether it changed what happened."""
    step: int
    """Number of the step it was reached in."""
    used: str
    threshold: str
    requested: str
    """'' when no more was wanted."""
    event: str
    """Where its own event is."""
    evidence: tuple[Evidence, ...]
    more: int
    """So many events more led to it."""


def row(limit: ReachedLimit) -> Row:
    """A limit as the list shows it."""
    return Row(
        limit=limit,
        action=ACTIONS[limit.mode],
        is_change=limit.mode in CHANGING,
        step=ids.split_step_id(limit.step_id)[1],
        used=amount(limit.metric, limit.used),
        threshold=amount(limit.metric, limit.threshold),
        requested=amount(limit.metric, limit.requested) if limit.requested else "",
        event=_event(limit.run_id, limit.seq),
        evidence=tuple(Evidence(seq, _event(limit.run_id, seq)) for seq in limit.evidence[:_MOST_EVIDENCE]),
        more=max(0, len(limit.evidence) - _MOST_EVIDENCE),
    )


def amount(metric: str, value: float | None) -> str:
    """An amount in the unit of its metric; unknown for what has no end."""
    if value is None:
        return wording.UNKNOWN
    if metric in _USD:
        return filters.usd(value)
    if metric in _SECONDS:
        return filters.ms(value * 1_000)
    if value == int(value):
        return wording.short(int(value)) if metric in _TOKENS else wording.count(int(value))
    return f"{value:.4g}"


def _event(run_id: str, seq: int) -> str:
    return links.run(run_id, "events", after=seq - 1)


_USD = frozenset({"cost_budget", "cost", "usd"})
_SECONDS = frozenset({"deadline", "seconds"})
_TOKENS = frozenset({"token_budget", "tokens"})
_METRICS = (
    "tool_loop", "no_progress", "max_iterations", "max_llm_calls", "max_tool_calls", "max_depth", "max_handoffs",
    "deadline", "token_budget", "cost_budget", "session_limit", "quota",
)  # fmt: skip

FIELDS: tuple[Field, ...] = (
    Field(
        name="interventions", label="Show", kind="choice", default="true",
        choices=(("true", "what changed something"), ("false", "every limit reached")),
    ),
    Field(name="metric", label="Metric", choices=words(*_METRICS)),
    Field(name="mode", label="Action", kind="choice", choices=tuple(ACTIONS.items())),
    Field(name="agent_type", label="Agent"),
    Field(name="start_date", label="From (UTC)", hint="2026-01-31"),
    Field(name="end_date", label="To (UTC)", hint="2026-01-31T12:00"),
    Field(name="scope", label="Scope", kind="choice", choices=words(*get_args(Scope)), is_rare=True),
    Field(name="execution_id", label="Execution", is_rare=True),
    Field(name="session_id", label="Session", is_rare=True),
    ROWS,
)  # fmt: skip
"""The conditions of the list of interventions."""
