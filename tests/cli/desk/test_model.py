from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.pace.retry import Retry
from tachograph.cli.desk.model import Model, Turn
from tachograph.cli.desk.pace import SECOND, Pace
from tachograph.errors import ModelError
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.chat import Message, system, user
from tachograph.events.usage import Usage
from tachograph.providers.port import Delta, Reply, Request, TextDelta, ToolDelta
from tachograph.providers.scripted import Call
from tachograph.testing import Captured, capture
from tests.agent.running import names


@pytest.fixture
def pace() -> Pace:
    """A clock that jumps."""
    return Pace(0)


@pytest.fixture
def events(pace: Pace) -> Iterator[Captured]:
    """Everything that the test records, at that pace."""
    with capture(clock=pace.clock()) as found:
        yield found


def _asked(model: Model, *messages: Message) -> Sequence[Delta | Reply]:
    async def drained() -> Sequence[Delta | Reply]:
        return [piece async for piece in model.ask(Request(messages=messages))]

    return asyncio.run(drained())


def test_a_turn_comes_word_by_word_and_is_counted(pace: Pace) -> None:
    """Words and requests for tools arrive after the thinking time; nobody really waits; the reply has its usage."""
    model = Model("gpt-4o-mini", pace, [Turn("good day to you", (Call("look", {"x": 1}),), 2.0)])
    began = pace.clock().mono()
    *pieces, reply = _asked(model, system("Be kind."), user("hello"))
    words = ("good ", "day ", "to ", "you ")
    assert pieces == [*map(TextDelta, words), ToolDelta(0, "call_1", "look", '{"x":1}')]
    assert isinstance(reply, Reply)
    assert (reply.message.text, reply.finish, model.provider) == ("good day to you", "tool_calls", "openai")
    assert reply.usage == Usage(input_uncached=17, cache_read=0, cache_write=0, output=15, basis="provider")
    assert 2.08 * SECOND <= pace.clock().mono() - began < 2.09 * SECOND


def test_a_prompt_that_goes_on_is_read_from_the_cache(pace: Pace) -> None:
    """What was sent before is not counted as new again."""
    model = Model("claude-haiku-4-5", pace, [Turn("yes"), Turn("no")])
    begin = (system("Long instructions. " * 100), user("one"))
    *_, first = _asked(model, *begin)
    *_, second = _asked(model, *begin, user("two"))
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert (first.usage.cache_read, second.usage.cache_read) == (0, first.usage.input_uncached)
    assert second.usage.input_uncached


def test_a_model_of_the_back_room_is_nobody_elses(pace: Pace) -> None:
    """It belongs to no provider that has prices."""
    assert Model("back-room-7b", pace, ()).provider == "back-room"


def test_an_overloaded_provider_is_asked_again_and_then_given_up(pace: Pace, events: Captured) -> None:
    """Each attempt is a call of its own that names the first, each new one is noted; the run says why it failed."""
    model = Model("gpt-4o-mini", pace, [Turn(overloaded=True, seconds=1.0)] * 3)
    outcome = Agent(name="talk", model=model, retry=Retry(base=0.0)).run_sync("hello")
    first = events.of(CallStarted)[0].seq
    starts = [(event.body.attempt, event.body.retry_of) for event in events.of(CallStarted)]
    assert starts == [(1, None), (2, first), (3, first)]
    assert [(event.body.status, event.body.http_status) for event in events.of(CallEnded)] == [("failed", 529)] * 3
    notes = ["llm_retry_attempt", "llm_retry_attempt", "llm_retry_exhausted"]
    assert names(events) == notes
    assert (outcome.status, outcome.stop_reason, outcome.answer) == ("failed", "provider_error", None)
    assert isinstance(outcome.error, ModelError)
    assert outcome.error.category == "overloaded"
