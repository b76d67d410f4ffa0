from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from tachograph.agent.rules import Phase
from tachograph.errors import ModelError
from tachograph.fold.trace.event import kind_of
from tachograph.instrument import trace
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


def full() -> Any:
    """An agent whose run has every kind of trace event."""
    busy = ModelError("overloaded", "busy", status=529, safe=True)
    script = [
        busy,
        [Call("add", {"a": 1, "b": 2}), Call("add", {"a": 3, "b": 4}), Call("nope", {})],
        Call("same"),
        Call("same"),
        Call("same"),
        "next_phase: answer",
        "seven",
        "7",
    ]
    return agent(script, output=int, schema_retries=1, phases=(Phase("work"), Phase("answer")))


WANTED = {
    "llm_call": 7, "llm_failed": 1, "tool_execution": 4, "tool_rejected": 2, "loop_intervention": 2,
    "phase_change": 1, "schema_retry": 1, "loop_complete": 1,
}  # fmt: skip


def seen() -> Counter[str]:
    """Kinds of what this context traced, taken."""
    return Counter(kind_of(event) for event in trace.take_agent_trace())


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Nothing traced yet."""
    trace.reset_agent_trace_state()


async def test_the_trace_has_everything_the_loop_did(events: Captured) -> None:
    """Calls, failures, tools beside each other, rejections, interventions, phases, corrections, the end."""
    trace.reset_agent_trace_state()
    assert (await full().run("go")).output == 7
    assert seen() == WANTED


def test_who_waits_for_a_run_sees_it_too(events: Captured) -> None:
    """A run on an event loop of its own belongs to the thread that asked for it."""
    assert full().run_sync("go").output == 7
    assert seen() == WANTED


async def test_a_run_in_the_background_belongs_to_who_started_it(events: Captured) -> None:
    """And to no other task."""
    trace.reset_agent_trace_state()

    async def other() -> Counter[str]:
        return seen()

    handle = full().start("go")
    assert (await handle).output == 7
    assert await asyncio.create_task(other()) == Counter()
    assert seen() == WANTED


async def test_the_summary_counts_what_the_rows_say(events: Captured) -> None:
    """Thirteen figures, and the status of a completed loop."""
    trace.reset_agent_trace_state()
    found = await full().run("go")
    summary = trace.agent_trace_summary()
    assert (summary.status, summary.iterations, summary.llm_calls) == ("done", found.iterations, 7)
    assert (summary.tool_executions, summary.tool_rejections, summary.interventions) == (4, 2, 2)
    assert summary.tools_used == ("add", "same")
