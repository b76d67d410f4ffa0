from __future__ import annotations

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.arguments import Prepared, prepare
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import INTERRUPTED
from tachograph.agent.turn.plan import Plan
from tachograph.events.chat import ToolUse
from tachograph.providers.scripted import ScriptedModel
from tests.agent.running import add

CALL = ToolUse("c1", "add", '{"a": 1, "b": 2}')
EDGE = Handoff(Agent(name="billing", model=ScriptedModel([])))


def test_a_call_of_which_nothing_is_known_was_interrupted() -> None:
    """Whatever happens to it from here on: there is a result to give, and it has not ended."""
    plan = Plan(CALL, 0)
    assert (plan.content, plan.has_ended, plan.tool) == (INTERRUPTED, False, None)
    plan.state = "rejected"
    assert plan.has_ended


def test_its_tool_is_known_when_the_arguments_fit_it() -> None:
    """A plan has the tool of the call that was prepared."""
    tool = Tool.of(add)
    prepared = prepare({"add": tool}, CALL)
    assert isinstance(prepared, Prepared)
    assert Plan(CALL, 0, prepared).tool is tool


@pytest.mark.parametrize(
    ("plan", "hands_over"),
    [
        (Plan(CALL, 0), False),
        (Plan(CALL, 0, edge=EDGE), True),
        (Plan(CALL, 0, edge=EDGE, refusal="not now"), False),
        (Plan(CALL, 0, edge=EDGE, given=None, has_given=True), False),
    ],
    ids=["no hand-off", "nothing against it", "refused", "a hook gave its result"],
)
def test_a_hand_off_is_one_that_nothing_stands_against(plan: Plan, hands_over: bool) -> None:
    """A call that will not be made hands nothing over."""
    assert plan.hands_over is hands_over
