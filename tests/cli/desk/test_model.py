from __future__ import annotations

from collections.abc import Iterable

import pytest

from tachograph.cli.desk.model import Ask, Model, Overloaded, Reply
from tachograph.cli.desk.pace import SECOND, Pace
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.envelope import Event
from tachograph.record.run import run
from tachograph.testing import capture


def test_a_reply_is_streamed_and_counted() -> None:
    """The words arrive one by one after the thinking time, with usage, a reason, and requests for tools."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events, run("talk"):
        model = Model("gpt-4o-mini", pace, "Be kind.")
        model.hear({"role": "user", "content": "hello"})
        request = model.ask(iter([Reply("good day to you", (Ask("look", {"x": 1}),), 2.0)]))
    ended = _ended(events)[0]
    assert (ended.status, ended.finish_reason, ended.chunks) == ("completed", "tool_calls", 4)
    assert 2 * SECOND <= (ended.first_token_ns or 0) < 2.1 * SECOND
    assert ended.usage.input_uncached
    assert ended.usage.output
    assert request.reply["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"x":1}'}


def test_a_prompt_that_goes_on_is_read_from_the_cache() -> None:
    """What was sent before is not counted as new again."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events, run("talk"):
        model = Model("claude-haiku-4-5", pace, "Long instructions. " * 100)
        for text in ("one", "two"):
            model.hear({"role": "user", "content": text})
            model.ask(iter([Reply("yes")]))
    first, second = (ended.usage for ended in _ended(events))
    assert (first.cache_read, second.cache_read) == (0, first.input_uncached)


def test_an_overloaded_provider_is_asked_again_and_then_given_up() -> None:
    """Each attempt is a call of its own that names the first; the last failure is raised."""
    pace = Pace(0)
    with capture(clock=pace.clock()) as events, pytest.raises(Overloaded), run("talk"):
        Model("gpt-4o-mini", pace, "x").ask(iter([Reply(overloaded=True)] * 3))
    starts = [event.body for event in events if isinstance(event.body, CallStarted)]
    first = events.of(CallStarted)[0].seq
    assert [(body.attempt, body.retry_of) for body in starts] == [(1, None), (2, first), (3, first)]
    assert [ended.status for ended in _ended(events)] == ["failed"] * 3


def _ended(events: Iterable[Event]) -> list[CallEnded]:
    return [event.body for event in events if isinstance(event.body, CallEnded)]
