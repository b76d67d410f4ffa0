"""A model that follows a script: what it says, what it does not, and what a test learns from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from itertools import count
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.errors import ModelError, ReplayMismatch
from tachograph.events.chat import Message, ToolUse, assistant, user
from tachograph.events.usage import MISSING, Usage
from tachograph.providers.port import Delta, ReasoningDelta, Reply, Request, TextDelta, ToolDelta
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent, pieces, split

ASKED = Request(messages=(user("How many?"),))


def drain(model: ScriptedModel, request: Request = ASKED) -> list[Delta | Reply]:
    """Everything that one request brings."""

    async def main() -> list[Delta | Reply]:
        return [piece async for piece in model.ask(request)]

    return asyncio.run(main())


def reply(model: ScriptedModel, request: Request = ASKED) -> Reply:
    """What one request brings in the end."""
    last = drain(model, request)[-1]
    assert isinstance(last, Reply)
    return last


def whole(**changes: Any) -> Request:
    """A request for a reply in one piece."""
    return Request(messages=ASKED.messages, stream=False, **changes)


def test_a_text_is_a_reply_that_is_counted() -> None:
    """Four characters are a token, a begun one counts whole: nine in, two out."""
    with ScriptedModel(["Three."], name="m", provider="p", context_window=7) as model:
        said = drain(model)
    assert said == [
        TextDelta("Three."),
        Reply(
            message=assistant("Three."),
            finish="stop",
            usage=Usage(input_uncached=3, output=2, basis="provider"),
            raw_finish="stop",
            served_model="m",
        ),
    ]
    assert (model.model, model.provider, model.context_window, model.requests) == ("m", "p", 7, [ASKED])


def test_calls_are_numbered_and_keep_their_arguments() -> None:
    """A mapping is spelled as JSON, text stays as it is even when it is none; ids count over the whole script."""
    with ScriptedModel([Call("add", {"a": 1}), [Call("go", "{bro"), Call("go", id="same")]]) as model:
        assert drain(model)[0] == ToolDelta(0, "call_1", "add", '{"a":1}')
        two = reply(model)
    assert two.message == assistant("", ToolUse("call_2", "go", "{bro"), ToolUse("same", "go", "{}"))
    assert two.finish == "tool_calls"


def test_a_reply_in_detail_streams_in_pieces() -> None:
    """Thinking first, text and arguments in as many pieces as it says; usage and end as stated."""
    stated = Usage(input_uncached=9, output=1, basis="estimated")
    said = Say("abcde", (Call("f", "{1234}"),), stated, "length", chunks=2, reasoning="hm", served_model="m2")
    *deltas, last = drain(ScriptedModel([said]))
    assert deltas == [
        ReasoningDelta("hm"), TextDelta("abc"), TextDelta("de"),
        ToolDelta(0, "call_1", "f"), ToolDelta(0, arguments="{12"), ToolDelta(0, arguments="34}"),
    ]  # fmt: skip
    message = Message("assistant", "abcde", (ToolUse("call_1", "f", "{1234}"),), reasoning="hm")
    assert last == Reply(message=message, finish="length", usage=stated, raw_finish="length", served_model="m2")


def test_a_request_that_does_not_stream_gets_the_reply_alone() -> None:
    """No pieces; the stated pieces of a text are those of a stream."""
    assert len(drain(ScriptedModel([Say("a b", chunks=("a ", "b"))]), whole())) == 1
    assert drain(ScriptedModel([Say("a b", chunks=("a ", "b"))]))[:2] == [TextDelta("a "), TextDelta("b")]


def test_usage_can_be_left_out() -> None:
    """As some providers do: the figures are missing, not zero."""
    assert reply(ScriptedModel([Say("x", usage=MISSING)])).usage == MISSING


def test_a_function_answers_by_the_request() -> None:
    """A function in place of a script is asked for ever; one inside a script once."""
    echo: Callable[[Request], str] = lambda request: request.messages[-1].text.upper()  # noqa: E731
    with ScriptedModel(echo) as model:
        assert [reply(model).message.text for _ in range(2)] == ["HOW MANY?", "HOW MANY?"]
    with ScriptedModel([echo, "then this"]) as model:
        assert [reply(model).message.text for _ in range(2)] == ["HOW MANY?", "then this"]


def test_a_generator_is_a_script_without_end() -> None:
    """Answers can be made as they are needed."""
    model = ScriptedModel(f"number {number}" for number in count(1))
    assert [reply(model).message.text for _ in range(3)] == ["number 1", "number 2", "number 3"]


def test_an_error_is_raised_and_may_come_in_the_middle() -> None:
    """An exception is an answer; behind a text it interrupts the stream, and a ModelError carries what came."""
    refused, broken = ModelError("rate_limit", "wait"), ModelError("network", "cut")
    model = ScriptedModel([refused, Say("half a", then=broken), OSError("any")])
    with pytest.raises(ModelError) as first:
        drain(model)
    assert (first.value, first.value.partial, first.value.in_stream) == (refused, None, False)
    with pytest.raises(ModelError) as second:
        drain(model)
    assert second.value is broken
    assert isinstance(broken.partial, Reply)
    assert (broken.partial.message, broken.in_stream) == (assistant("half a"), True)
    with pytest.raises(OSError, match="any"):
        drain(model)


def test_one_request_too_many_fails_at_once_and_at_the_end() -> None:
    """Also where somebody swallows the first error, leaving the context tells."""
    model = ScriptedModel(["only"])
    drain(model)
    with pytest.raises(ReplayMismatch, match="answer 2: the script has 1 answers") as caught:
        drain(model)
    assert caught.value.position == 2
    with pytest.raises(ReplayMismatch, match="answer 2"):
        model.done()


def test_an_unused_answer_fails_at_the_end() -> None:
    """Unless another error ended the block: that one is not hidden."""
    with pytest.raises(ReplayMismatch, match="answer 2: the script has an answer"), ScriptedModel(["a", "b"]) as model:
        drain(model)
    with pytest.raises(ZeroDivisionError), ScriptedModel(["a"]):
        _ = 1 / 0


def test_not_strict_repeats_the_last_answer() -> None:
    """Nothing is unexpected and nothing must be used; a script without any answer still has none."""
    with ScriptedModel(["a", "b", "c"], strict=False) as model:
        drain(model)
    with ScriptedModel(["a", "b"], strict=False) as model:
        assert [reply(model).message.text for _ in range(4)] == ["a", "b", "b", "b"]
    with pytest.raises(ReplayMismatch, match="answer 1"):
        drain(ScriptedModel([], strict=False))


def test_an_endless_stream_ends_with_the_time_of_the_request() -> None:
    """What came is its partial reply; a consumer that stops reading earlier stops it."""
    model = ScriptedModel([Endless("so "), Endless("on ")])
    with pytest.raises(ModelError, match="timeout: no whole reply in time") as caught:
        drain(model, Request(messages=ASKED.messages, timeout=0.05))
    assert isinstance(caught.value.partial, Reply)
    assert caught.value.partial.message.text.startswith("so so ")

    async def read_three() -> int:
        async with aclosing(model.ask(ASKED)) as stream:  # type: ignore[type-var]  # a generator, which has aclose
            return len([await anext(stream) for _ in range(3)])

    assert asyncio.run(read_three()) == 3


@pytest.mark.parametrize(
    ("answer", "limits", "said"),
    [
        (Silent(), {"timeout": 0.03}, "no whole reply"),
        (Silent(), {"first_content": 0.03}, "no content"),
        (Silent("then nothing"), {"silence": 0.03, "first_content": 9.0}, "no content"),
        (Say("late", seconds=5), {"first_content": 0.03, "timeout": 60.0}, "no content"),
        (Say("slow", seconds=5, chunks=4), {"timeout": 0.03}, "no whole reply"),
    ],
)
def test_silence_lasts_as_long_as_the_request_allows(answer: Any, limits: Any, said: str) -> None:
    """Whole reply, first content and pauses have limits of their own; only those that are set count."""
    with pytest.raises(ModelError, match=f"timeout: {said} in time") as caught:
        drain(ScriptedModel([answer]), Request(messages=ASKED.messages, **limits))
    error = caught.value
    assert (error.category, error.safe, error.in_stream) == ("timeout", False, bool(getattr(answer, "text", "")[4:]))


@pytest.mark.parametrize("answer", [Silent(heeds=False), Endless(heeds=False)])
def test_a_model_can_ignore_the_time_of_its_request(answer: Any) -> None:
    """Then whoever asks has to hold it: cancelling works."""

    async def main() -> None:
        async with asyncio.timeout(0.05):
            async for _ in ScriptedModel([answer]).ask(Request(messages=ASKED.messages, timeout=0.001)):
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_delay_counts_into_the_time() -> None:
    """Before each answer."""
    with pytest.raises(ModelError, match="timeout"):
        drain(ScriptedModel(["x"], delay=5), Request(messages=ASKED.messages, timeout=0.02))
    assert reply(ScriptedModel(["x"], delay=0.001)).message.text == "x"


def test_threads_share_a_script() -> None:
    """Each answer goes out once, whoever asks."""
    model, texts = ScriptedModel([str(number) for number in range(40)]), list[str]()
    threads = [Thread(target=lambda: texts.extend(reply(model).message.text for _ in range(10))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    model.done()
    assert sorted(texts, key=int) == [str(number) for number in range(40)]


def test_a_longer_conversation_is_counted_from_where_it_was() -> None:
    """The count of a request does not depend on what was asked before it."""
    first, second = (user("12345678"),), (user("12345678"), assistant("1234"), user("1"))
    model = ScriptedModel(lambda _: "")
    figures = [reply(model, Request(messages=messages)).usage.input_uncached for messages in (first, second, first)]
    assert figures == [2, 4, 2]


@given(st.text(), st.integers(-2, 40))
def test_pieces_make_up_the_whole(text: str, parts: int) -> None:
    """Splitting loses nothing, makes no empty piece, and no more pieces than asked for."""
    found = list(split(text, parts))
    assert "".join(found) == text
    assert all(found)
    assert len(found) <= max(parts, 1)
    streamed = list(pieces(assistant(text, ToolUse("i", "n", text)), max(parts, 1)))
    assert "".join(piece.text for piece in streamed if isinstance(piece, TextDelta)) == text
    assert "".join(piece.arguments for piece in streamed if isinstance(piece, ToolDelta)) == text
