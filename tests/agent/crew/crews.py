"""Agents that hand over to each other, for tests, and what must hold of every run of theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import begin, call_of, outcome_of
from tachograph.agent.live import Live
from tachograph.agent.recorded import RecordedState
from tachograph.agent.run import fly
from tachograph.agent.state import State
from tachograph.agent.transcript import check
from tachograph.events.call import CallStarted
from tachograph.events.limit import LimitHit
from tachograph.events.run import StepEnded, StepStarted
from tachograph.events.tool import ToolEnded
from tachograph.providers.scripted import ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import agent, valid


def over(name: str, script: Any, *handoffs: Any, **fields: Any) -> Agent:
    """An agent of that name that may hand over to others."""
    return agent(script, name=name, handoffs=handoffs, **fields)


async def handed(lead: Agent, events: Captured, prompt: str = "go", **call: Any) -> Outcome[Any]:
    """A run, looked at; its record adds up to its state, at every event and at the end."""
    asked = call_of(call)
    live = begin(lead, lead.port, prompt, asked)
    begun = live.state
    outcome = valid(outcome_of(await fly(live, prompt)), events)
    follows(begun, live, events)
    return outcome


def follows(begun: State, live: Live, events: Captured) -> None:
    """Folding the events one by one passes through the agents that were at work, and ends where the run did."""
    folded, seen = RecordedState(state=begun), [begun.agent]
    for event in events:
        state = folded.apply(event)
        seen += [state.agent] if state.agent != seen[-1] else []
        assert state.visited[-1] == state.agent
    assert tuple(seen) == live.state.visited
    assert loose(folded.state) == loose(live.state)


def loose(state: State) -> State:
    """A state without what no event holds."""
    end = None if state.end is None else msgspec.structs.replace(state.end, value=None, detail="")
    wrap_up = state.wrap_up if end is None else ""
    return msgspec.structs.replace(state, end=end, accepted=False, answer=None, wrap_up=wrap_up)


def requests(*agents: Agent) -> list[Any]:
    """What their models were asked."""
    found = []
    for one in agents:
        assert isinstance(one.port, ScriptedModel)
        found += one.port.requests
    for request in found:
        check(request.messages)
    return found


def steps(events: Captured) -> list[tuple[str, str]]:
    """Each hand-off between agents that was begun, and how it ended."""
    ends = {event.step: event.body.status for event in events.of(StepEnded)}
    begun = [event for event in events.of(StepStarted) if event.body.action_type == "agent"]
    return [(event.body.name, ends[event.seq]) for event in begun]


def rejected(events: Captured) -> list[Any]:
    """Why calls were refused, one entry an event."""
    return [event.body.reason for event in events.of(ToolEnded) if event.body.state == "rejected"]


def hits(events: Captured) -> list[tuple[str, str | None]]:
    """Limits that were met, and what they refused."""
    return [(event.body.metric, event.body.refused_kind) for event in events.of(LimitHit)]


def workers(events: Captured) -> list[Any]:
    """Whose requests they were."""
    return [event.body.agent_type for event in events.of(CallStarted)]


def run(lead: Agent, events: Captured, **call: Any) -> Outcome[Any]:
    """`handed` for tests without an event loop."""
    return asyncio.run(handed(lead, events, **call))
