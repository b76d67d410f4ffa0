from __future__ import annotations

import asyncio

import pytest

from tachograph.events.call import CallEnded
from tachograph.events.run import RunEnded
from tachograph.events.tool import ToolEnded
from tachograph.providers.port import TextDelta
from tachograph.providers.scripted import Call, Endless, Silent
from tachograph.testing import Captured
from tests.agent.running import agent, valid

pytestmark = pytest.mark.anyio


async def test_a_run_is_called_off_with_everything_closed(events: Captured) -> None:
    """`handle.cancel` in the middle of parallel tools: one end each, and a conversation that can go on."""
    running = asyncio.Event()

    async def wait(n: int) -> str:
        running.set()
        await asyncio.sleep(30)
        return "never"

    handle = agent([[Call("wait", {"n": n}) for n in range(3)]], tools=[wait]).start("go")
    await running.wait()
    assert handle.cancel()
    found = valid(await handle.outcome(), events)
    assert (found.status, found.stop_reason) == ("cancelled", "user_cancel")
    assert {event.body.state for event in events.of(ToolEnded)} == {"cancelled"}
    assert not handle.cancel()


async def test_a_cancelled_caller_gets_its_cancellation(events: Captured) -> None:
    """Cancelling the task that awaits `run` closes the run and passes the cancellation on."""
    task = asyncio.create_task(agent([Silent()]).run("go"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events.of(RunEnded)[0].body.status == "cancelled"
    assert events.of(CallEnded)[0].body.status == "cancelled"


async def test_leaving_a_stream_calls_the_run_off(events: Captured) -> None:
    """Nobody reads any more: the run ends as cancelled."""
    async with agent([Endless("and ", 0.001)]).stream("go") as stream:
        async for value in stream:
            if isinstance(value, TextDelta):
                break
    assert (await stream.outcome()).status == "cancelled"
