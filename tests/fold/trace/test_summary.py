"""What traces add up to."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tachograph.fold.trace.event import (
    KINDS,
    AgentTraceEvent,
    ContextCompaction,
    LlmCall,
    LLMTraceEntry,
    LoopComplete,
    LoopIntervention,
    OtherEvent,
    PhaseChange,
    SchemaRetry,
    ToolExecution,
    ToolRejected,
)
from tachograph.fold.trace.summary import AgentTraceSummary, LLMTraceSummary, add_up
from tests.strategies import json_values, structs, texts


def call(tokens: int, duration: int = 10) -> LlmCall:
    """A completed call with as many tokens in as out."""
    return LlmCall(
        call_id="c", model="m", input_tokens=tokens, output_tokens=tokens, cache_tokens=1, duration_ms=duration,
        iteration=1,
    )  # fmt: skip


def ran(name: str, status: str = "ok") -> ToolExecution:
    """A tool that ran for 5 ms."""
    return ToolExecution(
        tool_name=name, tool_use_id="", duration_ms=5, status=status, classification="read", iteration=1
    )


def over(status: str, iterations: int, duration: int) -> LoopComplete:
    """A loop that is over."""
    return LoopComplete(
        status=status, iterations=iterations, total_duration_ms=duration, tools_used=("x",), successful_tools=()
    )


MIXED: tuple[AgentTraceEvent, ...] = (
    call(100), ran("b"), over("stuck", 1, 50), call(20), ran("a", "error"), ran("b"),
    ToolRejected(tool_name="never", reason="no", iteration=1), ToolRejected(tool_name="b", reason="no", iteration=2),
    LoopIntervention(tool_name="b", kind="warn", count=2, iteration=2),
    ContextCompaction(archived_messages=15, new_summary_len=9, iteration=2),
    PhaseChange(from_phase="x", to_phase="y", iteration=2), SchemaRetry(attempt=1, errors=(), nudge_used=True),
    OtherEvent("native_tool_fallback", {"accepted": True}), over("done", 2, 70),
)  # fmt: skip


def test_the_summary_of_a_mixed_trace_is_this() -> None:
    """All rules at once: the last loop counts, tools once each and only if they ran, other kinds nowhere."""
    assert msgspec.json.encode(add_up(MIXED)).decode() == (
        '{"status":"done","iterations":2,"total_duration_ms":70,"llm_calls":2,"tool_executions":3,'
        '"tool_rejections":2,"interventions":1,"compactions":1,"total_input_tokens":120,"total_output_tokens":120,'
        '"total_llm_duration_ms":20,"total_tool_duration_ms":15,"tools_used":["b","a"]}'
    )


def test_the_summary_of_nothing_is_this() -> None:
    """No status, zeros, no tools; in the same thirteen keys."""
    assert msgspec.json.encode(add_up(())).decode() == (
        '{"status":"unknown","iterations":0,"total_duration_ms":0,"llm_calls":0,"tool_executions":0,'
        '"tool_rejections":0,"interventions":0,"compactions":0,"total_input_tokens":0,"total_output_tokens":0,'
        '"total_llm_duration_ms":0,"total_tool_duration_ms":0,"tools_used":[]}'
    )
    assert len(AgentTraceSummary.__struct_fields__) == 13


events: st.SearchStrategy[Any] = st.lists(
    st.one_of(*map(structs, KINDS.values()), st.builds(OtherEvent, texts, st.dictionaries(texts, json_values)))
)


@given(events)
def test_every_figure_is_the_sum_over_its_kind(told: list[Any]) -> None:
    """Of any events: counts and sums by kind, the last loop's figures, the tools in the order they first ran."""
    sorts: list[type] = [*KINDS.values(), OtherEvent]
    of: dict[type, list[Any]] = {kind: [each for each in told if type(each) is kind] for kind in sorts}
    calls, ran, loops = of[LlmCall], of[ToolExecution], of[LoopComplete]
    assert add_up(told) == AgentTraceSummary(
        status=(loops[-1].status or "unknown") if loops else "unknown",
        iterations=loops[-1].iterations if loops else 0,
        total_duration_ms=loops[-1].total_duration_ms if loops else 0,
        llm_calls=len(calls),
        tool_executions=len(ran),
        tool_rejections=len(of[ToolRejected]),
        interventions=len(of[LoopIntervention]),
        compactions=len(of[ContextCompaction]),
        total_input_tokens=sum(each.input_tokens for each in calls),
        total_output_tokens=sum(each.output_tokens for each in calls),
        total_llm_duration_ms=sum(each.duration_ms for each in calls),
        total_tool_duration_ms=sum(each.duration_ms for each in ran),
        tools_used=tuple(dict.fromkeys(each.tool_name for each in ran)),
    )


@given(events, structs(LlmCall), structs(LlmCall), events)
def test_a_corrected_call_counts_as_if_it_had_said_so_at_once(
    before: list[Any], first: Any, later: Any, after: list[Any]
) -> None:
    """Tokens that are known late change the sums by their difference, wherever the call stands."""
    known = msgspec.structs.replace(first, input_tokens=later.input_tokens, output_tokens=later.output_tokens)
    assert add_up([*before, first, *after]).corrected(first, known) == add_up([*before, known, *after])


def test_only_a_completed_call_can_be_corrected() -> None:
    """What no figure counts has no share in the sums."""
    summary = add_up(MIXED)
    assert summary.corrected(OtherEvent("x"), OtherEvent("y")) is summary


def test_llm_entries_add_up_in_this_order() -> None:
    """Input tokens, output tokens, milliseconds, calls; all zero when there are none."""
    total = LLMTraceSummary().plus(LLMTraceEntry("m", 10, 2, 300)).plus(LLMTraceEntry("n", 5, 1, 50))
    assert (tuple(total), tuple(LLMTraceSummary())) == ((15, 3, 350, 2), (0, 0, 0, 0))
