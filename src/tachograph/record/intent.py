"""What a program is about to do, said before it is done: a model call, a tool call, or any work of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from msgspec import Struct

from tachograph.events.run import StepKind


class LLMCall(Struct, frozen=True, gc=False):
    """One request to a model: one attempt. A retry is an `LLMCall` of its own with `attempt` raised."""

    model: str
    """The model as requested."""
    messages: Sequence[Any] = ()
    """Input as sent, oldest first: chat messages in the provider's shape, or texts for completions and embeddings."""
    provider: str = ""
    """openai, anthropic, google, … as prices know it; empty when the program cannot tell."""
    operation: str = "chat"
    """chat, completion, embedding, image, speech, transcription, moderation, rerank."""
    tools: Any = None
    """Tool definitions as sent."""
    params: Any = None
    """Everything else that was sent: temperature, max_tokens, tool_choice, …"""
    max_output: int | None = None
    """Most tokens of output that the request allows; None: what `params` says of it, if anything."""
    reminders: Sequence[Any] = ()
    """Messages sent behind `messages` in this request alone; no part of the conversation."""
    streaming: bool = False
    attempt: int = 1
    retry_of: int | None = None
    """Number of the step this one repeats."""
    iteration: int | None = None
    tier: str | None = None
    """Service tier asked for."""
    agent_type: str | None = None
    purpose: str | None = None
    metadata: Any = None
    refs: Mapping[str, str] | None = None
    """Application ids with columns of their own: report_id, completion_id, widget_id, step_id."""


class ToolCall(Struct, frozen=True, gc=False):
    """One requested tool invocation."""

    name: str
    arguments: Any = None
    call_id: str | None = None
    """The provider's id for it."""
    requested_by: int | None = None
    """Number of the model call that asked for it."""
    index: int = 0
    """Position among the calls of that reply."""
    classification: str = "other"
    """read, write, exec, network, delegation, other."""
    iteration: int | None = None
    agent_type: str | None = None
    metadata: Any = None
    refs: Mapping[str, str] | None = None


class Work(Struct, frozen=True, gc=False):
    """A unit of work that is neither: planning, retrieval, a guardrail, whatever the program calls a step."""

    name: str
    kind: StepKind = "custom"
    input: Any = None
    iteration: int | None = None
    agent_type: str | None = None
    action_type: str | None = None
    metadata: Any = None
    refs: Mapping[str, str] | None = None


class Trigger(Struct, frozen=True, gc=False):
    """What starts a run."""

    name: str
    session: str | None = None
    user: str | None = None
    tenant: str = "default"
    tags: Sequence[str] = ()
    metadata: Any = None
    version: str | None = None
    environment: str | None = None
    platform: str | None = None
    agent_type: str | None = None
    input: Any = None
    traceparent: str | None = None
    action_type: str | None = None
    refs: Mapping[str, str] | None = None
    """Application ids with columns of their own: report_id, completion_id, widget_id, step_id."""
    execution_id: str | None = None
    """Public grouping id, for programs that group runs by an id of their own; else one is made."""


Intent = LLMCall | ToolCall | Work


def whole(value: Any) -> int | None:
    """A number as the events want it; None for what is none."""
    if value is None or type(value) is int:
        return value
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def one_of(value: Any, allowed: Any, otherwise: Any) -> Any:
    """A word of a fixed list (a Literal type), or the one to use for what is not on it."""
    return value if value in get_args(allowed) else otherwise
