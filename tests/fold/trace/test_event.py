"""Trace events: their kinds and their JSON forms."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.fold.trace.event import (
    KINDS,
    AgentTraceEvent,
    ContextCompaction,
    LlmCall,
    LlmFailed,
    LoopComplete,
    LoopIntervention,
    OtherEvent,
    PhaseChange,
    SchemaRetry,
    ToolExecution,
    ToolRejected,
    event_of,
    fields_of,
    kind_of,
    next_phase,
)
from tests.strategies import json_values, structs, texts

GOLDEN: tuple[tuple[AgentTraceEvent, str], ...] = (
    (
        LlmCall(
            call_id="c", model="m", input_tokens=12, output_tokens=3, cache_tokens=2, duration_ms=40, iteration=1
        ),
        (
            '{"type":"llm_call","call_id":"c","model":"m","input_tokens":12,"output_tokens":3,"cache_tokens":2,'
            '"duration_ms":40,"iteration":1}'
        ),
    ),
    (
        ToolExecution(
            tool_name="t", tool_use_id="u", duration_ms=5, status="ok", classification="read", iteration=1
        ),
        (
            '{"type":"tool_execution","tool_name":"t","tool_use_id":"u","duration_ms":5,"status":"ok",'
            '"classification":"read","iteration":1}'
        ),
    ),
    (
        ToolRejected(tool_name="t", reason="not allowed", iteration=2),
        '{"type":"tool_rejected","tool_name":"t","reason":"not allowed","iteration":2}',
    ),
    (
        LoopIntervention(tool_name="t", kind="warn", count=2, iteration=2),
        '{"type":"loop_intervention","tool_name":"t","kind":"warn","count":2,"iteration":2}',
    ),
    (
        ContextCompaction(archived_messages=15, new_summary_len=800, iteration=3),
        '{"type":"context_compaction","archived_messages":15,"new_summary_len":800,"iteration":3}',
    ),
    (
        PhaseChange(from_phase="plan", to_phase="", iteration=3),
        '{"type":"phase_change","from_phase":"plan","to_phase":"","iteration":3}',
    ),
    (
        LoopComplete(
            status="done", iterations=3, total_duration_ms=900, tools_used=("t", "t"), successful_tools=("t",)
        ),
        (
            '{"type":"loop_complete","status":"done","iterations":3,"total_duration_ms":900,"tools_used":["t","t"],'
            '"successful_tools":["t"]}'
        ),
    ),
    (
        SchemaRetry(attempt=1, errors=("no a",), nudge_used=False),
        '{"type":"schema_retry","attempt":1,"errors":["no a"],"nudge_used":false}',
    ),
    (
        LlmFailed(
            call_id="c", model="m", status="failed", error="TimeoutError", category="timeout", input_tokens=0,
            output_tokens=0, cache_tokens=0, duration_ms=45_000, iteration=1,
        ),
        (
            '{"type":"llm_failed","call_id":"c","model":"m","status":"failed","error":"TimeoutError",'
            '"category":"timeout","input_tokens":0,"output_tokens":0,"cache_tokens":0,"duration_ms":45000,"iteration":1}'
        ),
    ),
    (OtherEvent("empty_completion_retry", {"attempt": 1}), '{"type":"empty_completion_retry","attempt":1}'),
)  # fmt: skip
"""One event of each kind, and its JSON form."""

values: st.SearchStrategy[Any] = st.one_of(*map(structs, KINDS.values()))


@pytest.mark.parametrize(
    ("event", "form"), GOLDEN, ids=lambda value: kind_of(value) if not isinstance(value, str) else ""
)
def test_each_kind_has_exactly_its_keys(event: AgentTraceEvent, form: str) -> None:
    """The JSON form of every kind, byte for byte; and it is read back as the same value."""
    assert msgspec.json.encode(fields_of(event)).decode() == form
    assert event_of(kind_of(event), msgspec.json.decode(form)) == event


def test_the_kinds_are_the_eight_and_the_one_for_failed_calls() -> None:
    """No kind is missing here, and none is added unnoticed."""
    assert sorted(KINDS) == sorted({kind_of(event) for event, _ in GOLDEN} - {"empty_completion_retry"})
    assert len(KINDS) == 8 + 1


@given(values)
def test_every_value_comes_back_from_its_fields(event: AgentTraceEvent) -> None:
    """Whatever its fields hold, an event and its plain form say the same."""
    assert event_of(kind_of(event), fields_of(event)) == event


@given(texts, json_values)
def test_any_kind_and_any_fields_are_some_event(kind: str, fields: Any) -> None:
    """What no kind fits is kept whole as another event; nothing raises."""
    for name in (kind, *KINDS):
        event = event_of(name, fields)
        assert kind_of(event) == name
    assert isinstance(event_of("llm_call", {"model": 1, "x": fields}), OtherEvent)


def test_an_event_whose_fields_were_not_kept_still_happened() -> None:
    """Its kind is known, and the rest is zero; of an unknown kind only the name remains."""
    assert event_of("schema_retry", None) == SchemaRetry(attempt=0, errors=(), nudge_used=False)
    assert event_of("llm_call", None) == LlmCall(
        call_id="", model="", input_tokens=0, output_tokens=0, cache_tokens=0, duration_ms=0, iteration=0
    )
    assert event_of("from_tomorrow", None) == OtherEvent("from_tomorrow")


def test_fields_of_a_later_version_are_let_go() -> None:
    """A kind that has gained a field is still that kind."""
    fields = {"attempt": 2, "errors": ["a"], "nudge_used": True, "correction_prompt": "Please …"}
    assert event_of("schema_retry", fields) == SchemaRetry(attempt=2, errors=("a",), nudge_used=True)


@pytest.mark.parametrize(
    ("reply", "phase"),
    [
        ("Let us go on.\nnext_phase: build\nOr rather:\n  next_phase:  verify \nDone.", "verify"),
        ("next_phase:", ""),
        ("the next_phase: build", ""),
        ("next_phases: build", ""),
        ("", ""),
    ],
)
def test_the_last_line_that_names_a_phase_wins(reply: str, phase: str) -> None:
    """A line must begin with the word, and of several such lines the last one counts."""
    assert next_phase(reply) == phase
