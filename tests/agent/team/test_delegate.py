from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.spec import equipment
from tachograph.agent.team.delegate import Delegate, DelegateTool
from tachograph.errors import SettingsError
from tachograph.limits.limit import Limits
from tests.agent.running import add, agent

MESSAGE = {"type": "string", "description": "What to do, with everything it has to know for that."}
RESET = {"type": "boolean", "description": "Have it forget what you asked it before."}


def test_an_agent_becomes_a_tool() -> None:
    """Its name, what it is for, a message; it is known by reference, whatever the tool is called."""
    worker = agent([], name="billing desk", description="It knows invoices.")
    tool = Delegate.of(worker).tool
    assert (tool.name, tool.classification, tool.told) == (
        "ask_billing_desk", "delegation", {"worker": "billing desk", "context": "persistent"},
    )  # fmt: skip
    assert tool.description == (
        "Ask billing desk, another agent. It knows invoices. "
        "It remembers what you asked it before, and nothing else of this conversation."
    )
    properties = {"message": MESSAGE, "reset_context": RESET}
    assert tool.parameters == {"type": "object", "properties": properties, "required": ["message"]}
    custom = Delegate(worker, name="slackAgent", description="Ask!").tool
    assert (custom.name, custom.description, custom.delegate.worker is worker) == ("slackAgent", "Ask!", True)


@pytest.mark.parametrize(
    ("mode", "knows"),
    [("fork", "It knows this conversation so far."), ("fresh", "It knows nothing but your message.")],
)
def test_only_a_memory_can_be_reset(mode: Any, knows: str) -> None:
    """A forked or fresh context has nothing to forget, and the model is told what its worker knows."""
    tool = Delegate(agent([], name="w"), mode=mode).tool
    assert tool.parameters == {"type": "object", "properties": {"message": MESSAGE}, "required": ["message"]}
    assert tool.description == f"Ask w, another agent. It answers when it is done. {knows}"


def test_delegates_stand_among_the_tools() -> None:
    """Of an agent: behind its tools, each of them a tool of its own; two of one name are refused."""
    worker = agent([], name="w")
    lead = agent([], tools=[add], delegates=[worker, Delegate(worker, name="again", mode="fresh")])
    assert list(equipment(lead)) == ["add", "ask_w", "again"]
    with pytest.raises(SettingsError, match="tools with different names"):
        equipment(agent([], delegates=[worker, worker]))


def test_agents_that_know_each_other() -> None:
    """A function gives the agent when it is needed, so that it may be made later, or be the asker itself."""
    lead: Agent = agent([], name="lead", delegates=[Delegate(lambda: lead, recursive=True)])
    tool = equipment(lead)["ask_lead"]
    assert isinstance(tool, DelegateTool)
    assert tool.delegate.worker is lead


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (lambda: Delegate("billing"), "an agent, or a function that gives one"),  # type: ignore[arg-type]
        (lambda: Delegate(agent([]), mode="shared"), "one of persistent, fork, fresh"),  # type: ignore[arg-type]
        (lambda: Delegate(agent([]), parallel=0), "at least 1, or None"),
        (lambda: Delegate(agent([]), limits="5 apples"), "apples"),
        (lambda: Delegate(agent([]), output=object()), "a type that JSON schema can describe"),
        (lambda: Delegate(lambda: "billing").worker, "a function that gives an agent"),  # type: ignore[arg-type, return-value]
        (lambda: Delegate(agent([]), name="no name").tool, "1 to 64 letters"),
        (lambda: agent([], delegates=["billing"]), "an agent, or a function that gives one"),
    ],
    ids=["text", "mode", "parallel", "limits", "output", "function", "name", "field"],
)
def test_what_cannot_be_asked_is_refused_at_once(made: Any, wanted: str) -> None:
    """With what was wrong and what is wanted."""
    with pytest.raises(SettingsError, match=wanted):
        made()


def test_being_looked_at_makes_no_model() -> None:
    """A worker's model is made when it is first asked: nobody needs its key or its library before."""
    worker = Agent(name="w", model="no-such-provider:m")
    lead = agent([], delegates=[Delegate(worker, limits=Limits(iterations=1))])
    assert list(equipment(lead)) == ["add", "same", "ask_w"]
    assert "port" not in vars(worker)


def test_the_tool_does_not_run_by_itself() -> None:
    """Whoever calls its function without the loop of an agent is told so: there is nothing that would bound it."""
    with pytest.raises(SettingsError, match="does not run by itself"):
        asyncio.run(Delegate(agent([])).tool.function(message="hi"))
