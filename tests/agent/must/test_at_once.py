"""Many runs at once: on one event loop, on many threads, in one tree; and what a busy machine does to deadlines."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tachograph.agent.agent import Agent
from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.hooks import Hooks
from tachograph.agent.pace.schedule import Bucket, Scheduler
from tachograph.agent.spec import Verify
from tachograph.agent.tools.command import command_tool
from tachograph.events.run import RunStarted
from tachograph.events.tool import ToolEnded
from tachograph.limits.text import parse
from tachograph.providers.port import Request
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent
from tachograph.record.clock import SYSTEM
from tachograph.testing import capture
from tests.agent.must import laws
from tests.agent.running import QUICK, agent

RUNS = 200
BACK = 0.25
"""Seconds after its deadline in which a run has given back control."""


async def echo(word: str) -> str:
    """Say it again, some time later."""
    await asyncio.sleep(random.random() / 100)
    return word


def own(number: int) -> list[Any]:
    """What the model of one run says: two tools beside each other, then what they said."""
    calls = [Call("echo", {"word": f"{number}a"}), Call("echo", {"word": f"{number}b"})]
    return [calls, Say(f"answer {number}", chunks=3)]


def is_own(found: Outcome[Any], number: int) -> bool:
    """Whether a run had what was its own and nothing of another's."""
    said = [message.text for message in found.messages]
    return said == [f"go {number}", "", f"{number}a", f"{number}b", f"answer {number}"] and found.completed


def test_two_hundred_runs_on_one_loop() -> None:
    """Each has its own messages, events and totals, and no more requests are under way than the scheduler allows."""
    scheduler = Scheduler(concurrency=20)
    most = [0]

    def watched(number: int) -> ScriptedModel:
        answers = iter(own(number))

        def say(request: Request) -> Any:
            most[0] = max(most[0], scheduler.active)
            return next(answers)

        return ScriptedModel(say, delay=0.001)

    async def whole() -> list[Outcome[Any]]:
        runs = (
            agent(watched(n), tools=[echo], scheduler=scheduler).run(f"go {n}", session=f"s{n % 7}", limits="9 turns")
            for n in range(RUNS)
        )
        return list(await asyncio.gather(*runs))

    with capture(clock=SYSTEM) as events:
        found = asyncio.run(whole())
    assert [number for number, outcome in enumerate(found) if not is_own(outcome, number)] == []
    assert most[0] == 20
    assert (scheduler.active, scheduler.waiting) == (0, 0)
    laws.hold(found, events)


def test_runs_from_eight_threads() -> None:
    """Each thread blocks on runs of its own; all of them share the recorder, the scheduler and one agent each way."""

    def answer(request: Request) -> Any:
        number = request.messages[0].text.removeprefix("go ")
        if request.messages[-1].role == "tool":
            return f"answer {number}"
        return [Call("echo", {"word": f"{number}a"}), Call("echo", {"word": f"{number}b"})]

    shared = agent(ScriptedModel(answer), tools=[echo], scheduler=Scheduler(concurrency=3))

    def thread(first: int) -> list[Outcome[Any]]:
        return [shared.run_sync(f"go {number}") for number in range(first, first + 8)]

    with capture(clock=SYSTEM) as events, ThreadPoolExecutor(8) as threads:
        found = [outcome for part in threads.map(thread, range(0, 64, 8)) for outcome in part]
    assert [number for number, outcome in enumerate(found) if not is_own(outcome, number)] == []
    laws.hold(found, events)


def test_threads_inside_one_run_share_its_limits() -> None:
    """Eight tools in threads, each with a run of its own inside, do not together pass what the outermost may."""
    model = ScriptedModel(lambda request: [Call("delegate", {"n": n, "m": len(request.messages)}) for n in range(8)])
    outcomes: list[Outcome[Any]] = []
    gate = threading.Barrier(8)

    def leaf(request: Request) -> Any:
        return Call("echo", {"word": str(len(request.messages))})

    def delegate(n: int, m: int) -> str:
        """Work in a thread.

        Args:
            n: which
            m: when
        """
        gate.wait(5)
        inner = agent(ScriptedModel(leaf), name=f"inner{n}", tools=[echo], limits=within)
        outcomes.append(inner.run_sync("go"))
        return outcomes[-1].stop_reason

    within = parse("9 turns, 40 model calls, 60 tool calls, depth 2, no loop detection, 60s")
    above = parse("25 turns, 19 model calls, 21 tool calls, depth 2, no loop detection, 60s")
    outer = Agent(name="outer", model=model, tools=[delegate], limits=above, retry=QUICK)
    with capture(clock=SYSTEM) as events:
        outcomes.append(outer.run_sync("go"))
    limits = {event.body.name: within if event.body.name != "outer" else above for event in events.of(RunStarted)}
    laws.counts_hold(events, laws.Tree(events, limits))
    laws.hold(outcomes, events)
    assert len(outcomes) == 9
    assert {outcome.stop_reason for outcome in outcomes} <= {"max_llm_calls", "max_tool_calls", "max_iterations"}


# ---- deadlines ------------------------------------------------------------------------------------------------------


async def hangs() -> str:
    """Sleep."""
    await asyncio.sleep(30)
    return "never"


async def stubborn() -> str:
    """Sleep, and do not be woken."""
    for _ in range(30):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            continue
    return "never"


def blocks() -> str:
    """Sleep in a thread."""
    time.sleep(1.5)
    return "late"


def _with(event: str, *, plain: bool) -> dict[str, Any]:
    hooks = Hooks()
    if plain:
        hooks.on(event, lambda moment: time.sleep(1.5))
    else:

        async def late(moment: Any) -> None:
            await asyncio.sleep(30)

        hooks.on(event, late)
    return {"hooks": hooks}


async def _inside() -> str:
    found = await agent([Call("hangs")], tools=[hangs], limits="20s").run("go")
    return found.stop_reason


_inside.__name__ = "inside"

SLOW: dict[str, Callable[[], tuple[list[Any], dict[str, Any]]]] = {
    "silent stream": lambda: ([Silent("hm")], {}),
    "deaf stream": lambda: ([Silent(heeds=False)], {}),
    "endless stream": lambda: ([Endless("and ", 0.01)], {}),
    "async tool": lambda: ([Call("hangs")], {"tools": [hangs]}),
    "stubborn tool": lambda: ([Call("stubborn")], {"tools": [stubborn]}),
    "thread": lambda: ([Call("blocks")], {"tools": [blocks]}),
    "many": lambda: ([[Call("hangs"), Call("blocks"), Call("stubborn")]], {"tools": [hangs, blocks, stubborn]}),
    "command": lambda: ([Call("sh")], {"tools": [command_tool("sh", "sleep 30 & wait")]}),
    "hook before": lambda: ([Call("hangs")], {"tools": [hangs], **_with("pre_tool_use", plain=False)}),
    "hook in a thread": lambda: (["hi"], _with("agent_stop", plain=True)),
    "hook after": lambda: ([Call("echo", {"word": "x"})], {"tools": [echo], **_with("post_tool_use", plain=False)}),
    "prompt hook": lambda: (["hi"], _with("user_prompt", plain=False)),
    "run in a tool": lambda: ([Call("inside")], {"tools": [_inside]}),
    "verification": lambda: (["hi"], {"verify": Verify(lambda answer: time.sleep(1.5))}),
    "verification by command": lambda: (["hi"], {"verify": Verify(("sleep", "30"))}),
    "approval": lambda: (
        [Call("asks")],
        {
            "tools": [{"name": "asks", "parameters": {"type": "object"}, "function": hangs, "approve": True}],
            "approve": lambda _: time.sleep(1.5),
        },
    ),
}


def on_time(*names: str, seconds: float = 0.4) -> list[Outcome[Any]]:
    """The outcomes of these runs, all at once, each back in time; the best of three tries counts."""

    async def whole() -> list[Outcome[Any]]:
        made = [SLOW[name]() for name in names]
        runs = (agent(script, limits=f"{seconds}s", **fields).run("go") for script, fields in made)
        return list(await asyncio.gather(*runs))

    late: list[Any] = []
    for _ in range(3):
        with capture(clock=SYSTEM) as events:
            found = asyncio.run(whole())
        laws.hold(found, events)
        took = {name: outcome.seconds for name, outcome in zip(names, found, strict=True)}
        late.append({name: spent for name, spent in took.items() if spent > seconds + BACK})
        if not late[-1]:
            return found
    raise AssertionError(late)


@pytest.mark.parametrize("name", SLOW)
def test_a_deadline_holds_whatever_is_slow(name: str) -> None:
    """Control is back within the deadline and a quarter of a second, and the run says that its time was over."""
    found = on_time(name)[0]
    assert (found.status, found.stop_reason) == ("failed", "deadline"), found.detail


def test_deadlines_hold_beside_each_other() -> None:
    """Four of each at once, on one loop: nobody's slowness is another's."""
    found = on_time(*[name for name in SLOW for _ in range(4)], seconds=1.0)
    assert {outcome.stop_reason for outcome in found} == {"deadline"}


def test_a_lie_about_usage_does_not_close_a_model_for_ever() -> None:
    """A reply that claims a million million tokens holds up whoever asks next for eleven minutes at most."""
    bucket = Bucket(1000, 0.0)
    bucket.take(10**12, 0.0)
    assert 600 <= bucket.wait(1000, 0.0) <= 660
    assert bucket.wait(1000, 660.0) == 0


def test_a_flood_of_calls_in_one_reply_costs_what_its_length_does() -> None:
    """Five run, thousands are refused, each ends once; and four times as many take no sixteen times as long."""

    def flood(size: int) -> float:
        calls = [Call("echo", {"word": str(number)}, id="x") for number in range(size)]
        with capture() as events:
            began = time.process_time()
            found = agent([calls], tools=[echo], limits="5 tool calls").run_sync("go")
            took = time.process_time() - began
        laws.starts_end_once(events)
        states = Counter(event.body.state for event in events.of(ToolEnded))
        assert (found.stop_reason, states) == ("max_tool_calls", {"completed": 5, "rejected": size - 5})
        return took

    assert min(flood(4_000) for _ in range(3)) < 10 * min(flood(1_000) for _ in range(3))
