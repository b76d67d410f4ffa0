"""Tool calls: one requested invocation, in exactly one final state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tachograph.events.body import Recorded
from tachograph.events.content import Content
from tachograph.events.run import Failure

ToolState = Literal["completed", "failed", "rejected", "skipped", "cancelled", "abandoned"]

WAITS = "it waits for a person"
"""Reason of a call that was cancelled since the agent that it asks waits for one. It is made again with that."""


class ToolStarted(Recorded, frozen=True, kw_only=True, tag="tool_started"):
    """A tool is about to run (or was asked for and refused: then its end follows at once)."""

    name: str
    call_id: str | None = None
    """The provider's id for it. Not unique: models repeat them."""
    requested_by: int | None = None
    """Step of the model call that asked for it."""
    index: int = 0
    """Position among the calls of that reply."""
    parent: int = 0
    iteration: int | None = None
    arguments: Content | None = None
    classification: str = "other"
    """read, write, exec, network, delegation, other."""
    agent_type: str | None = None
    metadata: Content | None = None
    refs: Mapping[str, str] | None = None


class ToolEnded(Recorded, frozen=True, kw_only=True, tag="tool_ended"):
    """The invocation is over, in one of six states."""

    state: ToolState
    result: Content | None = None
    """What it returned. At level `message` the text stands in the transcript message named by `message`."""
    message: int | None = None
    """Seq of the transcript message that carried the result to the model, when that is known."""
    error: Failure | None = None
    reason: str | None = None
    """Why it was rejected or skipped."""
    metadata: Content | None = None
