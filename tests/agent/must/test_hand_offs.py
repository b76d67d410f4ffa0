from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from msgspec import Struct

from tachograph.agent.agent import Agent
from tachograph.agent.call import begin, call_of, outcome_of
from tachograph.agent.live import Live
from tachograph.agent.recorded import state_of
from tachograph.agent.run import fly
from tachograph.agent.state import Answered, Handed, Iterated, Replied, State
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.transcript import check
from tachograph.errors import LimitExceeded
from tachograph.events.run import StepStarted
from tachograph.limits.limit import Limits
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.crew.crews import follows, loose, rejected, steps
from tests.agent.crew.test_passing import raising, summary, without_tools
from tests.agent.running import QUICK, add, same, valid

NAMES = "abcd"
FILTERS = (None, without_tools, summary, raising)


class Way(Struct, frozen=True):
    """An edge."""

    start: str
    to: str
    back: bool
    filter: int


class Flown(Struct, frozen=True):
    """A run: where it began, what it came to, and where it stood after so many events."""

    begun: State
    live: Live
    moments: list[tuple[int, State]]


PAIRS = [(start, to) for start in NAMES for to in NAMES if start != to]
WAYS = some.tuples(*(
    some.sampled_from([None, *(Way(*pair, back, by) for back in (False, True) for by in range(len(FILTERS)))])
    for pair in PAIRS
)).map(lambda ways: [way for way in ways if way is not None])  # fmt: skip
HANDING = some.sampled_from(NAMES).map(lambda name: Call(f"handoff_to_{name}", {"reason": "so"}))
CALLS = some.one_of(
    HANDING,
    HANDING,
    some.sampled_from([Call("add", {"a": 1, "b": 2}), Call("same"), Call("nope"), Call("handoff_to_a", "{broken")]),
)
REPLIES = some.one_of(
    HANDING, HANDING, some.lists(CALLS, min_size=1, max_size=4), some.sampled_from(["", "", "text", "17"])
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ways=WAYS, script=some.lists(REPLIES, min_size=3, max_size=10),
    most=some.integers(0, 4), mode=some.sampled_from(["stop", "block", "skip", "raise", "handoff"]),
    stop_at=some.one_of(some.none(), some.none(), some.integers(1, 40)),
)  # fmt: skip
def test_no_crew_is_handed_about_more_than_it_may(
    ways: list[Way], script: list[Any], most: int, mode: Any, stop_at: int | None
) -> None:
    """Never more hand-offs than the limit, never back undeclared, every request valid, the record adds up always."""
    agents, models = crew(ways, script)
    limits = Limits(handoffs=most, iterations=12, modes={"handoffs": mode})
    with capture(clock=SYSTEM) as events:
        flown = asyncio.run(fly_until(agents["a"], limits, events, stop_at))
    visited = flown.live.state.visited
    assert visited == ("a", *(name[-1] for name, status in steps(events) if status == "completed"))
    assert len(steps(events)) <= most
    declared = {(way.start, way.to): way.back for way in ways}
    for place, (one, to) in enumerate(pairwise(visited), 1):
        assert declared[one, to] or to not in visited[:place]
    parts = [event.body.name for event in events.of(StepStarted) if event.body.kind == "agent"]
    assert parts in ([*visited[1:]], [*visited[1:-1]])  # a run may end as it is handed over
    assert all(rejected(events))
    for request in (request for model in models for request in model.requests):
        check(request.messages)
        assert "system" not in [message.role for message in request.messages[1:]]
    valid(outcome_of(flown.live), events)
    if stop_at is None:
        follows(flown.begun, flown.live, events)
    for many, state in flown.moments:
        assert loose(state_of(events[:many], state=flown.begun)) == loose(state)


def crew(ways: list[Way], script: list[Any]) -> tuple[dict[str, Agent], list[ScriptedModel]]:
    """Agents a to d with these edges; who is at work says what is next."""
    replies, agents, models = iter(script), dict[str, Agent](), list[ScriptedModel]()
    for name in NAMES:
        models.append(ScriptedModel(lambda request: next(replies, "the end")))
        agents[name] = Agent(
            name=name, model=models[-1], tools=[add, same], retry=QUICK, handoffs=[edge(way, agents) for way in
            ways if way.start == name], nudges=5, instructions="" if name == "b" else f"I am {name}.",
            output=int if name == "c" else str,
        )  # fmt: skip
    return agents, models


def edge(way: Way, agents: dict[str, Agent]) -> Handoff:
    """A hand-off to an agent that is made later."""
    return Handoff(lambda: agents[way.to], back=way.back, input_filter=FILTERS[way.filter])


async def fly_until(lead: Agent, limits: Limits, events: Captured, stop_at: int | None) -> Flown:
    """A run, called off at its n-th progress value; what it knew is kept after each fact the record knows at once."""
    live = begin(lead, lead.port, "go", call_of({"limits": limits}))
    flown, advance = Flown(live.state, live, []), Live.advance
    seen = 0

    def told(value: object) -> None:
        nonlocal seen
        seen += 1
        if seen == stop_at:
            task.cancel()

    def watched(live: Live, fact: Any) -> None:
        if isinstance(fact, Handed):
            flown.moments.pop()  # the record learns of the answers and of this in one event
        advance(live, fact)
        if isinstance(fact, Replied) or (flown.moments and isinstance(fact, Iterated | Answered | Handed)):
            flown.moments.append((len(events), live.state))

    live.emitter.subscribe(object, told)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Live, "advance", watched)
        task = asyncio.create_task(fly(live, "go"))
        await asyncio.wait((task,))
    if not task.cancelled() and (raised := task.exception()) is not None:
        assert isinstance(raised, LimitExceeded)
    return flown
