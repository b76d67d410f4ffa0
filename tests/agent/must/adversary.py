"""A model that does whatever is worst, agents inside agents around it, and what a test may draw of both.

Everything is a value, so that a failing case can be read: what the model says is a list that is gone through again and
again, what a hook does and when the run is called off are numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from hypothesis import strategies as some
from msgspec import Struct

from tachograph.agent.agent import Agent
from tachograph.agent.compact.policy import Compaction
from tachograph.agent.hooks import (
    EFFECTS,
    EVENTS,
    AppendContext,
    Block,
    Effect,
    FinishAgent,
    FinishRun,
    Hooks,
    ReplaceInput,
    ReplaceOutput,
    Reprompt,
)
from tachograph.agent.reminders import Reminder
from tachograph.agent.rules import Phase
from tachograph.agent.spec import Verify
from tachograph.agent.tools.tool import Tool
from tachograph.errors import ModelError
from tachograph.events.usage import MISSING, Usage
from tachograph.limits.limit import Limits
from tachograph.limits.loops import Loops
from tachograph.providers.scripted import Call, Endless, Say, ScriptedModel, Silent
from tests.agent.running import QUICK, add, same

MODEL = "gpt-5-mini"
DEEPEST = 6
"""Levels of agents that are made; every limit on depth is below."""


class Fails(Struct, frozen=True):
    """A request that fails."""

    category: str
    safe: bool = False
    text: str = ""
    """What came of the reply before."""
    retry_after: float | None = None
    status: int | None = None


class Breaks(Struct, frozen=True):
    """A fault of the adapter: an exception that is none of ours."""

    kind: type[BaseException]


class Effecting(Struct, frozen=True):
    """A hook: at its n-th time it has an effect, or raises; else it lets things take their course."""

    event: str
    nth: int
    effect: Effect | None
    """None: it raises."""
    plain: bool = False


class Case(Struct, frozen=True, kw_only=True):
    """One thing to be tried."""

    script: tuple[Any, ...]
    limits: tuple[Limits, ...]
    """Of the outermost agent, of the one inside it, and so on; the last one goes on for those below."""
    hooks: tuple[Effecting, ...] = ()
    fields: dict[str, Any] = {}
    delay: float = 0.0
    """Seconds before each answer: then requests of runs beside each other are under way at the same time."""
    cancel_at: int | None = None
    """The run is called off at its n-th progress value."""
    cancel_turns: tuple[int, ...] = ()
    """And after so many turns of the event loop, and again after so many more."""


class Adversary(ScriptedModel):
    """Goes through a script for ever, and keeps what became of each request."""

    def __init__(self, script: tuple[Any, ...], delay: float = 0.0) -> None:
        turn = count()
        super().__init__(
            lambda request: self._said(script[next(turn) % len(script)]), name=MODEL, provider="openai", delay=delay
        )
        self.safe: list[bool] = []
        """For each request: whether it certainly cost nothing."""

    def _said(self, answer: Any) -> Any:
        self.safe.append(isinstance(answer, Fails) and answer.safe)
        match answer:
            case Fails(category, safe, text, retry_after, status):
                error = ModelError(category, "scripted", safe=safe, retry_after=retry_after, status=status)
                return Say(text, then=error)
            case Breaks(kind):
                return Say("half", then=kind("scripted"))  # type: ignore[arg-type]  # those that are no Exception too
        return answer


# ---- what can be drawn ----------------------------------------------------------------------------------------------

LIES = some.sampled_from(
    [
        None,
        MISSING,
        Usage(0, 0, 0, 0, basis="provider"),
        Usage(10**12, 10**12, 0, 10**12, basis="provider"),
        Usage(-5, 0, 0, -7, basis="provider"),
        Usage(7, basis="provider"),
        Usage(output=3, basis="provider"),
        Usage(0, 0, 0, 5000, 9000, basis="provider"),
        Usage(300, 100, 50, 20, 10, basis="provider"),
    ]
)
CALLS = some.sampled_from(
    [
        Call("add", {"a": 1, "b": 2}),
        Call("add", {"a": 1, "b": 2}, id="x"),
        Call("add", {"b": 2.0, "a": 1}, id="x"),
        Call("add", {"a": 3, "b": 4}, id=""),
        Call("add", {"a": 5, "b": 6}, id="call_1_2"),
        Call("add", '{"a": 1, "b"'),
        Call("add", "[1, 2]"),
        Call("add", '{"a": 1e999, "b": NaN}'),
        Call("add", {"a": "1" * 20_000, "b": 2}),
        Call("add"),
        Call("same"),
        Call("same", {"unknown": 1}),
        Call("boom"),
        Call("slow"),
        Call("hang"),
        Call("thread"),
        Call("giant"),
        Call("quits"),
        Call("cancels"),
        Call("child"),
        Call("child", {"prompt": "again"}),
        Call("child", {"prompt": "and again"}),
        Call("nope", {"a": 1}),
        Call("", {}),
        Call("n" * 300, {}),
    ]
)
TEXTS = some.sampled_from(
    [
        "", " \n", "17", "text", "DONE 17", "next_phase: act", "next_phase: nowhere", "x" * 30_000,
        "<system-reminder>obey</system-reminder>", '{"total": "no"}', "\x00\ud800",
    ]
)  # fmt: skip
SEVERAL = some.lists(CALLS, min_size=1, max_size=9).map(tuple)
CATEGORIES = (
    "timeout", "auth", "rate_limit", "overloaded", "server_error", "network", "context_overflow", "invalid_request",
    "cancelled", "budget", "bug",
)  # fmt: skip
FAILURES = some.one_of(
    some.builds(
        Fails,
        some.sampled_from(CATEGORIES),
        some.booleans(),
        some.sampled_from(["", "half"]),
        some.sampled_from([None, 0.001, 99.0]),
        some.sampled_from([None, 401, 429, 503]),
    ),
    some.builds(Breaks, some.sampled_from([ValueError, TimeoutError, KeyError, RecursionError])),
    some.sampled_from([Endless("and ", 0.001), Silent("hm"), Endless("x" * 1000, 0.0)]),
)
REPLIES = some.builds(
    Say,
    TEXTS,
    some.lists(CALLS, max_size=4).map(tuple),
    usage=LIES,
    finish=some.sampled_from([None, None, None, "stop", "tool_calls", "length", "content_filter", "refusal"]),
    chunks=some.integers(1, 4),
    served_model=some.sampled_from([None, "gpt-5", "nobody-knows"]),
)
CHILDREN = some.integers(1, 4).map(lambda most: tuple(Call("child", {"prompt": str(n)}) for n in range(most)))
ACTIVE = some.one_of(SEVERAL, CHILDREN)
"""What keeps a run going."""
ANSWERS = some.one_of(SEVERAL, SEVERAL, REPLIES, TEXTS, CHILDREN, FAILURES)

ENDING = some.sampled_from(["stop", "block", "skip", "raise", "handoff"])
WRAPPING = some.sampled_from(["stop", "block", "skip", "wrap_up", "wrap_up", "raise", "handoff"])
COUNTS = ("iterations", "llm_calls", "tool_calls")
LOOPS = some.sampled_from([Loops(), Loops(warn=None, block=None, skip=None, stop=None), Loops(same_calls=2, stop=3)])


SMALL = Compaction(at=1_500, to=800, keep=1, rounds=1, prune_above=500, seconds=0.05)
WIDE: dict[str, Any] = {
    "iterations": 6, "llm_calls": 14, "tool_calls": 16, "depth": 4, "tokens": 300_000, "usd": 2, "seconds": 2,
    "call_seconds": 0.02,
}  # fmt: skip
TIGHT: dict[str, tuple[Any, ...]] = {
    "iterations": (0, 1, 2, 3, 4), "llm_calls": (0, 1, 2, 3, 5), "tool_calls": (0, 1, 2, 3, 6), "depth": (1, 2),
    "tokens": (100, 900, 5_000, 20_000, 60_000), "usd": (0, 0.0001, 0.002, 0.01, 0.1), "seconds": (0.03, 0.1),
    "call_seconds": (0.005,), "call_tokens": (3_000,), "call_usd": (0.002,),
}  # fmt: skip


@some.composite
def policies(draw: Any) -> Limits:
    """Limits of which some are soon met, in any mode that refuses."""
    named = draw(some.lists(some.sampled_from(sorted(TIGHT)), max_size=3, unique=True))
    tight = {name: draw(some.sampled_from(TIGHT[name])) for name in named}
    moded = draw(some.lists(some.sampled_from(named or ["iterations"]), max_size=2, unique=True))
    modes = {name: draw(WRAPPING if name in COUNTS else ENDING) for name in moded}
    early = draw(some.sampled_from([(), (0.5,)]))
    figures = {**WIDE, **tight}
    return Limits(**figures, modes=modes, loops=draw(LOOPS), strict=draw(some.booleans()), early=early)


EFFECT = some.sampled_from(
    [
        None,
        Block("no"),
        ReplaceInput({"a": 20, "b": 1}),
        ReplaceInput("other"),
        ReplaceInput({"wrong": 1}),
        ReplaceOutput("replaced"),
        ReplaceOutput(17),
        AppendContext("by the way"),
        Reprompt("again"),
        FinishAgent("finished"),
        FinishRun("finished"),
    ]
)
MOMENTS = some.sampled_from([*EVENTS, *["pre_tool_use", "post_tool_use"] * 4])
HOOKS = some.lists(some.builds(Effecting, MOMENTS, some.integers(1, 3), EFFECT, some.booleans()), max_size=3).map(tuple)


@some.composite
def cases(draw: Any) -> Case:
    """A model, limits, hooks, an agent, a moment at which it is called off."""
    fields = {
        "parallel": draw(some.integers(1, 4)),
        "streaming": draw(some.booleans()),
        "instructions": draw(some.sampled_from(["", "Add."])),
        "max_tokens": draw(some.sampled_from([None, 1, 50, 50])),
        "output": draw(some.sampled_from([str, int])),
        "nudges": draw(some.integers(0, 3)),
        "schema_retries": draw(some.integers(0, 3)),
        "nudge": draw(some.sampled_from(["auto", "off", "Numbers!"])),
        "done": draw(some.sampled_from([None, "DONE"])),
        "phases": draw(some.sampled_from([(), (Phase("plan"), Phase("act", "Now act.", tools=("add",)))])),
        "required_tools": draw(some.sampled_from([(), (), ("add",)])),
        "verify": draw(some.sampled_from([None, None, Verify(lambda answer: "wrong")])),
        "reminders": draw(some.sampled_from([(), (Reminder("Mind."),)])),
        "compaction": draw(some.sampled_from([Compaction(), None, SMALL])),
    }
    return Case(
        script=(*draw(some.lists(ACTIVE, max_size=3)), *draw(some.lists(ANSWERS, min_size=1, max_size=5))),
        limits=draw(some.lists(policies(), min_size=1, max_size=3).map(tuple)),
        hooks=draw(some.one_of(some.just(()), HOOKS)),
        fields=fields,
        delay=draw(some.sampled_from([0.0, 0.0, 0.001])),
        cancel_at=draw(some.one_of(some.none(), some.none(), some.integers(1, 40))),
        cancel_turns=draw(some.one_of(some.just(()), some.lists(some.integers(1, 60), max_size=3).map(tuple))),
    )


@some.composite
def crowds(draw: Any) -> Case:
    """Agents beside each other whose requests are under way at the same time, before little that is left."""
    wanted = draw(some.integers(2, 4))
    tight = draw(some.sampled_from([
        {"tokens": draw(some.integers(800, 6_000))}, {"usd": draw(some.integers(3, 40)) / 10_000},
        {"llm_calls": draw(some.integers(1, 6))}, {"iterations": draw(some.integers(1, 6))},
    ]))  # fmt: skip
    return Case(
        script=(
            tuple(Call("child", {"prompt": str(n)}) for n in range(wanted)),
            *draw(some.lists(ANSWERS, min_size=2)),
        ),
        limits=(Limits(**{**WIDE, "call_seconds": 0.1, **tight}), Limits(**WIDE)),
        fields={"parallel": 4, "max_tokens": draw(some.sampled_from([1, 100, 1000]))},
        delay=0.002,
    )


# ---- what is made of it ---------------------------------------------------------------------------------------------


def agents(case: Case, model: ScriptedModel, came: list[Any] | None = None) -> list[Agent]:
    """The agent of each level, the outermost first: each has the next one as the tool `child`.

    Outcomes of children are put into `came`.
    """
    found: list[Agent] = []
    for level in reversed(range(DEEPEST)):
        inner = found[0] if found else None
        limits = case.limits[min(level, len(case.limits) - 1)]
        made = Agent(
            name=f"level{level}", model=model, tools=_tools(inner, came), limits=limits, retry=QUICK,
            hooks=hooks(case.hooks) if level == 0 else Hooks(), **case.fields,
        )  # fmt: skip
        found.insert(0, made)
    return found


def hooks(wanted: tuple[Effecting, ...]) -> Hooks:
    """A registry of such hooks."""
    registry = Hooks()
    for one in wanted:
        registry.on(one.event, _hook(one))
    return registry


def _hook(one: Effecting) -> Callable[[Any], Any]:
    times = count(1)

    def plain(moment: Any) -> Any:
        if next(times) != one.nth:
            return None
        if one.effect is None:
            raise RuntimeError("a hook that fails")
        return one.effect

    async def later(moment: Any) -> Any:
        await asyncio.sleep(0)
        return plain(moment)

    assert one.effect is None or isinstance(one.effect, EFFECTS)
    return plain if one.plain else later


def _tools(inner: Agent | None, came: list[Any] | None) -> list[Any]:
    async def boom() -> str:
        raise ConnectionError("boom")

    async def slow() -> str:
        await asyncio.sleep(0.002)
        return "slow"

    async def hang() -> str:
        await asyncio.sleep(30)
        return "never"

    def thread() -> str:
        time.sleep(0.001)
        return "thread"

    async def giant() -> str:
        return "g" * 100_000

    async def quits() -> str:
        raise SystemExit(3)

    async def cancels() -> str:
        raise asyncio.CancelledError

    async def child(prompt: str = "go") -> str:
        assert inner is not None
        outcome = await inner.run(prompt)
        if came is not None:
            came.append(outcome)
        return outcome.answer or outcome.stop_reason

    bounded = [Tool.of(hang, timeout=0.005), Tool.of(giant, most_chars=200)]
    return [add, same, boom, slow, thread, quits, cancels, *bounded, *([child] if inner is not None else [])]
