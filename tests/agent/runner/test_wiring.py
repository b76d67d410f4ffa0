from __future__ import annotations

from typing import Any

import pytest

from tachograph import Agent
from tachograph.agent.runner.wiring import crew_of, wired
from tachograph.errors import SettingsError
from tests.agent.running import agent


def _crew() -> tuple[Agent, ...]:
    return crew_of([agent([], name="Ana Bot"), agent([], name="daniela")])


def test_agents_of_an_application_stay_as_they_are() -> None:
    """What a runner adds is in copies; without anything to add an agent is itself."""

    def effect(asked: Any) -> None:
        """Nothing."""

    (alone,) = crew_of(agent([]))
    assert wired((alone,)) == (alone,)
    before = _crew()
    after = wired(before, hand_over=effect)
    assert [one.hand_over for one in before] == [None, None]
    assert [one.hand_over for one in after] == [effect, effect]
    assert [one.model for one in after] == [one.model for one in before]


@pytest.mark.parametrize(
    "agents", [[], [5], ["ana"], [agent([], name="Ana"), agent([], name="ána")], [agent([], name="日本")]]
)
def test_what_is_no_crew_is_refused(agents: Any) -> None:
    """None, what is no agent, names that are spelled alike, and names without any letter."""
    with pytest.raises(SettingsError, match="agents"):
        crew_of(agents)
