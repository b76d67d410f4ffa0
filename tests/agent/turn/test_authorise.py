from __future__ import annotations

from typing import Any

import pytest

from tachograph.agent.call import Onward
from tachograph.agent.guardrails.guardrail import Guardrail
from tachograph.agent.hooks import Block, Hooks, Moment, ReplaceInput
from tachograph.agent.people import waiting
from tachograph.agent.state import State, Told, advance
from tachograph.agent.tools.approval import Allow, Asked, Deny, Edit, Pause
from tachograph.agent.tools.tool import Tool
from tachograph.agent.turn.authorise import BARRED
from tachograph.events.chat import user
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.running import add, agent, names, ran, same
from tests.agent.teams import asks

pytestmark = pytest.mark.anyio


async def test_a_blocked_tool_is_told_why(events: Captured) -> None:
    """The tool does not run; its one end is `rejected`."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: Block("not that"))
    found = await ran(agent([Call("same"), "ok"], hooks=hooks), events)
    assert found.messages[2].text == "not that"
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]


async def test_what_needs_approval_is_asked_for(events: Captured) -> None:
    """Allowed, denied and edited: recorded with the decision, and the edit is checked like the model's own words."""
    decisions = iter([Allow(), Deny("too dear"), Edit({"a": 5, "b": 5}), Edit({"a": "many"})])
    tool = Tool.of(add, approve=True)
    calls = [Call("add", {"a": n, "b": n}) for n in range(4)]
    found = await ran(agent([calls, "done"], tools=[tool], approve=lambda asked: next(decisions)), events)
    texts = [message.text for message in found.messages if message.role == "tool"]
    assert texts[:3] == ["0", "Not allowed: too dear", "10"]
    assert "a" in texts[3]
    assert names(events) == ["approval_decided"] * 4


async def test_nobody_to_ask_is_a_no(events: Captured) -> None:
    """A tool that needs approval does not run without somebody who gives it."""
    found = await ran(agent([Call("add", {"a": 1, "b": 1}), "done"], tools=[Tool.of(add, approve=True)]), events)
    assert found.messages[2].text.startswith("Not allowed")
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected"]


async def test_edited_arguments_of_any_kind_can_be_recorded(events: Captured) -> None:
    """What somebody puts in place need not be JSON."""

    async def keep(thing) -> str:  # type: ignore[no-untyped-def]
        return "kept"

    tools = [Tool.of(keep, approve=True)]
    the_agent = agent([Call("keep", {"thing": 1}), "ok"], tools=tools, approve=lambda asked: Edit({"thing": object()}))
    assert (await ran(the_agent, events)).completed
    assert events.of(ToolEnded)[0].body.state == "completed"


async def test_what_a_hook_or_an_approver_does_to_arguments_is_theirs(events: Captured) -> None:
    """They see a copy: the tool and the record have the same arguments, whatever is done to that."""

    def spoil(holder: Any) -> None:
        holder.arguments["a"] = 100

    hooks = Hooks()
    hooks.on("pre_tool_use", spoil)

    def approve(asked: Asked) -> Allow:
        spoil(asked)
        return Allow()

    tools = [Tool.of(add, approve=True)]
    found = await ran(agent([Call("add", {"a": 1, "b": 2}), "ok"], tools=tools, hooks=hooks, approve=approve), events)
    assert found.messages[2].text == "3"
    assert events.of(ToolStarted)[0].body.arguments.text == '{"a":1,"b":2}'


async def test_what_is_refused_before_needs_nobody(events: Captured) -> None:
    """A hook or a guardrail says no: no person is asked about that call."""
    hooks, asked = Hooks(), list[Asked]()
    hooks.on("pre_tool_use", lambda moment: Block("not 1") if (moment.arguments or {})["a"] == 1 else None)
    guardrail = Guardrail(
        name="no 2", on="tool", of="arguments", check=lambda look: "not 2" if look.content["a"] == 2 else None
    )

    def approve(one: Asked) -> Allow:
        asked.append(one)
        return Allow()

    calls = [Call("add", {"a": n, "b": 0}) for n in (1, 2, 3)]
    one = agent([calls, "ok"], tools=[Tool.of(add, approve=True)], hooks=hooks, guardrails=[guardrail], approve=approve)
    await ran(one, events)
    assert [dict(one.arguments) for one in asked] == [{"a": 3, "b": 0}]
    assert [event.body.state for event in events.of(ToolEnded)] == ["rejected", "rejected", "completed"]


async def test_a_call_of_a_tool_that_does_not_exist_asks_nobody(events: Captured) -> None:
    """Neither hooks nor people are asked about what cannot be run."""
    seen, hooks = list[Moment](), Hooks()
    hooks.on("pre_tool_use", seen.append)
    found = await ran(agent([Call("sub", {}), "ok"], hooks=hooks, approve=Pause()), events)
    assert (found.status, seen) == ("completed", [])
    assert events.of(ToolEnded)[0].body.state == "rejected"


async def test_what_a_hook_writes_must_fit_the_tool(events: Captured) -> None:
    """Arguments that a hook puts in place are checked like the model's own: the tool does not run with others."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda moment: ReplaceInput({"a": "many", "b": 1}))
    found = await ran(agent([Call("add", {"a": 1, "b": 1}), "ok"], hooks=hooks), events)
    assert "a" in found.messages[2].text
    assert "integer" in found.messages[2].text
    assert events.of(ToolEnded)[0].body.state == "rejected"


async def test_a_reply_waits_as_a_whole(events: Captured) -> None:
    """One call of two needs a person: neither runs, both stay open, and each request for one is recorded once."""
    tools = [Tool.of(add, approve=True), same]
    found = await agent([[Call("same"), Call("add", {"a": 1, "b": 1})]], tools=tools, approve=Pause()).run("go")
    assert (found.status, found.stop_reason, found.detail) == ("paused", "approval", "to be approved: add")
    assert events.of(ToolStarted) == []
    assert names(events) == ["approval_requested"]
    assert [message.role for message in found.messages] == ["user", "assistant"]


async def send(to: str, secret: str) -> str:
    """Send something."""
    return f"sent to {to}"


@pytest.mark.parametrize(
    ("arguments", "recorded", "runs"),
    [
        ({"to": "ann", "secret": "a"}, '{"secret":"[redacted] 77","to":"ann"}', False),
        ({"to": "bob", "secret": "a"}, '{"to":"ann","secret":"[redacted] 77"}', True),
        ({"to": f"key sk-{'a1B2' * 12}", "secret": "a"}, None, False),
    ],
)
async def test_what_a_person_does_not_want_made_again_is_not_made(
    events: Captured, arguments: dict[str, str], recorded: str | None, runs: bool
) -> None:
    """The same call, as the record has it, is refused; the model reads why. Another one of that tool runs."""
    tools = [Tool.of(send, redact=("secret",))]
    if recorded is None:  # what was masked on the way into the record
        await ran(agent([Call("send", arguments), "ok"], tools=tools), events)
        recorded = events.of(ToolStarted)[0].body.arguments.text
        assert "a1B2" not in (recorded or "")
    told = Told("effects", "not that", (waiting.recorded_as("send", recorded),))
    stands = advance(State(messages=(user("go"),)), told)
    found = await agent([Call("send", arguments), "ok"], tools=tools).run(None, onward=Onward(stands))
    assert found.messages[3].text == (f"sent to {arguments['to']}" if runs else BARRED)
    assert events.of(ToolEnded)[-1].body.state == ("completed" if runs else "rejected")


async def test_what_is_barred_above_is_barred_below(events: Captured) -> None:
    """A delegate does not make the call either, and nobody is asked about it."""
    worker = agent([Call("add", {"a": 1, "b": 2}), "not done"], name="worker", tools=[Tool.of(add, approve=True)])
    lead = agent([asks("worker"), "ok"], delegates=[worker], approve=Pause())
    barred = (waiting.recorded_as("add", '{"b": 2, "a": 1}'),)
    found = await lead.run(None, onward=Onward(State(messages=(user("go"),), barred=barred)))
    assert (found.status, found.children[0].messages[2].text) == ("completed", BARRED)
