"""Recorded calls as attempts: replies in every shape, failures as they were, and what belongs to which call."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import msgspec
import pytest

import tachograph
from tachograph.errors import ModelError, ReplayMismatch
from tachograph.events.call import CallEnded, CallMetered
from tachograph.events.chat import ToolUse, assistant, user
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.usage import MISSING, Usage
from tachograph.providers.port import Delta, Exchange, Reply, Request, TextDelta
from tachograph.providers.replay import ReplayModel
from tachograph.providers.scripted import Say
from tachograph.testing import capture
from tests.providers.recording import FIRST, SCRIPT, SECOND, drain, recorded, reply, with_contents


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """A run of two model calls."""
    return recorded(SCRIPT, FIRST, SECOND)


def test_a_failed_attempt_fails_again() -> None:
    """With the status, the waiting time and the text it had; the attempt after it is the next answer."""
    seen = Exchange(method="POST", url="http://x", status=429, retry_after=7.0)
    refused = ModelError("rate_limit", "slow down", provider="p", model="m", status=429, exchanges=(seen,))
    model = ReplayModel(recorded([refused, "Hello."], FIRST, FIRST))
    with pytest.raises(ModelError) as caught:
        drain(model, FIRST)
    error = caught.value
    assert (error.status, error.retry_after, error.safe, error.in_stream, error.partial) == (
        429,
        7.0,
        True,
        False,
        None,
    )
    assert (error.provider, error.model, "slow down" in str(error)) == ("p", "m", True)
    assert reply(model, FIRST).message.text == "Hello."
    model.done()


def test_half_a_reply_breaks_off_again() -> None:
    """What came before the error comes again, and is its partial reply; it is not safe to repeat."""
    cut = Say("half a wo", chunks=2, then=ModelError("network", "cut off", status=200))
    model = ReplayModel(recorded([cut], FIRST))
    pieces: list[Delta | Reply] = []

    async def main() -> None:
        async for piece in model.ask(FIRST):
            pieces.append(piece)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(ModelError) as caught:
        asyncio.run(main())
    error = caught.value
    assert isinstance(error.partial, Reply)
    assert (error.partial.message, error.safe, error.in_stream) == (assistant("half a wo"), False, True)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == "half a wo"


def cancel(_: Request) -> str:
    """What a program that gives up does in the middle of a call."""
    raise asyncio.CancelledError


def test_a_call_that_was_cancelled_or_never_ended_is_an_error() -> None:
    """Nobody can be answered with what never came."""
    cancelled = recorded([cancel], FIRST, fails=asyncio.CancelledError)
    with pytest.raises(ModelError, match="p m: cancelled: "):
        drain(ReplayModel(cancelled), FIRST)
    died = [event for event in recorded(["x"], FIRST) if not isinstance(event.body, CallEnded)]
    with pytest.raises(ModelError, match="has no end"):
        drain(ReplayModel(died), FIRST)


def test_usage_that_became_known_late_counts(events: list[Event]) -> None:
    """The last word on a call's usage is that of the replay."""
    ended = next(event for event in events if isinstance(event.body, CallEnded))
    late = Usage(input_uncached=100, basis="provider")
    more = msgspec.structs.replace(events[-1], seq=99, body=CallMetered(call=ended.step, usage=late))
    assert reply(ReplayModel([*events, more]), FIRST).usage == late


def test_calls_of_one_model_can_be_picked(events: list[Event]) -> None:
    """A run may have asked several."""
    assert (len(ReplayModel(events, model="m").calls), len(ReplayModel(events, model="n").calls)) == (2, 0)
    with ReplayModel(events, model="n"):
        pass


def test_a_reply_in_the_shape_of_another_wire_is_read() -> None:
    """Its text and its tool calls can be given; a completed call without a reply cannot."""
    blocks = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
    ]
    text = msgspec.json.encode({"role": "assistant", "content": blocks}).decode()
    events = with_contents(recorded(["x"], FIRST), lambda role, old: Content(text=text) if role == "assistant" else old)
    assert reply(ReplayModel(events), FIRST).message == assistant("Let me see.", ToolUse("t1", "add", '{"a":1}'))
    bare = [
        msgspec.structs.replace(event, body=msgspec.structs.replace(event.body, output=None))
        if isinstance(event.body, CallEnded)
        else event
        for event in events
    ]
    with pytest.raises(ReplayMismatch, match="no reply was recorded"):
        drain(ReplayModel(bare), FIRST)


def test_reminders_were_sent_and_are_no_part_of_the_conversation() -> None:
    """A request is compared with its reminders at its tail; the reply, which follows the conversation, is found."""
    reminder = user("<system-reminder>Be quick.</system-reminder>")
    call = tachograph.LLMCall("m", FIRST.messages, "p", reminders=(reminder,))
    with capture() as events, tachograph.run("answer"), tachograph.step(call) as step:
        step.reply = assistant("3.")
    asked = Request(messages=(*FIRST.messages, reminder))
    assert reply(ReplayModel(events), asked).message == assistant("3.")
    with pytest.raises(ReplayMismatch, match="2 messages were sent, 3 are recorded; the first more is the user's"):
        drain(ReplayModel(events), Request(messages=FIRST.messages))


def test_calls_of_several_runs_come_in_the_order_of_their_events() -> None:
    """A run and the one it started have trees of their own."""
    runs = [recorded([text], FIRST) for text in ("one", "two")]
    renamed = [msgspec.structs.replace(event, run="other") for event in runs[1]]
    with ReplayModel([*runs[0], *renamed]) as model:
        assert [reply(model, FIRST).message.text for _ in range(2)] == ["one", "two"]


def test_what_else_a_reply_brought_is_given_again() -> None:
    """Ids, tier, cost and sources; a usage that nobody told stays missing."""
    call = tachograph.LLMCall("m", FIRST.messages, "p")
    with capture() as events, tachograph.run("answer"), tachograph.step(call) as step:
        step.reply, step.finish_reason, step.response_id, step.served_tier = assistant("x"), "end_turn", "r1", "flex"
        step.reported_cost, step.metadata = Decimal("0.000002"), {"citations": ["https://example.org/a"]}
    assert reply(ReplayModel(events), Request(messages=FIRST.messages)) == Reply(
        message=assistant("x"), finish="stop", raw_finish="end_turn", usage=MISSING, served_tier="flex",
        response_id="r1", reported_cost=Decimal("0.000002"), citations=("https://example.org/a",),
    )  # fmt: skip
