from __future__ import annotations

from typing import Any

import pytest

from tachograph import Limits
from tachograph.agent.progress import (
    Limited,
    Nudged,
    SchemaRetried,
    ToolDone,
)
from tachograph.agent.tools.tool import Tool
from tachograph.providers.scripted import Call, ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import agent, ran

pytestmark = pytest.mark.anyio


async def test_redacted_arguments_stand_nowhere_in_the_record(events: Captured) -> None:
    """The tool gets the value, the record does not."""
    seen: list[str] = []

    async def login(motto: str) -> str:
        seen.append(motto)
        return "in"

    tool = Tool.of(login, redact=("motto",))
    found = await ran(agent([Call("login", {"motto": "ever onward"}), "done"], tools=[tool]), events)
    assert found.completed
    assert seen == ["ever onward"]
    assert all("ever onward" not in str(event.body) for event in events)
    assert found.messages[1].tool_calls[0].arguments == '{"motto":"ever onward"}'


async def test_everything_is_the_same_with_and_without_listeners(events: Captured) -> None:
    """Subscribers change nothing, also when they raise."""

    def rude(value: object) -> None:
        raise RuntimeError("no")

    def script() -> list[Any]:
        return [Call("add", {"a": 1, "b": 2}), Call("nope"), "3"]

    quiet = await agent(script()).run("go")
    handle = agent(script()).start("go")
    handle.emitter.subscribe(object, rude)
    loud = await handle
    assert quiet.messages == loud.messages
    assert quiet.spent == loud.spent
    assert handle.emitter.failed > 5


async def test_a_limit_that_nudges_tells_the_model_and_stops_nothing(events: Captured) -> None:
    """What is noticed at a request is said with the next one."""
    model = ScriptedModel([Call("same"), Call("same"), Call("same"), "7"])
    limits = Limits(llm_calls=2, modes={"llm_calls": "nudge"})
    assert (await agent(model, limits=limits).run("go")).answer == "7"
    said = "2 of 2 model calls are used. Come to an end now."
    assert [said in request.messages[-1].text for request in model.requests] == [False, False, False, True]


async def test_progress_tells_of_limits_nudges_and_corrections(events: Captured) -> None:
    """Each intervention is a value for subscribers too."""
    told: list[str] = []
    handle = agent([Call("same"), Call("same"), "", "x", "7"], output=int).start("go")
    handle.emitter.subscribe(
        (Limited, Nudged, SchemaRetried, ToolDone), lambda value: told.append(type(value).__name__)
    )
    assert (await handle).output == 7
    assert [name for name in told if name != "ToolDone"][-3:] == ["Limited", "Nudged", "SchemaRetried"]
