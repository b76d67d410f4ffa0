"""Agents for tests, and what must hold of every run."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.pace.retry import Retry
from tachograph.agent.transcript import check
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import ScriptedModel
from tachograph.record.step import CONVERSATION
from tachograph.testing import Captured

QUICK = Retry(base=0.001, most=0.002)


async def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def same() -> str:
    """Say the same."""
    return "the same"


def agent(script: Any, **fields: Any) -> Agent:
    """An agent with two tools, quick retries and a scripted model."""
    fields = {"name": "calc", "tools": [add, same], "retry": QUICK, **fields}
    return Agent(model=script if hasattr(script, "ask") else ScriptedModel(script), **fields)


def valid(outcome: Outcome[Any], events: Captured) -> Outcome[Any]:
    """The outcome, after a look at what must hold of every run."""
    check(outcome.messages)
    starts = Counter(e.seq for e in events if isinstance(e.body, (CallStarted, ToolStarted, StepStarted, RunStarted)))
    ends = Counter(e.step for e in events if isinstance(e.body, (CallEnded, ToolEnded, StepEnded, RunEnded)))
    assert starts == ends
    ended = events.of(RunEnded)[0].body
    assert (ended.status, ended.stop_reason) == (outcome.status, outcome.stop_reason)
    assert outcome.spent.llm_calls == len(events.of(CallStarted))
    assert outcome.spent.tool_calls == len(events.of(ToolStarted))
    assert outcome.last_seq == events[-1].seq
    return outcome


async def ran(the_agent: Agent, events: Captured, prompt: str = "go", **call: Any) -> Outcome[Any]:
    """A run, looked at."""
    return valid(await the_agent.run(prompt, **call), events)


def names(events: Captured) -> list[str]:
    """Names of the notes, in order, without those that only say where the conversation stands."""
    found = [event.body.name for event in events.of(Note)]
    return [name for name in found if name not in (CONVERSATION, "answer_accepted")]
