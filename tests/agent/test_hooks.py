from __future__ import annotations

import asyncio
import functools
import re
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tachograph.agent.hooks import (
    EFFECTS,
    EVENTS,
    LEGAL,
    TOOL_EVENTS,
    AppendContext,
    Block,
    Continue,
    Effect,
    FinishAgent,
    FinishRun,
    Fired,
    Hooks,
    Moment,
    ReplaceInput,
    ReplaceOutput,
    Reprompt,
    Verdict,
)
from tachograph.agent.pace.bounded import THREADS_AT_ONCE, in_thread
from tachograph.errors import SettingsError
from tachograph.events.chat import ToolUse

CASES = [(event, effect) for event in EVENTS for effect in EFFECTS]
NAMES = [f"{event}-{effect.__name__}" for event, effect in CASES]


def fire(hooks: Hooks, moment: Moment) -> Verdict:
    """Ask the hooks, within ten seconds."""

    async def bounded() -> Verdict:
        async with asyncio.timeout(10):
            return await hooks.fire(moment)

    return asyncio.run(bounded())


def moment_of(event: str) -> Moment:
    """A moment with something in every field that an effect can change."""
    call = ToolUse("c1", "search", '{"q": 1}') if event in TOOL_EVENTS else None
    return Moment(event, prompt="hello", call=call, arguments={"q": 1}, result="found", answer="done")


def effect_of(event: str, kind: type[Effect]) -> Effect:
    """An effect with a value that fits the event."""
    made: dict[type[Effect], Effect] = {
        Continue: Continue(), Block: Block("no"), ReplaceOutput: ReplaceOutput("other"),
        ReplaceInput: ReplaceInput({"q": 2} if event in TOOL_EVENTS else "other"), AppendContext: AppendContext("note"),
        Reprompt: Reprompt("go on"), FinishAgent: FinishAgent("over"), FinishRun: FinishRun("all over"),
    }  # fmt: skip
    return made[kind]


def expected(event: str, effect: Effect) -> Verdict:
    """What one hook with this effect comes to where it is legal."""
    moment, field = moment_of(event), {"pre_tool_use": "result", "post_tool_use": "result", "agent_stop": "answer"}
    if isinstance(effect, ReplaceOutput):
        moment = moment.with_(**{field[event]: "other"})
    elif isinstance(effect, ReplaceInput):
        moment = moment.with_(arguments={"q": 2}) if event in TOOL_EVENTS else moment.with_(prompt="other")
    if isinstance(effect, AppendContext):
        return Verdict(moment, Continue(), ("note",))
    return Verdict(moment, effect)


@pytest.mark.parametrize(("event", "kind"), CASES, ids=NAMES)
@pytest.mark.parametrize("how", ["plain", "async", "declared"])
def test_a_legal_effect_works_and_an_illegal_one_is_an_error(event: str, kind: type[Effect], how: str) -> None:
    """Each event and each effect: what is legal has its effect, what is not is refused or counts as an error."""
    effect, hooks, legal = effect_of(event, kind), Hooks(), kind in LEGAL[event]

    async def later(_: Moment) -> Effect:
        return effect

    function: Any = later if how == "async" else lambda _: effect
    if how == "declared" and not legal:
        with pytest.raises(SettingsError, match=f"{event} hook .*{kind.__name__}"):
            hooks.on(event, function, effects=[kind])
        assert hooks.listed() == ()
        return
    hooks.on(event, function, name="one", effects=[kind] if how == "declared" else None)
    verdict = fire(hooks, moment_of(event))
    [fired] = verdict.fired
    if legal:
        wanted = expected(event, effect)
        assert (verdict.moment, verdict.effect, verdict.context) == (wanted.moment, wanted.effect, wanted.context)
        assert (fired.name, fired.effect, fired.error) == ("one", kind.__name__, "")
    else:
        refused = Block in LEGAL[event]
        assert fired.error == f"TypeError: it returned {kind.__name__}, which means nothing at {event}"
        assert verdict.moment == moment_of(event)
        assert verdict.context == ()
        assert isinstance(verdict.effect, Block if refused else Continue)
        assert fired.effect == type(verdict.effect).__name__


def test_the_matrix_is_whole() -> None:
    """Every event lets things take their course; blocking and ending are possible where something is still to come."""
    table = {event: sorted(effect.__name__ for effect in LEGAL[event] - {Continue}) for event in EVENTS}
    assert table == {
        "run_start": ["AppendContext", "Block", "FinishRun", "ReplaceInput"],
        "first_message": ["AppendContext", "Block"],
        "user_prompt": ["AppendContext", "Block", "FinishAgent", "FinishRun", "ReplaceInput"],
        "agent_step": ["AppendContext", "FinishAgent", "FinishRun"],
        "agent_stop": ["FinishRun", "ReplaceOutput", "Reprompt"],
        "pre_tool_use": ["AppendContext", "Block", "FinishAgent", "FinishRun", "ReplaceInput", "ReplaceOutput"],
        "post_tool_use": ["AppendContext", "FinishAgent", "FinishRun", "ReplaceOutput"],
        "context_warning": ["AppendContext"],
        "run_stop": ["Reprompt"],
    }
    assert all(Continue in LEGAL[event] for event in EVENTS)


def annotated(_: Moment) -> Block | None:
    """A hook whose annotation says what it may do."""
    return Block("annotated")


def fails(_: Moment) -> None:
    """A hook with a mistake."""
    raise ZeroDivisionError("division by zero")


class Guard:
    """A hook that is an object."""

    async def __call__(self, moment: Moment) -> ReplaceOutput | None:
        """Say who was asked."""
        return ReplaceOutput(f"guarded {moment.result}")


def test_an_annotation_declares_what_a_hook_may_return() -> None:
    """A return annotation that names effects is refused where they are illegal; a general one says nothing."""

    def anything(_: Moment) -> Effect | None:
        return None

    def unknown(_: Moment) -> "Nowhere":  # type: ignore[name-defined]  # noqa: F821, UP037 - that is the point
        return None

    hooks = Hooks()
    with pytest.raises(SettingsError, match="post_tool_use hook annotated: effects='Block' cannot be used"):
        hooks.on("post_tool_use", annotated)
    with pytest.raises(SettingsError, match="hook Guard: effects='ReplaceOutput'"):
        hooks.on("run_stop", Guard())
    for function in (anything, unknown):
        hooks.on("post_tool_use", function)
    hooks.on("pre_tool_use", annotated)
    assert [hook.effects for hook in hooks.listed()] == [
        LEGAL["post_tool_use"], LEGAL["post_tool_use"], frozenset({Block, Continue}),
    ]  # fmt: skip


def test_a_hook_keeps_to_what_it_declares() -> None:
    """An effect that is legal but not declared is the hook's error."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda _: FinishRun("over"), effects=[ReplaceInput], on_error="allow")
    [fired] = fire(hooks, moment_of("pre_tool_use")).fired
    assert fired.error == "TypeError: it returned FinishRun, which it does not declare"


@pytest.mark.parametrize(
    ("answer", "event", "error"),
    [
        ("no", "pre_tool_use", "it returned str, which is no effect"),
        (Block, "pre_tool_use", "it returned StructMeta, which is no effect"),
        (ReplaceInput(["q"]), "pre_tool_use", "it returned ReplaceInput without a mapping of arguments"),
        (ReplaceInput(7), "user_prompt", "it returned ReplaceInput without a text, or texts and media"),
        (AppendContext(None), "user_prompt", "it returned AppendContext without a text"),  # type: ignore[arg-type]
        (FinishRun(3), "user_prompt", "it returned FinishRun without a text"),  # type: ignore[arg-type]
    ],
    ids=["no-effect", "a-class", "no-mapping", "no-prompt", "no-context", "no-answer"],
)
def test_an_answer_that_is_no_effect_is_an_error(answer: Any, event: str, error: str) -> None:
    """What a hook returns by mistake is told as its error, and blocks where the event can be blocked."""
    hooks = Hooks()
    hooks.on(event, lambda _: answer, name="guard")
    verdict = fire(hooks, moment_of(event))
    assert verdict.fired[0].error == f"TypeError: {error}"
    assert verdict.effect == Block("This was not done, because the hook guard could not check it.")


@pytest.mark.parametrize("how", ["raises", "exits", "late", "late-async", "deaf", "cancels"])
@pytest.mark.parametrize("on_error", ["block", "allow", None])
def test_a_hook_that_fails_or_is_late_does_what_it_was_registered_for(how: str, on_error: Any) -> None:
    """Whatever goes wrong in a hook, control comes back in time and `on_error` decides; later hooks follow `allow`."""
    released = threading.Event()

    async def forever(_: Moment) -> None:
        await asyncio.sleep(60)

    async def deaf(_: Moment) -> None:
        for _time in range(4):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def cancels(_: Moment) -> None:
        raise asyncio.CancelledError

    function: dict[str, Callable[[Moment], Any]] = {
        "raises": fails, "exits": lambda _: sys.exit(3), "late": lambda _: released.wait(60),
        "late-async": forever, "deaf": deaf, "cancels": cancels,
    }  # fmt: skip
    hooks = Hooks()
    hooks.on("pre_tool_use", function[how], name="guard", timeout=0.2, on_error=on_error, priority=1)
    hooks.on("pre_tool_use", lambda _: AppendContext("asked"))
    began = time.monotonic()
    verdict = fire(hooks, moment_of("pre_tool_use"))
    took = time.monotonic() - began
    released.set()
    errors = {
        "raises": "ZeroDivisionError: division by zero", "exits": "SystemExit: 3", "cancels": "CancelledError: ",
    }  # fmt: skip
    assert verdict.fired[0].error == errors.get(how, "TimeoutError: no answer within 0.2 s")
    assert took < 0.2 + 1.5
    if on_error == "allow":
        assert (verdict.effect, verdict.context) == (Continue(), ("asked",))
    else:
        assert verdict.effect == Block("This was not done, because the hook guard could not check it.")
        assert len(verdict.fired) == 1


def test_on_error_blocks_only_where_something_can_be_blocked() -> None:
    """Where an event cannot be blocked, a hook's error is recorded and things take their course; `block` is refused."""
    hooks = Hooks()
    with pytest.raises(SettingsError, match="on_error='block' cannot be used: allow, since post_tool_use cannot"):
        hooks.on("post_tool_use", lambda _: None, on_error="block")
    hooks.on("post_tool_use", fails)
    verdict = fire(hooks, moment_of("post_tool_use"))
    assert (verdict.effect, verdict.moment) == (Continue(), moment_of("post_tool_use"))
    assert verdict.fired[0].error == "ZeroDivisionError: division by zero"
    assert {event for event in EVENTS if Block in LEGAL[event]} == {
        "run_start", "first_message", "user_prompt", "pre_tool_use",
    }  # fmt: skip


def test_the_callers_cancellation_passes_on() -> None:
    """Who cancels a run while a hook is at work gets its cancellation, and the hook is cancelled."""
    seen: list[str] = []

    async def slow(_: Moment) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def program() -> None:
        hooks = Hooks()
        hooks.on("run_stop", slow)
        task = asyncio.ensure_future(hooks.fire(Moment("run_stop")))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(program())
    assert seen == ["cancelled"]


@pytest.mark.parametrize("event", sorted(TOOL_EVENTS))
def test_a_matcher_filters_before_and_after_a_tool_alike(event: str) -> None:
    """A matcher is searched for in the tool's name, before it runs and after."""
    hooks, asked = Hooks(), []
    for matcher in ("^sea", "write|edit", "arch", None, re.compile("SEARCH", re.IGNORECASE)):
        pattern = matcher.pattern if isinstance(matcher, re.Pattern) else str(matcher)
        hooks.on(event, lambda _, name=pattern: asked.append(name), matcher=matcher)
    fire(hooks, moment_of(event))
    assert asked == ["^sea", "arch", "None", "SEARCH"]
    assert [hook.matcher.pattern if hook.matcher else None for hook in hooks.dry(event, "edit")] == ["write|edit", None]
    assert [hook.matcher for hook in hooks.dry(event)] == [None]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"event": "pre_tool", "function": print}, "event='pre_tool' cannot be used: one of run_start, first_message"),
        ({"event": "run_start", "function": 3}, "function=3 cannot be used: something that can be called"),
        ({"event": "run_start", "function": print, "timeout": 0}, "timeout=0 cannot be used: seconds, more than 0"),
        ({"event": "run_start", "function": print, "on_error": "stop"}, "on_error='stop' cannot be used: block or"),
        ({"event": "run_start", "function": print, "matcher": "x"}, "matcher='x' cannot be used: left out"),
        ({"event": "pre_tool_use", "function": print, "matcher": "("}, r"matcher='\(' cannot be used: a regular"),
        ({"event": "pre_tool_use", "function": print, "matcher": 7}, "matcher=7 cannot be used: a regular"),
        ({"event": "run_start", "function": print, "effects": [int]}, "effects='int' cannot be used: some of"),
    ],
    ids=["event", "function", "timeout", "on-error", "no-tool", "bad-pattern", "no-pattern", "no-effect"],
)
def test_what_cannot_work_is_refused_at_registration(arguments: dict[str, Any], told: str) -> None:
    """A registration that could never do what it says raises, with what would do, and leaves nothing behind."""
    hooks = Hooks()
    with pytest.raises(SettingsError, match=told):
        hooks.on(**arguments)
    assert hooks.listed() == ()


def test_an_unknown_event_is_refused() -> None:
    """Asking about an event that there is not raises, in a dry run as in a real one."""
    with pytest.raises(SettingsError, match="event='lunch'"):
        Hooks().dry("lunch")
    with pytest.raises(SettingsError, match="event='lunch'"):
        fire(Hooks(), Moment("lunch"))


def test_replacements_are_seen_by_the_next_hook_and_context_adds_up() -> None:
    """Hooks of one event see what those before them made of it, until one of them ends it."""
    hooks, seen = Hooks(), []

    def look(moment: Moment) -> None:
        seen.append((moment.arguments, moment.result))

    for function in (
        lambda _: AppendContext("one"), lambda _: ReplaceInput({"q": 2}), look, lambda _: ReplaceOutput("mine"),
        lambda _: AppendContext("two"), look, lambda _: FinishRun("over"), look,
    ):  # fmt: skip
        hooks.on("pre_tool_use", function)
    verdict = fire(hooks, moment_of("pre_tool_use"))
    assert seen == [({"q": 2}, "found"), ({"q": 2}, "mine")]
    assert (verdict.effect, verdict.context) == (FinishRun("over"), ("one", "two"))
    assert verdict.moment == moment_of("pre_tool_use").with_(arguments={"q": 2}, result="mine")
    assert [fired.effect for fired in verdict.fired] == [
        "AppendContext", "ReplaceInput", "Continue", "ReplaceOutput", "AppendContext", "Continue", "FinishRun",
    ]  # fmt: skip


def test_a_replaced_output_is_told_before_a_replaced_input() -> None:
    """Without an end, the effect of the chain is the result in place of the tool, even if arguments changed later."""
    hooks = Hooks()
    hooks.on("pre_tool_use", lambda _: ReplaceOutput("mine"))
    hooks.on("pre_tool_use", lambda _: ReplaceInput({"q": 2}))
    assert fire(hooks, moment_of("pre_tool_use")).effect == ReplaceOutput("mine")


def test_the_same_function_twice_is_two_hooks() -> None:
    """Each registration has an id of its own, is asked, listed and removed by itself."""
    hooks, asked = Hooks(), []

    def count(moment: Moment) -> None:
        asked.append(moment.event)

    first, second = hooks.on("run_stop", count), hooks.on("run_stop", count)
    fire(hooks, Moment("run_stop"))
    assert asked == ["run_stop"] * 2
    assert (hooks.remove(first), hooks.remove(first)) == (True, False)
    fire(hooks, Moment("run_stop"))
    assert asked == ["run_stop"] * 3
    assert [hook.id for hook in hooks.listed()] == [second]


def test_a_decorator_leaves_the_function_as_it_is() -> None:
    """`@hooks.on(event)` registers and gives the function back."""
    hooks = Hooks()

    @hooks.on("user_prompt", priority=2, name="greeter")
    def greet(_: Moment) -> AppendContext:
        return AppendContext("Be polite.")

    assert greet(Moment("user_prompt")) == AppendContext("Be polite.")
    assert [(hook.name, hook.function, hook.priority) for hook in hooks.listed()] == [("greeter", greet, 2)]
    assert hooks.listed("run_stop") == ()


def test_registries_merge_into_one_order_and_stay_as_they_were() -> None:
    """Hooks of several registries are asked in one order of priority; the registries themselves do not change."""
    ours, theirs = Hooks(), Hooks()
    for registry, name, priority in (
        (ours, "a", 0),
        (theirs, "b", 5),
        (ours, "c", 5),
        (theirs, "d", 0),
        (ours, "e", -1),
    ):
        registry.on("run_stop", lambda _: None, name=name, priority=priority)
    merged = ours.merged(theirs, ours)
    assert [hook.name for hook in merged.listed()] == ["c", "b", "a", "d", "e"]
    merged.on("run_stop", lambda _: None, name="late")
    merged.remove(ours.listed()[0].id)
    assert [hook.name for hook in ours.listed()] == ["c", "a", "e"]
    assert [hook.name for hook in theirs.listed()] == ["b", "d"]
    assert (bool(merged), bool(Hooks())) == (True, False)


@given(priorities=st.lists(st.integers(-3, 3), max_size=12))
def test_hooks_are_asked_by_priority_and_then_as_registered(priorities: list[int]) -> None:
    """Higher priorities come first; equal ones keep the order in which they were registered, however they merge."""
    one, two = Hooks(), Hooks()
    for position, priority in enumerate(priorities):
        (one if position % 2 else two).on("run_stop", print, priority=priority, name=str(position))
    wanted = sorted(range(len(priorities)), key=lambda position: (-priorities[position], 1 - position % 2, position))
    assert [int(hook.name) for hook in one.merged(two).dry("run_stop")] == wanted


def test_the_dry_run_names_whom_the_real_one_asks() -> None:
    """`dry` gives the hooks that `fire` asks when none ends the chain, and asks nobody."""
    hooks = Hooks()
    for event in EVENTS:
        hooks.on(event, lambda _: None, priority=len(event))
        hooks.on(event, lambda _: None, matcher="search" if event in TOOL_EVENTS else None)
    for event in EVENTS:
        asked = fire(hooks, moment_of(event)).fired
        assert [fired.hook for fired in asked] == [hook.id for hook in hooks.dry(event, "search")]


WHO: ContextVar[str] = ContextVar("WHO", default="nobody")


@pytest.mark.parametrize("how", ["plain", "lambda-of-async", "async-object", "partial", "method"])
def test_every_kind_of_function_can_be_a_hook(how: str) -> None:
    """Plain functions run in a thread with the caller's context; async ones, in whatever shape, on the loop."""
    where: list[tuple[str, bool]] = []

    def note() -> ReplaceOutput:
        where.append((WHO.get(), threading.current_thread() is threading.main_thread()))
        return ReplaceOutput("seen")

    async def later(*_: object) -> ReplaceOutput:
        await asyncio.sleep(0)
        return note()

    class Owner:
        async def __call__(self, _: Moment) -> ReplaceOutput:
            return note()

        def method(self, _: Moment) -> ReplaceOutput:
            return note()

    functions: dict[str, Callable[[Moment], Any]] = {
        "plain": lambda _: note(), "lambda-of-async": lambda _: later(), "async-object": Owner(),
        "partial": functools.partial(later, "extra"), "method": Owner().method,
    }  # fmt: skip
    hooks = Hooks()
    hooks.on("agent_stop", functions[how])
    token = WHO.set("somebody")
    verdict = fire(hooks, moment_of("agent_stop"))
    WHO.reset(token)
    assert verdict.effect == ReplaceOutput("seen")
    assert where == [("somebody", how not in ("plain", "method"))]


def test_a_plain_hook_does_not_wait_for_tools() -> None:
    """While every thread for tools is busy, a hook that is a plain function is asked all the same."""
    released, hooks = threading.Event(), Hooks()
    hooks.on("agent_stop", lambda _: ReplaceOutput("seen"), timeout=5)

    async def program() -> Verdict:
        busy = [asyncio.ensure_future(in_thread(released.wait, 30)) for _ in range(THREADS_AT_ONCE)]
        await asyncio.sleep(0.05)
        try:
            return await hooks.fire(moment_of("agent_stop"))
        finally:
            released.set()
            await asyncio.gather(*busy)

    assert asyncio.run(program()).effect == ReplaceOutput("seen")


def test_the_time_of_a_plain_function_and_what_it_returns_is_one() -> None:
    """A plain function that returns something to be awaited is bounded as a whole."""

    async def rest() -> None:
        await asyncio.sleep(60)

    def starts(_: Moment) -> Awaitable[None]:
        time.sleep(0.1)
        return rest()

    hooks = Hooks()
    hooks.on("run_stop", starts, timeout=0.3)
    began = time.monotonic()
    [fired] = fire(hooks, Moment("run_stop")).fired
    assert fired.error == "TimeoutError: no answer within 0.3 s"
    assert time.monotonic() - began < 1.5


def test_what_is_recorded_of_a_hook() -> None:
    """A hook that was asked is told as plain values; its error only when there is one."""
    assert Fired(3, "guard", "Block", 0.5).facts("pre_tool_use") == {
        "event": "pre_tool_use", "hook": 3, "name": "guard", "effect": "Block", "seconds": 0.5,
    }  # fmt: skip
    assert Fired(3, "guard", "Block", 0.5, "E: x").facts("run_start")["error"] == "E: x"


def test_the_tool_of_a_moment() -> None:
    """A moment is about the tool it names, else about that of its call, else about none."""
    call = ToolUse("c1", "search")
    moments = Moment("pre_tool_use", tool="read", call=call), Moment("pre_tool_use", call=call), Moment("run_stop")
    assert [moment.tool_name for moment in moments] == ["read", "search", None]


def test_hooks_of_several_runs_do_not_meet() -> None:
    """One registry serves runs at the same time; each gets its own verdict."""
    hooks = Hooks()

    async def answer(moment: Moment) -> ReplaceOutput:
        await asyncio.sleep(0.01)
        return ReplaceOutput(f"{moment.run_id}!")

    hooks.on("agent_stop", answer)

    async def program() -> list[Verdict]:
        return await asyncio.gather(*(hooks.fire(Moment("agent_stop", run_id=str(run))) for run in range(20)))

    verdicts = asyncio.run(program())
    assert [verdict.moment.answer for verdict in verdicts] == [f"{run}!" for run in range(20)]


@pytest.fixture(name="threads", autouse=True)
def no_thread_of_ours_is_left_waiting() -> Iterator[None]:
    """Hooks leave no thread behind that would hold up the interpreter."""
    yield
    assert [thread.name for thread in threading.enumerate() if not thread.daemon] == ["MainThread"]
