"""How a team ends: called off from outside, or finished from inside."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.agent.chat import Chat
from tachograph.agent.hooks import FinishAgent, FinishRun, Hooks, Moment
from tachograph.agent.tools.tool import Tool
from tachograph.agent.transcript import check
from tachograph.events.tool import ToolEnded
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.running import agent
from tests.agent.teams import always, asks, ends, family, told, whole

pytestmark = pytest.mark.anyio


async def test_calling_off_the_asker_calls_off_everybody(events: Captured) -> None:
    """Three levels and two workers at once: each run ends for the reason that the first one was given."""
    reached = asyncio.Event()

    async def hang() -> str:
        """Wait."""
        reached.set()
        await asyncio.sleep(30)
        return "never"

    leaf = agent(always(Call("hang")), name="leaf", tools=[hang])
    worker = agent([asks("leaf")], name="worker", delegates=[leaf])
    lead = agent([[asks("worker"), asks("leaf")]], name="lead", delegates=[worker, leaf])
    chat = Chat(lead)
    handle = chat.start("go")
    await asyncio.wait_for(reached.wait(), 5)
    await asyncio.sleep(0.01)
    handle.cancel("superseded")
    found = whole(await handle.outcome(), events)
    assert sorted(ends(events)) == sorted(
        [(name, "cancelled", "superseded") for name in ("leaf", "leaf", "worker", "lead")]
    )
    assert told(found) == ["interrupted: this call did not finish, and nothing is known of its result"] * 2
    for one in (found, *family(found)):
        check(one.messages)
    check(chat.messages)


def finishing(event: str, effect: Any) -> Hooks:
    """Hooks with one that has an effect the first time it is asked at an event."""
    hooks = Hooks()
    left = [effect]

    def hook(moment: Moment) -> Any:
        return left.pop() if left else None

    hooks.on(event, hook)
    return hooks


@pytest.mark.parametrize("event", ["run_start", "pre_tool_use", "post_tool_use", "agent_step", "agent_stop"])
async def test_the_whole_run_can_be_finished_inside(events: Captured, event: str) -> None:
    """From two levels down, wherever the hook is asked: everybody above is completed with that answer."""
    leaf = agent([Call("same"), "x"], name="leaf", hooks=finishing(event, FinishRun("that is it")))
    worker = agent([asks("leaf")], name="worker", delegates=[leaf])
    found = whole(await agent([asks("worker")], name="lead", delegates=[worker]).run("go"), events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "tool_stop", "that is it")
    assert ends(events) == [(name, "completed", "tool_stop") for name in ("leaf", "worker", "lead")]
    assert told(found) == ["that is it"]


async def test_finishing_a_worker_finishes_the_worker(events: Captured) -> None:
    """`FinishAgent` is an answer for whoever asked, who goes on."""
    worker = agent([Call("same")], name="w", hooks=finishing("post_tool_use", FinishAgent("enough")))
    found = whole(await agent([asks("w"), "I see"], delegates=[worker]).run("go"), events)
    assert (found.stop_reason, found.answer, told(found)) == ("final_answer", "I see", ["enough"])


async def test_when_the_whole_run_is_finished_others_are_called_off(events: Captured) -> None:
    """Delegates beside it are cancelled, a plain tool that runs goes on to its end, one that waits does not begin."""
    reached, going = asyncio.Event(), asyncio.Event()

    async def hang() -> str:
        """Wait."""
        reached.set()
        await asyncio.sleep(30)
        return "never"

    async def finish() -> str:
        """Wait for the other to be at work."""
        await asyncio.wait_for(reached.wait(), 5)
        asyncio.get_running_loop().call_later(0.05, going.set)
        return "done"

    async def write() -> str:
        """Wait until after the end."""
        await asyncio.wait_for(going.wait(), 5)
        return "written"

    quick = agent([Call("finish")], name="quick", tools=[finish], hooks=finishing("post_tool_use", FinishRun("over")))
    slow = agent([Call("hang")], name="slow", tools=[hang])
    calls = [asks("slow"), asks("quick"), Call("write"), Call("add", {"a": 1, "b": 2})]
    lead = agent([calls], name="lead", tools=[write, Tool.of(_add, name="add")], delegates=[slow, quick], parallel=3)
    found = whole(await lead.run("go"), events)
    assert (found.status, found.stop_reason, found.answer) == ("completed", "tool_stop", "over")
    assert told(found) == [
        "called off: the whole run was finished by another call", "over", "written",
        "not run: the work was finished before it",
    ]  # fmt: skip
    states = {event.step: event.body.state for event in events.of(ToolEnded) if event.run == found.run_id}
    assert [states[place] for place in sorted(states)] == ["cancelled", "completed", "completed", "rejected"]
    assert ends(events) == [
        ("quick", "completed", "tool_stop"), ("slow", "cancelled", "user_cancel"), ("lead", "completed", "tool_stop"),
    ]  # fmt: skip


async def _add(a: int, b: int) -> int:
    """Add."""
    return a + b
