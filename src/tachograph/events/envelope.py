"""The spine: what happened, to which run, when, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tachograph.events.call import CallEnded, CallMetered, CallRepriced, CallStarted
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Loss, Note, Score, Unknown
from tachograph.events.run import RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted

KnownBody = (
    RunStarted
    | RunEnded
    | RunResumed
    | StepStarted
    | StepEnded
    | CallStarted
    | CallEnded
    | CallMetered
    | CallRepriced
    | ToolStarted
    | ToolEnded
    | MessageAppended
    | LimitHit
    | Note
    | Score
    | Loss
)
Body = KnownBody | Unknown

STARTS = (RunStarted, StepStarted, CallStarted, ToolStarted)
ENDS = (RunEnded, StepEnded, CallEnded, ToolEnded)


class Event(Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing that happened. `(run, seq)` is unique and gapless, counted from 0."""

    run: str
    """UUIDv7 of the run, canonical text; its low 32 bits are zero (see ids.step_id)."""
    seq: int
    at: int
    """UTC, nanoseconds since 1970."""
    mono: int
    """Monotonic clock of the recording process, nanoseconds; only differences mean anything. A run that is resumed goes
    on from the reading of its last event, plus the wall time since."""
    step: int
    """Seq of the start event of the step it belongs to; 0 is the run itself."""
    body: Body
    extra: Mapping[str, Any] | None = None
    """Fields this version does not know: `{"": {envelope fields}, "body": {body fields}}`."""
