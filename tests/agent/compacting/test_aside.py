from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tachograph.agent.call import Call as Asked
from tachograph.agent.call import begin
from tachograph.agent.compacting.aside import aside
from tachograph.agent.live import Live
from tachograph.agent.pace.schedule import Scheduler
from tachograph.errors import LimitExceeded, ModelError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import user
from tachograph.events.usage import Usage
from tachograph.providers.port import Reply, Request
from tachograph.providers.scripted import Say, ScriptedModel, Silent
from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio
BUSY = ModelError("overloaded", "busy", status=529, safe=True)


async def asked(model: ScriptedModel, seconds: float = 5.0, **fields: Any) -> tuple[Live, Reply]:
    """A run in which nothing is asked but aside."""
    one = agent([], **fields)
    live = begin(one, one.port, "go", Asked())
    request = Request(messages=(user("Sum up."),), max_tokens=50, stream=False)
    with live.record:
        return live, await aside(live, model, request, purpose="compaction", seconds=seconds)


async def test_it_is_recorded_like_any_other_request(events: Captured) -> None:
    """With its purpose, its own model and what it cost; the conversation's usage knows nothing of it."""
    used = Usage(input_uncached=9, output=3, basis="provider")
    live, reply = await asked(ScriptedModel([Say("so", usage=used)], name="gpt-5-mini", provider="openai"))
    assert reply.message.text == "so"
    (started,), (ended,) = events.of(CallStarted), events.of(CallEnded)
    assert (started.body.model, started.body.purpose, started.body.iteration) == ("gpt-5-mini", "compaction", None)
    assert started.body.reserved is not None
    assert (ended.body.status, ended.body.usage) == ("completed", used)
    assert (live.spent.llm_calls, live.spent.usage.output, live.last_usage.basis) == (1, 3, "missing")
    assert live.spent.nano_usd > 0


async def test_it_is_asked_again_as_the_agent_says(events: Captured) -> None:
    """Each attempt is one; what cannot be repeated is raised."""
    await asked(ScriptedModel([BUSY, BUSY, "so"]))
    assert [(event.body.attempt, event.body.retry_of is None) for event in events.of(CallStarted)] == [
        (1, True), (2, False), (3, False),
    ]  # fmt: skip
    with pytest.raises(ModelError, match="no such"):
        await asked(ScriptedModel([ModelError("invalid_request", "no such", status=400, safe=True)]))


async def test_it_has_its_time_and_no_more(events: Captured) -> None:
    """However long the run has left."""
    with pytest.raises(ModelError, match="timeout"):
        await asked(ScriptedModel([Silent()]), seconds=0.05)


async def test_it_waits_for_leave_only_so_long(events: Captured) -> None:
    """Nothing is sent, and nothing is recorded as sent."""
    scheduler, model = Scheduler(concurrency=1), ScriptedModel(["so"])
    async with scheduler.permit("elsewhere"):
        with pytest.raises(TimeoutError):
            await asked(model, seconds=0.05, scheduler=scheduler)
    assert (model.requests, events.of(CallStarted)) == ([], [])


async def test_it_is_admitted_or_refused(events: Captured) -> None:
    """A limit on the run holds for it."""
    with pytest.raises(LimitExceeded, match="token_budget"):
        await asked(ScriptedModel(["so"]), limits="10 tokens")


async def test_called_off_it_counts_as_an_attempt(events: Captured) -> None:
    """It has its end, and what was reserved for it is not forgotten."""
    task = asyncio.ensure_future(asked(ScriptedModel([Silent()])))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [event.body.status for event in events.of(CallEnded)] == ["cancelled"]
