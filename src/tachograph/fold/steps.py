"""What start and end events say about their step, in one form for all four families.

A fold that follows steps need not know that a model call is named by its model and a tool call ends in a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import Body, Event
from tachograph.events.run import Failure, RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted

Start = RunStarted | StepStarted | CallStarted | ToolStarted
End = RunEnded | StepEnded | CallEnded | ToolEnded
Family = Literal["run", "step", "call", "tool"]
"""Which pair of events brackets a step: only the end of its own family closes it."""


class Open(Struct, frozen=True, omit_defaults=True):
    """A step that has started: what it is, below which step, and when (UTC and monotonic nanoseconds)."""

    step: int
    kind: str
    name: str
    parent: int | None
    at: int
    mono: int
    family: Family = "step"


def opened(event: Event) -> Open | None:
    """The step that a start event opens; None for every other event. The run is step 0 and has no parent."""
    body = event.body
    if isinstance(body, RunStarted):
        return Open(0, "run", body.name, None, event.at, event.mono, "run")
    if isinstance(body, StepStarted | CallStarted | ToolStarted):
        return Open(event.seq, kind_of(body), name_of(body), body.parent, event.at, event.mono, family_of(body))
    return None


def closes(event: Event) -> int | None:
    """The step that an end event closes; None for every other event, and for an end that names no earlier step."""
    if isinstance(event.body, RunEnded):
        return 0
    if isinstance(event.body, StepEnded | CallEnded | ToolEnded) and 0 < event.step < event.seq:
        return event.step
    return None


def family_of(body: Body) -> Family:
    """The family of a start or end event; `step` for everything else."""
    match body:
        case RunStarted() | RunEnded():
            return "run"
        case CallStarted() | CallEnded():
            return "call"
        case ToolStarted() | ToolEnded():
            return "tool"
    return "step"


def kind_of(body: Start | End) -> str:
    """Kind of the step: run, llm, tool, or what its start says (`custom` when only its end is known)."""
    if isinstance(body, StepStarted):
        return body.kind
    return _KINDS[family_of(body)]


_KINDS: Mapping[Family, str] = {"run": "run", "step": "custom", "call": "llm", "tool": "tool"}


def name_of(body: Start) -> str:
    """What to call the step: the model of a call, else the name given."""
    return body.model if isinstance(body, CallStarted) else body.name


def status_of(body: End) -> str:
    """How it ended: a status, or for a tool call one of its six states."""
    return body.state if isinstance(body, ToolEnded) else body.status


def ending(kind: str, status: Any, why: Failure | None) -> CallEnded | ToolEnded | StepEnded:
    """The end event of a step of this kind. A call cannot wait: where its run is paused, it is cancelled."""
    if status == "paused" and kind in ("llm", "tool"):
        status = "cancelled"
    if kind == "llm":
        return CallEnded(status=status, error=why)
    if kind == "tool":
        return ToolEnded(state=status, error=why)
    return StepEnded(status=status, error=why)
