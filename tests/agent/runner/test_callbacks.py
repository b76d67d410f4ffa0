from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import pytest

from tachograph.agent.progress import Emitter
from tachograph.agent.runner import callbacks as module
from tachograph.agent.runner.callbacks import CONTINUING, Callbacks, Telling, accepted, told, watch
from tachograph.errors import SettingsError
from tachograph.providers.scripted import Call
from tachograph.testing import Captured
from tests.agent.running import agent

pytestmark = pytest.mark.anyio


async def _heard(script: Any, functions: dict[str, Any], **fields: Any) -> tuple[Any, Callbacks]:
    """A run with callbacks: its outcome, and what became of them."""
    callbacks, emitter = Callbacks(functions), Emitter()
    telling = Telling(callbacks)
    watch(emitter, telling, "go", {"state": {}})
    outcome = await agent(script, **fields).run("go", emitter=emitter)
    await telling.settle(5)
    return outcome, callbacks


def _all(heard: list[Any]) -> dict[str, Any]:
    def hear(name: str, *arguments: Any) -> None:
        heard.append((name, *arguments[:-1]))

    return {name: partial(hear, name) for name in module.ARGUMENTS}


async def test_what_a_run_does_is_told_in_order(events: Captured) -> None:
    """Thinking, tools and the end come in the order of the run, each with its arguments in the documented order."""
    heard: list[Any] = []
    outcome, callbacks = await _heard([Call("add", {"a": 1, "b": 2}), "3"], _all(heard))
    assert heard == [
        ("on_agent_thinking", "calc", "go"),
        ("on_tool_start", "add", {"a": 1, "b": 2}),
        ("on_tool_complete", "add", "3"),
        ("on_agent_thinking", "calc", CONTINUING),
        ("on_run_complete", "calc", outcome),
    ]
    assert (callbacks.failed, callbacks.late) == (0, 0)


async def test_a_tool_that_did_not_run_is_not_told(events: Captured) -> None:
    """A failing tool completes with an error text; one that was refused neither starts nor completes."""

    def broken() -> None:
        """Break."""
        raise RuntimeError("no")

    heard: list[Any] = []
    script = [(Call("broken"), Call("unknown")), "sorry"]
    await _heard(script, _all(heard), tools=[broken])
    tools = [item for item in heard if "tool" in item[0]]
    assert [item[:2] for item in tools] == [("on_tool_start", "broken"), ("on_tool_complete", "broken")]
    assert str(tools[1][2]).startswith("ERROR: ")


async def test_a_function_gets_what_it_accepts(events: Captured) -> None:
    """No argument, one, all, or any number; async functions too."""
    heard: list[Any] = []

    async def complete(name: str, *, extra: int = 0) -> None:
        heard.append((name, extra))

    functions = {
        "on_agent_thinking": lambda: heard.append("thinking"),
        "on_tool_start": lambda name, arguments: heard.append((name, arguments)),
        "on_tool_complete": complete,
        "on_run_complete": lambda *everything: heard.append(len(everything)),
        "on_agent_handoff": None,
    }
    await _heard([Call("add", {"a": 1, "b": 2}), "3"], functions)
    assert heard == ["thinking", ("add", {"a": 1, "b": 2}), ("add", 0), "thinking", 3]
    assert (accepted(complete), accepted(print), accepted(lambda a, b=1, /: a), accepted(dict)) == (1, None, 2, None)


async def test_a_callback_that_raises_is_counted_and_not_felt(events: Captured) -> None:
    """Every callback raises, and the run is the one it would have been."""

    def broken(*_: Any) -> None:
        raise RuntimeError("no")

    outcome, callbacks = await _heard([Call("same"), "done"], dict.fromkeys(module.ARGUMENTS, broken))
    assert (outcome.answer, callbacks.failed, callbacks.late) == ("done", 5, 0)


async def test_a_slow_callback_is_counted_and_not_waited_for(events: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that does not return holds up neither the run nor the next callback for longer than its time."""
    monkeypatch.setattr(module, "MOST_SECONDS", 0.05)
    heard: list[str] = []
    functions = {"on_agent_thinking": lambda: time.sleep(1), "on_run_complete": heard.append}
    outcome, callbacks = await _heard(["done"], functions)
    assert (outcome.answer, heard, callbacks.late) == ("done", ["calc"], 1)
    assert outcome.seconds < 1


async def test_what_a_callback_does_to_arguments_no_tool_sees(events: Captured) -> None:
    """The tool gets the model's arguments, whatever a callback makes of its own."""

    def spoil(_: str, arguments: dict[str, Any]) -> None:
        arguments["list"].append("spoilt")

    seen: list[Any] = []

    async def take(list: list[str]) -> None:  # noqa: A002 - the name that the model uses
        """Take a list."""
        await asyncio.sleep(0.02)
        seen.extend(list)

    await _heard([Call("take", {"list": ["a"]}), "done"], {"on_tool_start": spoil}, tools=[take])
    assert seen == ["a"]


def test_an_event_loop_that_ends_leaves_none_uncounted(events: Captured) -> None:
    """Callbacks that were not told when the loop closes are counted."""

    async def run() -> Callbacks:
        callbacks = Callbacks({"on_run_complete": lambda: time.sleep(0.3)})
        telling = Telling(callbacks)
        for _ in range(3):
            telling.tell("on_run_complete")
        await telling.settle(0.01)
        return callbacks

    assert asyncio.run(run()).late == 3


async def test_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond so many that wait, a call is counted and not kept."""
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    heard: list[str] = []
    callbacks = Callbacks({"on_run_complete": heard.append})
    telling = Telling(callbacks)
    for number in range(5):
        telling.tell("on_run_complete", str(number))
    await telling.settle(5)
    assert (heard, callbacks.late) == (["0", "1"], 3)


def test_unknown_callbacks_are_refused() -> None:
    """A name that there is not, and what cannot be called, are said at once."""
    with pytest.raises(SettingsError, match="on_tool_begin"):
        Callbacks({"on_tool_begin": print})
    with pytest.raises(SettingsError, match="something that can be called"):
        Callbacks({"on_tool_start": 5})  # type: ignore[dict-item]  # that is the mistake
    assert told("completed", "x") == "x"
