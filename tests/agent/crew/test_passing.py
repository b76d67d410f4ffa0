from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.recorded import state_of
from tachograph.agent.team.handoff import Handoff
from tachograph.agent.tools.tool import Tool
from tachograph.errors import MissingExtra
from tachograph.events.chat import Message, ToolUse, assistant, result, system, user
from tachograph.events.run import StepEnded
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.crew.crews import handed, over, requests, steps, workers
from tests.agent.running import valid

pytestmark = pytest.mark.anyio

Conversation = tuple[Message, ...]


def without_tools(messages: Conversation) -> list[Message]:
    """What people and models said."""
    return [message for message in messages if message.role != "tool" and not message.tool_calls]


async def summary(messages: Conversation) -> list[dict[str, str]]:
    """One message in place of all."""
    return [{"role": "user", "content": f"{len(messages)} messages"}]


# ---- what is carried on ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "texts"), [
    (without_tools, ["B", "go"]),
    (summary, ["B", "5 messages"]),
    (lambda messages: (*messages, user("and?")), ["B", "go", "", "3", "", "Handed over to billing.", "and?"]),
    (lambda messages: summary(messages[1:]), ["B", "4 messages"]),
])  # fmt: skip
async def test_a_filter_says_what_the_next_agent_reads(
    events: Captured, wanted: Callable[[Conversation], Any], texts: list[str]
) -> None:
    """Plain or async, messages or plain values; the record says it before the next request does."""
    billing = over("billing", ["done"], instructions="B")
    script = [Call("add", {"a": 1, "b": 2}), Call("handoff_to_billing")]
    found = await handed(over("desk", script, Handoff(billing, input_filter=wanted), instructions="A"), events)
    assert [message.text for message in requests(billing)[0].messages] == texts
    assert [message.text for message in found.messages] == [*texts[1:], "done"]


def raising(messages: Conversation) -> Conversation:
    """A fault of the program's."""
    raise ValueError("secret words")


def sleeps(messages: Conversation) -> Conversation:
    """Longer than the run has."""
    time.sleep(0.6)
    return messages


async def exits(messages: Conversation) -> Conversation:
    """A fault that is no Exception."""
    raise SystemExit(3)


@pytest.mark.parametrize(("unwanted", "why"), [
    (raising, "secret words"),
    (exits, "SystemExit"),
    (lambda messages: messages[:2], "has no result"),
    (lambda messages: messages[2:], "no open call"),
    (lambda messages: (), "nothing is left"),
    (lambda messages: (system("Obey."), *messages), "instructions"),
    (lambda messages: "all", "messages"),
    (lambda messages: None, "gives"),
    (lambda messages: [{"role": "nobody"}], "role"),
])  # fmt: skip
async def test_what_no_provider_would_take_is_not_handed_over(
    events: Captured, unwanted: Callable[[Conversation], Any], why: str
) -> None:
    """The hand-off failed, once; the old agent reads so and goes on, and is told nothing of the program's faults."""
    desk = over(
        "desk", [Call("handoff_to_billing"), "I do it."], Handoff(over("billing", []), input_filter=unwanted),
        instructions="A",
    )  # fmt: skip
    found = await handed(desk, events)
    assert (found.answer, found.agent) == ("I do it.", "desk")
    assert found.messages[2].text == "Not handed over to billing: that failed. Go on without it."
    assert steps(events) == [("handoff to billing", "failed")]
    [error] = [event.body.error for event in events.of(StepEnded) if event.body.status == "failed"]
    assert why in f"{error.type} {error.message}"
    assert workers(events) == ["desk", "desk"]


async def test_a_filter_has_no_longer_than_the_run(events: Captured) -> None:
    """One that hangs in its thread ends with the deadline, and nothing is handed over."""
    desk = over("desk", [Call("handoff_to_billing")], Handoff(over("billing", []), input_filter=sleeps))
    found = await handed(desk, events, limits="0.1s")
    assert (found.stop_reason, found.agent) == ("deadline", "desk")
    assert steps(events) == [("handoff to billing", "failed")]


async def test_a_model_that_cannot_be_had_is_not_handed_over_to(events: Captured) -> None:
    """The next agent's model is made when it is needed; what is missing fails the hand-off, not the run."""

    class Missing(Agent):
        @property
        def port(self) -> Any:
            raise MissingExtra("model", "gpt-5-mini", "agents")

    billing = Missing(name="billing", model="gpt-5-mini")
    found = await handed(over("desk", [Call("handoff_to_billing"), "I do it."], billing), events)
    assert (found.answer, found.agent) == ("I do it.", "desk")


async def test_what_a_tool_hides_stays_hidden_in_messages_that_a_filter_made(events: Captured) -> None:
    """A filter may write calls anew; the next agent reads them in clear, the record does not."""

    async def login(motto: str) -> str:
        return "in"

    def anew(messages: Conversation) -> list[Message]:
        use = ToolUse("9", "login", '{"motto":"ever onward"}')
        return [user("go"), assistant("", use), result(use, "in")]

    billing = over("billing", ["done"])
    tools = [Tool.of(login, redact=("motto",))]
    desk = over("desk", [Call("handoff_to_billing")], Handoff(billing, input_filter=anew), tools=tools)
    await desk.run("go")
    assert requests(billing)[0].messages[1].tool_calls[0].arguments == '{"motto":"ever onward"}'
    assert all("ever onward" not in str(event.body) for event in events)


# ---- called off -----------------------------------------------------------------------------------------------------


async def test_a_run_that_is_called_off_in_a_hand_off_was_not_handed_over(events: Captured) -> None:
    """The step is cancelled, the call interrupted, the conversation valid, and the old agent the last at work."""
    reached = asyncio.Event()

    async def hangs(messages: Conversation) -> Conversation:
        reached.set()
        await asyncio.sleep(30)
        return messages

    desk = over("desk", [[Call("same"), Call("handoff_to_billing")]], Handoff(over("billing", []), input_filter=hangs))
    handle = desk.start("go")
    await reached.wait()
    handle.cancel()
    found = valid(await handle, events)
    assert (found.status, found.agent) == ("cancelled", "desk")
    assert [message.text[:11] for message in found.messages] == ["go", "", "the same", "interrupted"]
    assert steps(events) == [("handoff to billing", "cancelled")]
    assert state_of(events).visited == ("desk",)
