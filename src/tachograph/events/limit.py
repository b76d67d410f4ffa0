"""Limits: what was refused, warned about or changed, with the evidence."""

from __future__ import annotations

from typing import Literal

from tachograph.events.body import Recorded

Mode = Literal["observe", "warn", "nudge", "block", "skip", "wrap_up", "stop", "handoff", "raise"]


class LimitHit(Recorded, frozen=True, kw_only=True, tag="limit_hit"):
    """A limit was reached, and this is what was done about it."""

    metric: str
    scope: str = "run"
    mode: Mode = "raise"
    used: float = 0
    requested: float = 0
    threshold: float = 0
    reason: str = ""
    refused_kind: str | None = None
    """Kind of the step that was refused: llm, tool, …; None when nothing was refused."""
    refused_name: str | None = None
    evidence: tuple[int, ...] = ()
    """Seqs of the events that led to it (the repeated calls)."""
