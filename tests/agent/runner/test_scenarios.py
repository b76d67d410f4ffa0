from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.runner.otel import Trace
from tachograph.agent.runner.runner import Runner
from tachograph.events.call import CallStarted
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.runner.test_otel import Exported
from tests.agent.runner.test_runner import HELLO, desk

pytestmark = pytest.mark.anyio


async def test_the_orchestrator_hands_over_to_a_scenario(events: Captured) -> None:
    """The scenario's answer is the reply, under its name; callbacks and spans tell both agents apart."""
    heard: list[Any] = []
    exported = Exported()
    ana = desk([Call("handoff_to_daniela", {"reason": "a booking"})])
    daniela = desk(["Which day?"], "Daniela")
    callbacks: dict[str, Any] = {
        "on_agent_thinking": lambda agent, said: heard.append((agent, said)),
        "on_agent_handoff": lambda before, after, reason: heard.append((before, after, reason)),
        "on_run_complete": heard.append,
    }
    runner = Runner([ana, daniela], callbacks=callbacks, trace=Trace(tracer=exported.tracer))
    reply = await runner.generate_response(HELLO)
    assert (reply.response, reply.agent_name, reply.billable) == ("Which day?", "daniela", True)
    assert heard == [
        ("ana_bot", "Hello"), ("ana_bot", "daniela", "a booking"), ("daniela", "(continuing conversation)"), "daniela",
    ]  # fmt: skip
    name = "llm.captain_v2"
    assert exported.tree() == [[name, [
        f"{name}.agent.ana_bot", [f"{name}.generation"], [f"{name}.tool.handoff_to_daniela"],
    ], [f"{name}.agent.daniela", [f"{name}.generation"]]]]  # fmt: skip
    (mark,) = [event for event in exported.spans[name].events if event.name.endswith(".handoff")]
    assert (mark.name, dict(mark.attributes or {})) == (
        f"{name}.handoff", {"handoff.from": "ana_bot", "handoff.to": "daniela", "handoff.reason": "a booking"},
    )  # fmt: skip


async def test_a_scenario_has_no_way_back(events: Captured) -> None:
    """What brought the ping-pong is not there: the scenario is offered no hand-off, also when it begins."""
    ana, daniela = (
        desk([Call("handoff_to_daniela", {})]),
        desk([Call("handoff_to_ana_bot", {}), "Which day?"], "Daniela"),
    )
    reply = await Runner([ana, daniela]).generate_response(HELLO)
    assert (reply.response, reply.agent_name) == ("Which day?", "daniela")
    offered = [call.body.tools.value() if call.body.tools else [] for call in events.of(CallStarted)]
    names = [[tool["function"]["name"] for tool in tools] for tools in offered]
    assert names == [["look", "handoff_to_daniela"], ["look"], ["look"]]


async def test_agents_that_say_themselves_where_they_lead_are_left_as_they_are(events: Captured) -> None:
    """An orchestrator with hand-offs of its own keeps them, and gets no others."""
    daniela = desk(["Which day?"], "Daniela")
    ana = desk(["Hi"], handoffs=[daniela])
    other = desk([], "Other")
    await Runner([ana, daniela, other]).generate_response(HELLO)
    tools = events.of(CallStarted)[0].body.tools.value()
    assert [tool["function"]["name"] for tool in tools] == ["look", "handoff_to_daniela"]
    assert ana.handoffs == [daniela]
