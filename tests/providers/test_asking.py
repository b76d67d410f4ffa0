"""A model's answer, held to what the port promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tachograph.errors import ModelError
from tachograph.events.chat import assistant, user
from tachograph.providers.asking import pieces, waited, whole
from tachograph.providers.port import Delta, Reply, Request, TextDelta
from tachograph.providers.scripted import Endless, Say, ScriptedModel, Silent

REPLY = Reply(message=assistant("ab"), finish="stop")


class Port(ScriptedModel):
    """Says these, whatever they are; fails while it is closed, if it is told to."""

    def __init__(self, *said: Any, untidy: bool = False) -> None:
        super().__init__([], name="m")
        self.said, self.untidy, self.closed = said, untidy, 0

    async def ask(self, request: Request) -> AsyncIterator[Delta | Reply]:
        """All of it."""
        try:
            for one in self.said:
                if isinstance(one, BaseException):
                    raise one
                yield one
        finally:
            self.closed += 1
            if self.untidy:
                raise OSError("cannot close")


def request(**facts: Any) -> Request:
    """One that streams."""
    return Request(messages=(user("x"),), **{"timeout": 5.0, **facts})


async def drained(port: ScriptedModel, **facts: Any) -> list[Any]:
    """What came, and the category of the error that ended it."""
    found: list[Any] = []
    try:
        async for piece in pieces(port, request(**facts)):
            found.append(piece)  # noqa: PERF401 - what came before an error counts
    except ModelError as error:
        found.append((error.category, error.provider, error.model, error.in_stream))
    return found


def test_pieces_come_as_they_are_said() -> None:
    """And the reply last, after which nothing is heard and the model is closed."""
    port = Port(TextDelta("a"), TextDelta("b"), REPLY, TextDelta("late"))
    assert asyncio.run(drained(port)) == [TextDelta("a"), TextDelta("b"), REPLY]
    assert port.closed == 1


@pytest.mark.parametrize("said", [(), (TextDelta("a"),)])
def test_an_end_without_a_reply_is_an_error(said: tuple[Any, ...]) -> None:
    """A stream that merely stops is never whole."""
    error = ("network", "scripted", "m", bool(said))
    assert asyncio.run(drained(Port(*said))) == [*said, error]


@pytest.mark.parametrize(
    ("answer", "begun"),
    [(Silent(heeds=False), False), (Silent("a", heeds=False), True), (Endless("a", seconds=0.01, heeds=False), True),
     (Endless("a", heeds=False), True)],
)  # fmt: skip
def test_time_is_up_for_a_model_that_does_not_look_at_the_clock(answer: Any, begun: bool) -> None:
    """Whether it says nothing, or does not stop."""
    found = asyncio.run(drained(ScriptedModel([answer], name="m"), timeout=0.05))
    assert found[-1] == ("timeout", "scripted", "m", begun)


def test_a_model_s_own_timeout_is_not_taken_for_ours() -> None:
    """What it raises passes."""
    with pytest.raises(TimeoutError, match="mine"):
        asyncio.run(whole(Port(TimeoutError("mine")), request()))


def test_what_was_said_survives_an_untidy_end(caplog: pytest.LogCaptureFixture) -> None:
    """A model that fails while it is closed has answered; the log has it."""
    assert asyncio.run(whole(Port(REPLY, untidy=True), request())) == REPLY
    assert [record.message for record in caplog.records] == ["a model's stream could not be closed"]


def test_leaving_early_closes_the_model() -> None:
    """At once."""
    port = Port(TextDelta("a"), TextDelta("b"), REPLY)

    async def leave() -> None:
        stream = pieces(port, request())
        await anext(stream)
        await stream.aclose()
        assert port.closed == 1

    asyncio.run(leave())


def test_an_iterator_that_cannot_be_closed_will_do() -> None:
    """The port asks for no more than an iterator."""

    class Plain(ScriptedModel):
        def ask(self, request: Request) -> Any:
            return Once(iter([REPLY]))

    class Once:
        def __init__(self, said: Iterator[Any]) -> None:
            self.said = said

        def __aiter__(self) -> Any:
            return self

        async def __anext__(self) -> Any:
            return next(self.said)

    assert asyncio.run(whole(Plain([]), request())) == REPLY


def test_a_reply_can_be_waited_for_without_an_event_loop() -> None:
    """And inside one; the model's errors come out."""
    model = ScriptedModel([Say("a"), Say("b"), ModelError("auth", "no"), lambda _: Say(then=None)], name="m")
    assert waited(model, request()).message.text == "a"

    async def inside() -> None:
        assert waited(model, request()).message.text == "b"

    asyncio.run(inside())
    with pytest.raises(ModelError, match="auth"):
        waited(model, request())


def test_a_model_that_is_called_off_is_an_ordinary_error_for_who_waits() -> None:
    """Nobody cancelled the caller."""
    with pytest.raises(ModelError) as raised:
        waited(Port(asyncio.CancelledError()), request())
    assert raised.value.category == "cancelled"
