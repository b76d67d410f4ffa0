"""Everything else worth keeping: notes, scores, losses, and events from versions to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.events.body import Recorded
from tachograph.events.content import Content

ScoreKind = Literal["user", "judge", "rule", "benchmark"]


class Note(Recorded, frozen=True, kw_only=True, tag="note"):
    """Something a program or a reader wanted to remember at this point."""

    name: str
    data: Content | None = None


class Score(Recorded, frozen=True, kw_only=True, tag="score"):
    """A judgement of the run, or of one step of it."""

    name: str
    value: float | None = None
    label: str | None = None
    kind: ScoreKind = "rule"
    comment: str | None = None
    target: int = 0
    """Step it is about; 0 is the run, -1 its session."""
    author: str | None = None


class Loss(Recorded, frozen=True, kw_only=True, tag="loss"):
    """Something could not be recorded. The count is exact; the content is gone."""

    reason: str
    """journal_full, journal_write, encode, scrub_failed, damage, …"""
    events: int = 0
    bytes: int = 0


class Unknown(Struct, frozen=True, gc=False):
    """An event type this version does not know, kept whole."""

    type: str
    fields: Mapping[str, Any]
