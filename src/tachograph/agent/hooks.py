"""Hooks: functions of the program that are asked at fixed points of a run, and may change what happens.

A hook gets a `Moment` and returns an effect, or None to let things take their course. What an effect means depends on
the event, and an effect that an event does not know is refused when the hook is registered, as far as it can be known
then, and counts as the hook's error when it is returned all the same: nothing is ever silently ignored. Hooks of one
event are asked one after the other, highest priority first, whoever registered them.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import re
import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

import msgspec
from msgspec import Struct

from tachograph.agent.pace.bounded import Overdue, Threads, answer_of
from tachograph.errors import SettingsError
from tachograph.events.chat import Media, Message, Text, ToolUse
from tachograph.events.usage import Usage


class Continue(Struct, frozen=True):
    """Things take their course."""


class Block(Struct, frozen=True):
    """It does not happen."""

    message: str = ""
    """Why, in words for whoever asked for it: the model, or the caller."""


class ReplaceInput(Struct, frozen=True):
    """Another prompt, or other arguments for the tool (a mapping)."""

    value: Any


class ReplaceOutput(Struct, frozen=True):
    """Another result of the tool (before it runs: in place of running it), or another answer."""

    value: Any


class AppendContext(Struct, frozen=True):
    """A text for the model, at the tail of the next request alone."""

    text: str


class Reprompt(Struct, frozen=True):
    """Not yet: the model, or the agent, is given this prompt and goes on."""

    prompt: str


class FinishAgent(Struct, frozen=True):
    """This agent's work is over, with this answer."""

    answer: str


class FinishRun(Struct, frozen=True):
    """The whole run is over, with this answer."""

    answer: str


Effect = Continue | Block | ReplaceInput | ReplaceOutput | AppendContext | Reprompt | FinishAgent | FinishRun
EFFECTS: tuple[type[Effect], ...] = typing.get_args(Effect)
ENDING: tuple[type[Effect], ...] = (Block, Reprompt, FinishAgent, FinishRun)
"""Effects after which no further hook is asked."""


def _legal(*effects: type[Effect]) -> frozenset[type[Effect]]:
    return frozenset((Continue, *effects))


LEGAL: Mapping[str, frozenset[type[Effect]]] = MappingProxyType({
    "run_start": _legal(Block, AppendContext, ReplaceInput, FinishRun),
    "first_message": _legal(Block, AppendContext),
    "user_prompt": _legal(Block, ReplaceInput, AppendContext, FinishAgent, FinishRun),
    "agent_step": _legal(AppendContext, FinishAgent, FinishRun),
    "agent_stop": _legal(ReplaceOutput, Reprompt, FinishRun),
    "pre_tool_use": _legal(Block, ReplaceInput, ReplaceOutput, AppendContext, FinishAgent, FinishRun),
    "post_tool_use": _legal(ReplaceOutput, AppendContext, FinishAgent, FinishRun),
    "context_warning": _legal(AppendContext),
    "run_stop": _legal(Reprompt),
})  # fmt: skip
"""Event → the effects that mean something there."""
EVENTS: tuple[str, ...] = tuple(LEGAL)
TOOL_EVENTS = frozenset(("pre_tool_use", "post_tool_use"))
_REPLACED: Mapping[str, str] = {"pre_tool_use": "result", "post_tool_use": "result", "agent_stop": "answer"}
"""Event → the field of a moment that `ReplaceOutput` is about."""


class Moment(Struct, frozen=True):
    """Where a run stands, as a hook sees it. What an event has nothing to say about is left at its default."""

    event: str
    agent: str = ""
    run_id: str = ""
    iteration: int = 0
    """Requests begun."""
    prompt: Any = ""
    """What the run was given: text, or texts and media in order."""
    tool: str = ""
    """Name of the tool; that of `call` when empty."""
    call: ToolUse | None = None
    """The call as the model wrote it."""
    arguments: Mapping[str, Any] | None = None
    """The call's arguments as the tool will get them."""
    result: Any = None
    """What the tool returned, as the model will be told."""
    reply: Message | None = None
    """The model's last reply."""
    answer: Any = None
    usage: Usage | None = None
    """Of the run so far."""
    messages: tuple[Message, ...] = ()
    """The conversation as it stands."""
    first: bool = False
    """Whether the conversation has no user message before this prompt."""
    tools: tuple[str, ...] | None = None
    """Names of the tools that are offered; None when nobody says."""
    metadata: Mapping[str, Any] = {}

    def with_(self, **changes: Any) -> Moment:
        """The same moment, but for some fields."""
        return msgspec.structs.replace(self, **changes)

    @property
    def tool_name(self) -> str | None:
        """The tool it is about; None when it is about none."""
        return self.tool or (self.call.name if self.call is not None else None)


Function = Callable[[Moment], Effect | Awaitable[Effect | None] | None]
Decorated = TypeVar("Decorated", bound=Function)
OnError = Literal["block", "allow"]


@dataclass(frozen=True, eq=False)
class Hook:
    """A registered hook."""

    id: int
    event: str
    function: Function
    name: str
    matcher: re.Pattern[str] | None = None
    priority: int = 0
    timeout: float = 60.0
    on_error: OnError = "allow"
    effects: frozenset[type[Effect]] = frozenset(EFFECTS)
    """What it may return."""

    def matches(self, tool: str | None) -> bool:
        """Whether it wants to be asked about a tool."""
        return self.matcher is None or (tool is not None and self.matcher.search(tool) is not None)


class Fired(Struct, frozen=True):
    """One hook that was asked."""

    hook: int
    """Its id."""
    name: str
    effect: str
    """Name of the effect that it had, `Continue` and `Block` after an error included."""
    seconds: float = 0.0
    error: str = ""
    """What went wrong in it; empty when nothing did."""

    def facts(self, event: str) -> dict[str, Any]:
        """What is recorded of it."""
        facts: dict[str, Any] = {"event": event, **msgspec.structs.asdict(self)}
        return facts if self.error else {key: item for key, item in facts.items() if key != "error"}


class Verdict(Struct, frozen=True):
    """What the hooks of one event came to."""

    moment: Moment
    """With everything that was replaced."""
    effect: Effect = Continue()
    """What ended the chain; else the last replacement, of an output before one of an input; else `Continue`."""
    context: tuple[str, ...] = ()
    """Texts for the tail of the next request."""
    fired: tuple[Fired, ...] = ()
    """Who was asked, in order."""


_THREADS = Threads()  # not those of tools: a hook that is asked about them must not wait for them to end
_ids = itertools.count(1)  # one count for all registries: an id stays one hook's after registries are merged


@dataclass
class Hooks:
    """A registry. A run never changes it."""

    _hooks: tuple[Hook, ...] = field(default=())

    @overload
    def on(
        self, event: str, function: Function, *, matcher: str | re.Pattern[str] | None = None, priority: int = 0,
        timeout: float = 60.0, on_error: OnError | None = None, name: str | None = None,
        effects: Iterable[type[Effect]] | None = None,
    ) -> int: ...  # fmt: skip

    @overload
    def on(
        self, event: str, *, matcher: str | re.Pattern[str] | None = None, priority: int = 0,
        timeout: float = 60.0, on_error: OnError | None = None, name: str | None = None,
        effects: Iterable[type[Effect]] | None = None,
    ) -> Callable[[Decorated], Decorated]: ...  # fmt: skip

    def on(
        self, event: str, function: Function | None = None, *, matcher: str | re.Pattern[str] | None = None,
        priority: int = 0, timeout: float = 60.0, on_error: OnError | None = None, name: str | None = None,
        effects: Iterable[type[Effect]] | None = None,
    ) -> Any:  # fmt: skip
        """Ask `function` at an event; its id. Without a function: a decorator, which leaves the function as it is.

        `matcher` is a regular expression that is searched for in the tool's name. A higher `priority` is asked earlier,
        equal ones in the order of registration. `timeout` is in seconds. `on_error` says what a hook that raises or is
        late does: `block` where the event can be blocked, which is the default there, or `allow`. `effects` declares
        what it may return; a return annotation does the same. Plain functions run in a thread. Raises SettingsError.
        """

        def register(found: Function) -> int:
            hook = _hook(
                event, found, matcher=matcher, priority=priority, timeout=timeout, on_error=on_error, name=name,
                effects=effects,
            )  # fmt: skip
            self._hooks = _ordered((*self._hooks, hook))
            return hook.id

        def decorate(found: Decorated) -> Decorated:
            register(found)
            return found

        return decorate if function is None else register(function)

    def remove(self, hook: int) -> bool:
        """Take out the hook with this id; False when there is none."""
        before = self._hooks
        self._hooks = tuple(one for one in before if one.id != hook)
        return len(self._hooks) < len(before)

    def listed(self, event: str | None = None) -> tuple[Hook, ...]:
        """All hooks, or those of an event, in the order in which they are asked."""
        return tuple(one for one in self._hooks if event is None or one.event == event)

    def merged(self, *others: Hooks) -> Hooks:
        """A new registry with the hooks of several, in one order of priority; one hook stands in it once."""
        found = {one.id: one for registry in (self, *others) for one in registry.listed()}
        return Hooks(_ordered(found.values()))

    def dry(self, event: str, tool: str | None = None) -> tuple[Hook, ...]:
        """The hooks that would be asked about an event, in order. Raises SettingsError for an unknown event."""
        _known(event)
        return tuple(one for one in self._hooks if one.event == event and one.matches(tool))

    def __bool__(self) -> bool:
        return bool(self._hooks)

    async def fire(self, moment: Moment) -> Verdict:
        """Ask the hooks of the moment's event. Raises SettingsError for an unknown event; no error of a hook."""
        hooks = self.dry(moment.event, moment.tool_name)
        replaced: dict[type[Effect], Effect] = {}
        context: list[str] = []
        fired: list[Fired] = []
        for hook in hooks:
            effect, told = await _ask(hook, moment)
            fired.append(told)
            if isinstance(effect, ENDING):
                return Verdict(moment, effect, tuple(context), tuple(fired))
            if isinstance(effect, AppendContext):
                context.append(effect.text)
            elif isinstance(effect, (ReplaceInput, ReplaceOutput)):
                replaced[type(effect)] = effect
                moment = _changed(moment, effect)
        last = replaced.get(ReplaceOutput) or replaced.get(ReplaceInput) or Continue()
        return Verdict(moment, last, tuple(context), tuple(fired))


# ---- registration ---------------------------------------------------------------------------------------------------


def _hook(
    event: str, function: Function, *, matcher: str | re.Pattern[str] | None, priority: int, timeout: float,
    on_error: OnError | None, name: str | None, effects: Iterable[type[Effect]] | None,
) -> Hook:  # fmt: skip
    _known(event)
    if not callable(function):
        raise SettingsError("function", function, "something that can be called with a moment")
    if not timeout > 0:
        raise SettingsError("timeout", timeout, "seconds, more than 0")
    name = name or str(getattr(function, "__qualname__", type(function).__name__))
    return Hook(
        next(_ids), event, function, name, _matcher(event, matcher), priority, timeout, _on_error(event, on_error),
        _declared(event, name, function, effects),
    )  # fmt: skip


def _ordered(hooks: Iterable[Hook]) -> tuple[Hook, ...]:
    return tuple(sorted(hooks, key=lambda hook: -hook.priority))


def _known(event: str) -> None:
    if event not in LEGAL:
        raise SettingsError("event", event, f"one of {', '.join(EVENTS)}")


def _matcher(event: str, matcher: str | re.Pattern[str] | None) -> re.Pattern[str] | None:
    if matcher is None:
        return None
    if event not in TOOL_EVENTS:
        raise SettingsError("matcher", matcher, f"left out, since {event} is about no tool")
    try:
        return re.compile(matcher)
    except (re.error, TypeError) as problem:
        raise SettingsError("matcher", matcher, f"a regular expression for names of tools: {problem}") from problem


def _on_error(event: str, wanted: OnError | None) -> OnError:
    can_block = Block in LEGAL[event]
    if wanted not in (None, "block", "allow"):
        raise SettingsError("on_error", wanted, "block or allow")
    if wanted == "block" and not can_block:
        raise SettingsError("on_error", wanted, f"allow, since {event} cannot be blocked")
    return wanted or ("block" if can_block else "allow")


def _declared(
    event: str, name: str, function: Function, effects: Iterable[type[Effect]] | None
) -> frozenset[type[Effect]]:
    legal = LEGAL[event]
    declared = _annotated(function) if effects is None else frozenset(effects)
    if declared is None:
        return legal
    unfit = sorted(getattr(effect, "__name__", repr(effect)) for effect in declared - legal)
    if unfit:
        possible = ", ".join(sorted(effect.__name__ for effect in legal))
        raise SettingsError(f"{event} hook {name}: effects", ", ".join(unfit), f"some of {possible}")
    return declared | {Continue}


def _annotated(function: Function) -> frozenset[type[Effect]] | None:
    """The effects that a return annotation names; None when it says nothing, or nothing in particular."""
    asked = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004 - its hints
    try:
        hint = typing.get_type_hints(asked).get("return", Any)
    except Exception:  # noqa: BLE001 - a name in somebody's annotation that cannot be resolved: then it says nothing
        return None
    kinds = {kind for kind in (typing.get_args(hint) or (hint,)) if kind is not type(None)}
    if not kinds <= set(EFFECTS) or kinds == set(EFFECTS):
        return None
    return frozenset(kinds)


# ---- asking ---------------------------------------------------------------------------------------------------------


async def _ask(hook: Hook, moment: Moment) -> tuple[Effect, Fired]:
    """What one hook says, in time; what it does when it raises, is late, or says what it must not."""
    loop = asyncio.get_running_loop()
    began, answer = loop.time(), None
    try:
        answer, problem = await answer_of(hook.function, moment, seconds=hook.timeout, threads=_THREADS)
        error = _misfit(hook, answer) if problem is None else f"{type(problem).__name__}: {problem}"
    except Overdue:
        error = f"TimeoutError: no answer within {hook.timeout:g} s"
    except RuntimeError as problem:  # no thread could be started
        error = f"RuntimeError: {problem}"
    effect: Effect = Continue() if error or answer is None else answer
    if error and hook.on_error == "block":
        effect = Block(f"This was not done, because the hook {hook.name} could not check it.")
    return effect, Fired(hook.id, hook.name, type(effect).__name__, loop.time() - began, error)


def _misfit(hook: Hook, answer: Any) -> str:
    """What is wrong with an answer; empty when nothing is."""
    kind, event = type(answer), hook.event
    if answer is None:
        return ""
    if kind not in EFFECTS:
        return f"TypeError: it returned {kind.__name__}, which is no effect"
    if kind not in LEGAL[event]:
        return f"TypeError: it returned {kind.__name__}, which means nothing at {event}"
    if kind not in hook.effects:
        return f"TypeError: it returned {kind.__name__}, which it does not declare"
    wanted = _wanted(event, answer)
    return f"TypeError: it returned {kind.__name__} without {wanted}" if wanted else ""


def _wanted(event: str, effect: Effect) -> str:
    """What an effect should hold and does not; empty when it is as it should be."""
    match effect:
        case Block(message=text) | AppendContext(text=text) | Reprompt(prompt=text):
            return "" if isinstance(text, str) else "a text"
        case FinishAgent(answer=text) | FinishRun(answer=text):
            return "" if isinstance(text, str) else "a text"
        case ReplaceInput(value=value) if event in TOOL_EVENTS:
            return "" if isinstance(value, Mapping) else "a mapping of arguments"
        case ReplaceInput(value=value):
            parts = value if isinstance(value, (list, tuple)) else (value,)
            return "" if all(isinstance(part, (str, Text, Media)) for part in parts) else "a text, or texts and media"
    return ""


def _changed(moment: Moment, effect: ReplaceInput | ReplaceOutput) -> Moment:
    if isinstance(effect, ReplaceOutput):
        return moment.with_(**{_REPLACED[moment.event]: effect.value})
    return moment.with_(**{"arguments" if moment.event in TOOL_EVENTS else "prompt": effect.value})
