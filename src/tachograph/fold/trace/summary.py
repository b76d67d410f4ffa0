"""What traces add up to: thirteen figures for an agent trace, whatever its events are, and four for an LLM trace."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tachograph.fold.trace.event import (
    AgentTraceEvent,
    ContextCompaction,
    LlmCall,
    LLMTraceEntry,
    LoopComplete,
    LoopIntervention,
    ToolExecution,
    ToolRejected,
)


class AgentTraceSummary(Struct, frozen=True, kw_only=True):
    """Sums over trace events. Its JSON form has exactly these keys, in this order."""

    status: str = "unknown"
    """This, `iterations` and `total_duration_ms` are those of the last `loop_complete`."""
    iterations: int = 0
    total_duration_ms: int = 0
    llm_calls: int = 0
    """Completed ones, and so are the tokens below."""
    tool_executions: int = 0
    tool_rejections: int = 0
    interventions: int = 0
    compactions: int = 0
    total_input_tokens: int = 0
    total_output_tokens: int = 0
    total_llm_duration_ms: int = 0
    """Parallel calls add up beyond the duration of the loop."""
    total_tool_duration_ms: int = 0
    tools_used: tuple[str, ...] = ()
    """Tools that ran, each once, in the order they first did."""

    def plus(self, event: AgentTraceEvent) -> AgentTraceSummary:
        """The sums with one event more. Kinds that no figure counts change nothing."""
        match event:
            case LlmCall():
                return replace(
                    self,
                    llm_calls=self.llm_calls + 1,
                    total_input_tokens=self.total_input_tokens + event.input_tokens,
                    total_output_tokens=self.total_output_tokens + event.output_tokens,
                    total_llm_duration_ms=self.total_llm_duration_ms + event.duration_ms,
                )
            case ToolExecution(tool_name=name):
                return replace(
                    self,
                    tool_executions=self.tool_executions + 1,
                    total_tool_duration_ms=self.total_tool_duration_ms + event.duration_ms,
                    tools_used=self.tools_used if name in self.tools_used else (*self.tools_used, name),
                )
            case ToolRejected():
                return replace(self, tool_rejections=self.tool_rejections + 1)
            case LoopIntervention():
                return replace(self, interventions=self.interventions + 1)
            case ContextCompaction():
                return replace(self, compactions=self.compactions + 1)
            case LoopComplete(status=status, iterations=iterations, total_duration_ms=duration):
                return replace(self, status=status or "unknown", iterations=iterations, total_duration_ms=duration)
        return self

    def corrected(self, before: AgentTraceEvent, after: AgentTraceEvent) -> AgentTraceSummary:
        """The sums after the tokens of a call that is among them became better known."""
        if not isinstance(before, LlmCall) or not isinstance(after, LlmCall):
            return self
        return replace(
            self,
            total_input_tokens=self.total_input_tokens + after.input_tokens - before.input_tokens,
            total_output_tokens=self.total_output_tokens + after.output_tokens - before.output_tokens,
        )


class LLMTraceSummary(NamedTuple):
    """Sums over LLM trace entries, in this order."""

    input_tokens: int = 0
    output_tokens: int = 0
    duration_ms: int = 0
    calls: int = 0

    def plus(self, entry: LLMTraceEntry) -> LLMTraceSummary:
        """The sums with one entry more."""
        return LLMTraceSummary(
            self.input_tokens + entry.input_tokens,
            self.output_tokens + entry.output_tokens,
            self.duration_ms + entry.duration_ms,
            self.calls + 1,
        )


def add_up(events: Iterable[AgentTraceEvent]) -> AgentTraceSummary:
    """The summary of some events."""
    summary = AgentTraceSummary()
    for event in events:
        summary = summary.plus(event)
    return summary
