from __future__ import annotations

import logging
from typing import Any

import pytest

from tachograph.agent.team.starting import starting_agent
from tachograph.errors import SettingsError
from tests.agent.crew.crews import over

DESK, BILLING, RETURNS = over("desk", []), over("billing", []), over("returns", [])
AGENTS = [DESK, BILLING, RETURNS]


@pytest.mark.parametrize(("explicit", "last", "active", "wanted"), [
    (None, None, None, "desk"),
    (None, None, True, "desk"),
    (None, "billing", None, "desk"),
    (None, "billing", False, "desk"),
    (None, "billing", True, "billing"),
    (None, "billing", lambda: True, "billing"),
    (None, "billing", lambda: ["pending"], "billing"),
    (None, "billing", lambda: None, "desk"),
    (None, "desk", lambda: 1 / 0, "desk"),
    ("returns", "billing", True, "returns"),
    (RETURNS, "billing", lambda: 1 / 0, "returns"),
], ids=range(11))  # fmt: skip
def test_an_explicit_agent_then_the_workflows_then_the_orchestrator(
    explicit: Any, last: str | None, active: Any, wanted: str
) -> None:
    """In this order, whether the agents are a list or a mapping."""
    assert starting_agent(AGENTS, explicit, last, active).name == wanted
    assert starting_agent({one.name: one for one in AGENTS}, explicit, last, active).name == wanted


async def later() -> bool:
    """An answer that nobody waits for."""
    return True


@pytest.mark.parametrize("test", [lambda: 1 / 0, later], ids=["raises", "async"])
def test_a_test_that_cannot_tell_says_no(test: Any, caplog: pytest.LogCaptureFixture) -> None:
    """And the log says so, once."""
    with caplog.at_level(logging.WARNING, logger="tachograph.agent"):
        assert starting_agent(AGENTS, None, "billing", test) is DESK
    assert [record.message for record in caplog.records] == ["whether a workflow is active cannot be told: taken as no"]


def test_an_agent_that_is_gone_does_not_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """The orchestrator begins, and the log names who is missing."""
    with caplog.at_level(logging.WARNING, logger="tachograph.agent"):
        assert starting_agent(AGENTS, None, "sales", active_workflow=True) is DESK
    assert "'sales'" in caplog.records[0].message


@pytest.mark.parametrize(("agents", "explicit", "message"), [
    ([], None, "at least one"), (AGENTS, "sales", "one of desk, billing, returns"),
])  # fmt: skip
def test_who_is_not_there_cannot_be_asked_for(agents: Any, explicit: str | None, message: str) -> None:
    """A name of nobody is an error, not the orchestrator."""
    with pytest.raises(SettingsError, match=message):
        starting_agent(agents, explicit)
