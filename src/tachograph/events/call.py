"""Model calls: one attempt, one HTTP request, whatever came of it.

`input` and `output` name transcript nodes: the sequence numbers of the `MessageAppended` events at their tips. The
request's messages are the path from the root to `input`; the reply is the path from `input` to `output`.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from tachograph.events.body import Recorded
from tachograph.events.budget import Reservation
from tachograph.events.content import Content
from tachograph.events.run import Failure, Status
from tachograph.events.usage import Cost, Usage


class CallStarted(Recorded, frozen=True, kw_only=True, tag="call_started"):
    """A request is about to leave. Durable before it does."""

    provider: str
    model: str
    """The model as requested."""
    operation: str = "chat"
    """chat, completion, embedding, image, speech, transcription, moderation, rerank."""
    parent: int = 0
    iteration: int | None = None
    attempt: int = 1
    retry_of: int | None = None
    """Step of the attempt this one repeats."""
    streaming: bool = False
    input: int | None = None
    """Transcript node (event seq) of the last input message; None when nothing was sent."""
    tools: Content | None = None
    """Tool definitions sent with the request."""
    params: Content | None = None
    """Everything else the request carried: temperature, max_tokens, tool_choice, …"""
    tier: str | None = None
    """Service tier asked for."""
    agent_type: str | None = None
    purpose: str | None = None
    metadata: Content | None = None
    refs: Mapping[str, str] | None = None
    reserved: Reservation | None = None
    """What was set aside for it, where a budget was asked."""


class Timeline(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """When chunks arrived: delta-coded and bounded, so a flood of chunks costs a fixed amount."""

    every: int = 1
    """Chunks per entry: doubled each time the list is full."""
    deltas_us: tuple[int, ...] = ()
    """Microseconds from the entry before (the first: from the start of the call)."""


class CallEnded(Recorded, frozen=True, kw_only=True, tag="call_ended"):
    """The attempt is over: completed, failed, cancelled or abandoned."""

    status: Status
    output: int | None = None
    """Transcript node of the last output message; on an abort the partial reply."""
    usage: Usage = Usage()
    cost: Cost | None = None
    """Computed by us when the event passed into the store, unless the program that made the call prices it itself."""
    reported_cost: int | None = None
    """What the other side said it cost, nano-USD."""
    finish_reason: str | None = None
    served_model: str | None = None
    served_tier: str | None = None
    response_id: str | None = None
    request_id: str | None = None
    http_status: int | None = None
    first_token_ns: int | None = None
    """Nanoseconds from start to the first content."""
    chunks: int | None = None
    timeline: Timeline | None = None
    error: Failure | None = None
    metadata: Content | None = None


class CallMetered(Recorded, frozen=True, kw_only=True, tag="call_metered"):
    """The usage of an ended call became known, or better known, after its end. The last one counts."""

    call: int
    """Step of the call."""
    usage: Usage
    cost: Cost | None = None
    """What it costs by that; computed by us when the event passed into the store, unless the program said it."""


class CallRepriced(Recorded, frozen=True, kw_only=True, tag="call_repriced"):
    """The cost of an ended call was computed again (new prices, corrected override). The last one counts."""

    call: int
    """Step of the call."""
    cost: Cost


def turned_away(http_status: int) -> bool:
    """Whether a provider that answers so has not taken a request, which then cost nothing."""
    return (400 <= http_status < 500 and http_status not in _TAKEN) or http_status in _TURNED_AWAY


_TAKEN = (408, 499)
"""Statuses of requests that may have been worked on."""
_TURNED_AWAY = (503, 529)
