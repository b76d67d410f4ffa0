from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.spec import Spec, effective, limits_of, toolbox
from tachograph.agent.tools.tool import Tool
from tachograph.errors import SettingsError
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Repeat


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("profile", "wizard"),
        ("parallel", 0),
        ("name", ""),
        ("output", dict[str, complex]),
        ("limits", "15 moons"),
        ("max_tokens", 0),
        ("nudges", -1),
        ("reminders", "text"),
        ("hooks", 3),
        ("compaction", 0.8),
        ("phases", [1]),
        ("verify", "cmd"),
        ("model", 3),
        ("limits", {"turns": 1}),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(field: str, value: Any) -> None:
    """A clear error when the agent is made, not when it runs."""
    with pytest.raises(SettingsError):
        Spec(**{"name": "a", "model": "m", field: value})


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [("handoffs", ["b"], "Agent or Handoff"), ("memory", 3, "Memory or None"), ("guardrails", [3], "Guardrail")],
)
def test_what_is_wanted_is_said_in_the_names_that_programs_know(field: str, value: Any, wanted: str) -> None:
    """An agent is an Agent, and nothing of where the package keeps it."""
    with pytest.raises(SettingsError, match=rf"cannot be used: {wanted}$"):
        Spec(**{"name": "a", "model": "m", field: value})


def test_limits_of_the_call_go_before_those_of_the_agent() -> None:
    """As a value or as a text."""
    spec = Spec(name="a", model="m", limits=Limits(usd=2))
    assert effective(spec, "$3", {}).usd == limits_of("$3").usd
    assert effective(spec, None, {}).usd == 2


def test_policies_of_tools_stand_unless_the_limits_state_one() -> None:
    """A tool brings its policy along."""
    poll = Tool("poll", "", {}, str, repeat=Repeat(poll=True))
    assert effective(Spec(name="a", model="m"), None, {"poll": poll}).loops.tools == {"poll": Repeat(poll=True)}


def test_two_tools_of_one_name_are_refused() -> None:
    """The name says which tool is meant: it must be one."""

    def look() -> None:
        """Look."""

    with pytest.raises(SettingsError, match="look"):
        toolbox([look, look])
