from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

import tachograph
from tachograph.agent.tools.execute import MOST_ERROR, NOTHING, Ran, execute, told
from tachograph.agent.tools.tool import Tool, ToolContext
from tachograph.errors import ToolError
from tachograph.events.chat import Media, Text
from tachograph.events.run import StepStarted
from tachograph.testing import Captured
from tests.agent.tools.timed import back_within

DEADLINE = 0.2
BACK = DEADLINE + 0.25
IMAGE = Media("image", "image/png", data=b"x")


@dataclass
class Place:
    """A value of a program's own."""

    name: str


class Model(pydantic.BaseModel):
    """A model."""

    count: int


class Odd:
    """Something JSON has no word for."""

    def __str__(self) -> str:
        return "odd"


class Mute(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("mute")


def run(function: Any, seconds: float | None = 5, late: Any = None, **arguments: Any) -> Ran:
    """One call of a function as a tool."""
    tool = Tool.of(function, name="work")
    return asyncio.run(execute(tool, arguments, ToolContext(tool="work"), seconds, late=late or (lambda ran: None)))


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
RESULTS: dict[str, tuple[Any, Any]] = {
    "text": ("said", "said"),
    "surrogate": ("\ud800", "\ufffd"),
    "nothing": (None, NOTHING),
    "number": (3, "3"),
    "list": (["a", 1, None], '["a",1,null]'),
    "empty": ([], "[]"),
    "values": ([Place("Ulm"), Odd(), Model(count=1)], '[{"name":"Ulm"},"odd",{"count":1}]'),
    "bytes": (b"raw \xff", "raw \ufffd"),
    "media": (IMAGE, (IMAGE,)),
    "parts": (["see", IMAGE, Text("?"), 3], (Text("see"), IMAGE, Text("?"), Text("3"))),
    "circle": (CIRCLE, "[[...]]"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "content"), list(RESULTS.values()), ids=list(RESULTS))
def test_a_result_becomes_text_or_parts(value: Any, content: Any) -> None:
    """Text and media as they are, everything else as JSON, and what JSON cannot say as text; sync and async alike."""

    def work() -> Any:
        return value

    async def later() -> Any:
        return value

    assert run(work) == run(later) == Ran("completed", content)


def test_generators_are_drained_and_joined() -> None:
    """Texts are joined, other items make a list; sync, async, and handed out by a plain function."""

    def texts() -> Iterator[str]:
        yield "a"
        yield "b"

    def numbers() -> Iterator[int]:
        yield from (1, 2)

    def silent() -> Iterator[str]:
        yield from ()

    async def later() -> AsyncIterator[str]:
        yield "a"
        await asyncio.sleep(0)
        yield "b"

    def handed() -> Any:
        return later()

    def awaited() -> Any:
        return asyncio.sleep(0, "slept")

    contents = [run(one).content for one in (texts, later, handed, awaited, numbers, silent)]
    assert contents == ["ab", "ab", "ab", "slept", "[1,2]", NOTHING]


def test_an_exception_is_told_by_type_and_message() -> None:
    """No stack trace, not too long; a ToolError says it in its own words; exits and timeouts are errors like others."""

    def raising(error: BaseException) -> Ran:
        def work() -> None:
            raise error

        async def later() -> None:
            raise error

        found = run(work)
        if not isinstance(error, KeyboardInterrupt):
            assert run(later) == found
        return found

    error = ValueError("no such key")
    assert raising(error) == Ran("failed", "ValueError: no such key", error)
    contents = [
        raising(error).content
        for error in (ToolError("Say it differently."), ToolError(), KeyError(), Mute(), TimeoutError("its own"))
    ]
    assert contents == [
        "Say it differently.", "The tool failed and gave no reason.", "KeyError", "Mute", "TimeoutError: its own",
    ]  # fmt: skip
    assert [raising(error).content for error in (SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError())] == [
        "SystemExit: 3", "KeyboardInterrupt", "CancelledError",
    ]  # fmt: skip
    assert len(told(ValueError("x" * 100_000))) < MOST_ERROR + 100


def test_a_result_that_cannot_be_shown_is_a_failure() -> None:
    """A value whose text raises costs the call, not the run."""

    def work() -> Any:
        return {(1, 2): Mute()}

    async def later() -> Any:
        return work()

    assert [run(one).content for one in (work, later)] == ["RuntimeError: mute"] * 2


def contextual(key: str, context: ToolContext) -> str:
    """A tool that wants to know."""
    return f"{context.tool} {key}"


def test_the_context_is_given() -> None:
    """It goes to the parameter annotated with it, arguments by name; a call that does not fit fails."""
    assert run(contextual, key="a") == Ran("completed", "work a")
    assert run(contextual).content == "TypeError: contextual() missing 1 required positional argument: 'key'"


def sleeping(how: str, seconds: float) -> Any:
    """A tool that takes too long, in several ways."""

    async def yields() -> str:
        await asyncio.sleep(seconds)
        return "late"

    async def swallows() -> str:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue
        return "late"

    def blocks() -> str:
        time.sleep(seconds)
        return "late"

    return {"yields": yields, "swallows": swallows, "blocks": blocks}[how]


STOPPED = "work did not finish within 0.2 s and was stopped. What it had begun may be half done."
LEFT = "work did not finish within 0.2 s. It may still be running; a result that comes later is not used."


@pytest.mark.parametrize(
    ("how", "state", "content"),
    [("yields", "cancelled", STOPPED), ("swallows", "abandoned", LEFT), ("blocks", "abandoned", LEFT)],
)
def test_control_is_back_on_the_deadline(how: str, state: str, content: str) -> None:
    """Whatever the tool does (but block the loop), within 250 ms; the model is told the seconds."""
    ran = back_within(BACK, lambda: run(sleeping(how, 30 if how != "blocks" else 2), DEADLINE))
    assert (ran.state, ran.content, type(ran.error).__mro__[1]) == (state, content, TimeoutError)


@pytest.mark.parametrize("how", ["swallows", "blocks"])
def test_a_late_result_is_told_and_not_used(how: str) -> None:
    """What comes of an abandoned call goes to `late`, once."""
    told_late = threading.Event()
    late: list[Ran] = []

    def tell(ran: Ran) -> None:
        late.append(ran)
        told_late.set()

    async def main() -> Ran:
        tool = Tool.of(sleeping(how, 0.5), name="work", timeout=DEADLINE)
        ran = await execute(tool, {}, ToolContext(), None, late=tell)
        await asyncio.sleep(0.5)
        return ran

    assert asyncio.run(main()).state == "abandoned"
    assert told_late.wait(5)
    assert late == [Ran("completed", "late")]


@pytest.mark.parametrize("how", ["yields", "swallows", "blocks"])
def test_the_callers_cancellation_passes_on(how: str) -> None:
    """In time, as CancelledError."""

    async def main() -> bool:
        tool = Tool.of(sleeping(how, 30 if how != "blocks" else 2), name="work")
        running = asyncio.ensure_future(execute(tool, {}, ToolContext(), 60, late=lambda ran: None))
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait((running,))
        return running.cancelled()

    assert back_within(0.1 + 0.25, lambda: asyncio.run(main()))


def test_an_endless_generator_ends_with_its_call() -> None:
    """A generator in a thread that nobody waits for is closed at its next item; its call is abandoned."""
    closed = threading.Event()

    def endless() -> Iterator[str]:
        try:
            while True:
                time.sleep(0.01)
                yield "x"
        finally:
            closed.set()

    assert run(endless, DEADLINE).state == "abandoned"
    assert closed.wait(5)


def test_without_time_nothing_begins() -> None:
    """A call for which no time is left does not run, and says so."""
    began: list[int] = []
    assert run(lambda: began.append(1), 0).content == "work was not begun: no time was left for it (0 s)."
    assert began == []


@pytest.mark.parametrize("how", ["thread", "loop"])
def test_steps_inside_a_tool_are_below_its_step(how: str, events: Captured) -> None:
    """The context of the caller is that of the tool, in a thread too."""

    def work() -> None:
        with tachograph.step("inside"):
            pass

    async def later() -> None:
        work()

    with tachograph.run("agent"), tachograph.step("outside") as outside:
        run(work if how == "thread" else later)
    inside = next(event for event in events.of(StepStarted) if event.body.name == "inside")
    assert inside.body.parent == outside.number


def test_a_late_callback_that_raises_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged; the thread that called it goes on."""

    def broken(ran: Ran) -> None:
        raise ValueError("cannot tell")

    assert run(sleeping("blocks", 0.3), 0.05, late=broken).state == "abandoned"
    deadline = time.monotonic() + 5
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [record.message for record in caplog.records] == ["what came too late could not be told"]
    assert sys.exc_info() == (None, None, None)
