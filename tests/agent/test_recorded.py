from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.live import Live
from tachograph.agent.recorded import state_of
from tachograph.agent.rules import Phase
from tachograph.agent.run import fly
from tachograph.agent.state import State
from tachograph.errors import CodecError
from tachograph.events.envelope import Event
from tachograph.providers.scripted import Call, Say
from tachograph.record.clock import SYSTEM
from tachograph.testing import Captured, capture
from tests.agent.running import agent


def flown(script: list[Any], **fields: Any) -> tuple[State, State, Captured]:
    """The state a run began in, the one it ended in, and its events."""

    async def whole() -> Live:
        one = agent(script, **fields)
        live = begin(one, one.port, "go", Asked())
        first.append(live.state)
        return await fly(live, "go")

    first: list[State] = []
    with capture(clock=SYSTEM) as events:
        live = asyncio.run(whole())
    return first[0], live.state, events


def as_recorded(state: State) -> State:
    """Without what no event holds: the answer as a type."""
    end = None if state.end is None else msgspec.structs.replace(state.end, value=None, detail="")
    return msgspec.structs.replace(state, end=end)


REPLIES = some.sampled_from(
    [
        Call("add", {"a": 1, "b": 2}),
        [Call("add", {"a": 3, "b": 4}), Call("same", {})],
        Call("nope", {}),
        Call("add", "{broken"),
        "",
        "17",
        "text",
        "next_phase: act",
        Say("cut", finish="length"),
    ]
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=some.lists(REPLIES, min_size=1, max_size=8), typed=some.booleans(), phased=some.booleans())
def test_the_state_is_a_fold_of_the_events(script: list[Any], typed: bool, phased: bool) -> None:
    """Whatever a model says, what the events add up to is where the run stood when it ended."""
    fields: dict[str, Any] = {"output": int} if typed else {}
    if phased:
        fields["phases"] = (Phase("plan"), Phase("act", "Now act."))
    begun, ended, events = flown([*script, "1"] * 8, limits="6 turns", **fields)
    assert as_recorded(state_of(events, state=begun)) == as_recorded(ended)


def test_every_prefix_of_the_events_has_a_state() -> None:
    """The fold of a part is a state that the whole passed through: it never goes back."""
    begun, _, events = flown([Call("add", {"a": 1, "b": 2}), "", "3"], instructions="Add.")
    states = [state_of(events[:end], state=begun) for end in range(len(events) + 1)]
    iterations = [state.iteration for state in states]
    assert iterations == sorted(iterations)
    assert iterations[-1] == 3
    assert [state.end is not None for state in states].count(True) == 1


def test_what_was_not_kept_cannot_be_read_back() -> None:
    """A transcript whose content is gone is an error, not another conversation."""
    begun, _, events = flown(["hi"])

    def without(event: Event) -> Event:
        body: Any = event.body
        if type(body).__name__ != "MessageAppended":
            return event
        gone = msgspec.structs.replace(body.message, text=None, level="none")
        return msgspec.structs.replace(event, body=msgspec.structs.replace(body, message=gone))

    with pytest.raises(CodecError, match="not kept"):
        state_of(map(without, events), state=begun)
