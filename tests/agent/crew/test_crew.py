from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.crew.crew import Crew, members, part_of
from tachograph.agent.people.person import HandOver
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.approval import Allow, Deny
from tachograph.errors import SettingsError
from tachograph.limits.limit import FIGURES, Limits
from tests.agent.crew.crews import over


def allow(asked: object) -> Allow:
    """Whatever it is."""
    return Allow()


def deny(asked: object) -> Deny:
    """Whatever it is."""
    return Deny()


def nobody(asked: HandOver) -> None:
    """Somebody else does."""


def person(asked: HandOver) -> None:
    """Somebody takes over."""


def test_a_crew_is_whoever_hand_offs_lead_to() -> None:
    """The nearest first, each once, round trips and all."""
    far = over("far", [])
    left, right = over("left", [], far), over("right", [], far, Handoff(lambda: lead, back=True))
    lead = over("lead", [], left, right)
    found = members(lead)
    assert list(found) == ["lead", "left", "right", "far"]
    assert found["far"] is far


def test_a_copy_of_the_lead_is_the_lead() -> None:
    """A way back leads to the agent that is run, also when that was changed for the run."""
    billing = over("billing", [], Handoff(lambda: desk, back=True))
    desk = over("desk", [], billing)
    changed = desk.but(instructions="Today we are closed.")
    assert members(changed)["desk"] is changed


def test_two_agents_of_one_name_are_not_one_crew() -> None:
    """A name in the record must mean one agent."""
    lead = over("lead", [], over("a", [], over("same", [])), over("b", [], over("same", [])))
    with pytest.raises(SettingsError, match="different names"):
        members(lead)


def test_a_tool_and_a_hand_off_have_different_names() -> None:
    """Said when a run is begun, for every agent of the crew, and for tools that the call brings."""

    async def handoff_to_far() -> str:
        return "no"

    near = over("near", [], over("far", []), tools=[handoff_to_far])
    with pytest.raises(SettingsError, match="no tool of the agent has"):
        Crew(lead=over("lead", [], near), port=near.port)


@pytest.mark.parametrize(("field", "own", "lead"), [("approve", allow, deny), ("hand_over", person, nobody)])
def test_people_are_there_for_agents_that_name_none(field: str, own: Any, lead: Any) -> None:
    """What the lead has is everybody's, unless they have their own."""
    with_own, without = over("own", [], **{field: own}), over("without", [])
    crew = Crew(lead=over("lead", [], with_own, without, **{field: lead}), port=without.port)
    assert [getattr(crew.post(name).spec, field) for name in ("lead", "own", "without")] == [lead, own, lead]


def test_what_the_call_says_of_the_lead_is_not_for_others() -> None:
    """Instructions and tools of a chat are those of its agent; functions get the context of the run."""
    other = over("other", [], instructions=lambda context: f"For {context['who']}.", tools=[])
    crew = Crew(
        lead=over("lead", [], other), port=other.port, instructions="Said.", offered=dict, context={"who": "Ana"}
    )
    assert [crew.post(name).instructions for name in ("lead", "other")] == ["Said.", "For Ana."]
    assert [list(crew.post(name).offered()) for name in ("lead", "other")] == [["handoff_to_other"], []]
    assert list(crew.tools()) == ["handoff_to_other"]


def test_limits_of_a_part_are_those_that_an_agent_states() -> None:
    """Neither what it leaves as shipped nor what is of a whole run or conversation; its profile counts as stated."""
    stated = part_of(over("a", [], limits=Limits(tool_calls=3, usd=None, depth=1, session_runs=2)))
    assert stated is not None
    assert {name: getattr(stated, name) for name in FIGURES if getattr(stated, name) is not None} == {"tool_calls": 3}
    assert part_of(over("a", [])) is None
    profiled = part_of(over("a", [], profile="verifier"))
    assert (profiled and profiled.iterations) == 5


def test_nobody_else_can_be_put_to_work() -> None:
    """The error names those that can."""
    lead = over("lead", [], over("other", []))
    with pytest.raises(SettingsError, match="one of lead, other"):
        Crew(lead=lead, port=lead.port).post("nobody")
