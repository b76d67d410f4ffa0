from __future__ import annotations

import time
from typing import Any

import pytest

from tachograph.agent.loop import VERIFICATION
from tachograph.agent.spec import Verify
from tachograph.events.note import Note
from tachograph.providers.scripted import ScriptedModel
from tachograph.testing import Captured
from tests.agent.running import agent, ran

pytestmark = pytest.mark.anyio


async def test_verification_sends_the_answer_back_with_what_is_wrong(events: Captured) -> None:
    """A function says why; the corrected answer passes."""
    checked: list[str] = []

    async def check_it(answer: str) -> bool | str:
        checked.append(answer)
        return True if answer == "4" else "2 + 2 is not 5"

    model = ScriptedModel(["5", "4"])
    found = await ran(agent(model, verify=Verify(check_it)), events)
    assert (found.answer, checked) == ("4", ["5", "4"])
    assert model.requests[1].messages[-1].text == "2 + 2 is not 5"
    refused = [event.body for event in events.of(Note) if event.body.name == "gate_refused"]
    assert len(refused) == 1
    assert VERIFICATION in (refused[0].data.text or "")


async def test_a_command_verifies_an_answer(events: Captured) -> None:
    """The answer is on its standard input; what it prints is what the model is told."""
    script = ["no", "yes please"]
    found = await ran(agent(script, verify=Verify(("grep", "-q", "please"))), events)
    assert found.answer == "yes please"


async def test_a_plain_function_may_block(events: Captured) -> None:
    """It runs in a thread, so the deadline holds."""

    def block(answer: str) -> bool:
        time.sleep(1)
        return True

    began = time.monotonic()
    found = await ran(agent(["4"] * 4, verify=Verify(block)), events, limits="0.3s")
    assert time.monotonic() - began < 0.3 + 0.25
    assert found.stop_reason == "deadline"


@pytest.mark.parametrize("kind", ["command", "function"])
async def test_a_check_that_cannot_be_made_does_not_agree(events: Captured, kind: str) -> None:
    """A command that is not there, a function that raises: the model is told, and the run is bounded."""

    def fail(answer: str) -> bool:
        raise TimeoutError("no line")

    checks: dict[str, Any] = {"command": ("/nowhere/check",), "function": fail}
    found = await ran(agent(["4"] * 4, verify=Verify(checks[kind])), events)
    assert found.stop_reason == "guardrail_block"
    assert {"command": "could not be started", "function": "TimeoutError: no line"}[kind] in found.detail
