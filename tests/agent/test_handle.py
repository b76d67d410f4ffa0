from __future__ import annotations

import asyncio

import pytest

from tachograph.agent.progress import Emitter, RunDone
from tachograph.events.call import CallEnded
from tachograph.events.run import RunEnded
from tachograph.events.tool import ToolEnded
from tachograph.providers.port import TextDelta
from tachograph.providers.scripted import Call, Endless, Say, Silent
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


async def test_the_record_says_why_a_run_was_called_off(events: Captured) -> None:
    """The reason of `cancel` stands in the outcome and in the record."""
    handle = agent([Silent()]).start("go")
    await asyncio.sleep(0.05)
    handle.cancel("superseded")
    found = valid(await handle, events)
    assert found.stop_reason == events.of(RunEnded)[0].body.stop_reason == "superseded"


async def test_a_stream_of_a_run_that_never_began_ends(events: Captured) -> None:
    """Called off before its first step: the stream says so, and nobody waits for ever."""
    stream = agent(["ok"]).stream("go")
    stream.handle.cancel()
    async with asyncio.timeout(1):
        values = [value async for value in stream]
    assert [type(value) for value in values] == [RunDone]
    assert values[0].outcome.stop_reason == "user_cancel"


async def test_streams_that_share_listeners_do_not_hear_each_other(events: Captured) -> None:
    """Two runs tell one emitter; each stream has the values of its own run."""
    emitter, told = Emitter(), list[RunDone]()
    emitter.subscribe(RunDone, told.append)

    async def read(word: str) -> list[str]:
        stream = agent([Say(word, seconds=0.02)]).stream("go", emitter=emitter)
        return [value.outcome.answer async for value in stream if isinstance(value, RunDone)]

    found = await asyncio.gather(read("one"), read("two"))
    assert list(found) == [["one"], ["two"]]
    assert {value.outcome.answer for value in told} == {"one", "two"}
