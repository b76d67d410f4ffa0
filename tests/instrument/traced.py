"""What programs do in the tests of the trace, and a trace that is empty before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tachograph import LLMCall, ToolCall, Usage, step
from tachograph.fold.trace.event import LlmCall, SchemaRetry, kind_of
from tachograph.instrument import trace

USED = Usage(10, 2, 3, 5, basis="provider")
RETRY = SchemaRetry(attempt=1, errors=("no a",), nudge_used=True)


@contextmanager
def fresh() -> Iterator[None]:
    """No test finds the trace of another; and whatever was recorded has been traced."""
    _reset()
    failed = trace._listener.failed
    yield
    assert trace._listener.failed == failed
    _reset()


def _reset() -> None:
    trace.reset_trace_state()
    trace.reset_agent_trace_state()


def ask(model: str = "gpt-4o", **facts: Any) -> None:
    """A model call that completes."""
    with step(LLMCall(model, **facts)) as call:
        call.reply, call.usage = "hi", USED


def use(name: str = "search", **facts: Any) -> None:
    """A tool call that completes."""
    with step(ToolCall(name, **facts)) as tool:
        tool.output = 1


def kinds() -> list[str]:
    """The kinds of this context's events."""
    return [kind_of(event) for event in trace.peek_agent_trace()]


def models() -> list[str]:
    """The models of this context's completed calls."""
    return [event.model for event in trace.peek_agent_trace() if isinstance(event, LlmCall)]
