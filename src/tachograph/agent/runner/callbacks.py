"""Callbacks of an application: told what a run does, in order, and never in its way.

Each is called beside the run, one after the other, a plain function in a thread of its own. One that raises or takes
too long is counted and not waited for; the run, and the reply, are those they would have been without it. A function
gets only as many of the arguments as it accepts.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections import deque
from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from tachograph.agent.pace.bounded import Ended, Overdue, Threads, answer_of
from tachograph.agent.progress import Emitter, HandedOff, IterationBegan, RunBegan, RunDone, ToolBegan, ToolDone
from tachograph.agent.runner.history import slug
from tachograph.errors import SettingsError

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "on_agent_thinking": ("agent", "input", "context"),
    "on_tool_start": ("tool", "arguments", "context"),
    "on_tool_complete": ("tool", "result", "context"),
    "on_agent_handoff": ("from", "to", "reason", "context"),
    "on_run_complete": ("agent", "outcome", "context"),
}
"""Callback → what it is called with, in order."""
CONTINUING = "(continuing conversation)"
"""The input of a request that is not the first of its run."""
MOST_SECONDS = 5.0
"""That one call may take; then the next one is made."""
SETTLING = 0.25
"""Seconds that a reply waits for callbacks that are still at work."""
MOST_WAITING = 1_000

log = logging.getLogger("tachograph.runner")
_THREADS = Threads(size=8)


class Callbacks:
    """The callbacks of a runner. Usable from several runs at once."""

    def __init__(self, functions: Mapping[str, Callable[..., Any] | None] | None = None) -> None:
        """Raises SettingsError for a name that there is not, and for what cannot be called."""
        self.failed = 0
        """Calls that raised."""
        self.late = 0
        """Calls that took too long, or were not made because others did."""
        self.functions: dict[str, tuple[Callable[..., Any], int | None]] = {}
        for name, function in (functions or {}).items():
            if name not in ARGUMENTS:
                raise SettingsError("callbacks", name, f"one of {', '.join(ARGUMENTS)}")
            if function is None:
                continue
            if not callable(function):
                raise SettingsError(f"callbacks[{name!r}]", function, "something that can be called")
            self.functions[name] = function, accepted(function)


def accepted(function: Callable[..., Any]) -> int | None:
    """How many positional arguments a function takes; None: any number, or nobody can say."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    return sum(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD) for one in parameters)


class Telling:
    """What one run tells, waiting to be told. Belongs to one event loop."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks
        self._around = contextvars.copy_context()
        """What surrounds the runner: a callback is no part of the run."""
        self._waiting: deque[tuple[str, tuple[Any, ...]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def tell(self, name: str, *arguments: Any) -> None:
        """Call one when its turn comes."""
        if name not in self._callbacks.functions:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._callbacks.late += 1
            return
        self._waiting.append((name, arguments))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._deliver(), context=self._around)

    async def settle(self, seconds: float = SETTLING) -> None:
        """Wait for what was not told yet, at most so long; the rest is told while the event loop runs."""
        if self._task is not None and not self._task.done():
            await asyncio.wait((self._task,), timeout=seconds)

    async def _deliver(self) -> None:
        try:
            while self._waiting:
                await self._call(*self._waiting.popleft())
        except asyncio.CancelledError:  # the event loop ends
            self._callbacks.late += 1 + len(self._waiting)
            self._waiting.clear()
            raise

    async def _call(self, name: str, arguments: tuple[Any, ...]) -> None:
        function, most = self._callbacks.functions[name]
        try:
            ended = await answer_of(partial(function, *arguments[:most]), seconds=MOST_SECONDS, threads=_THREADS)
        except Overdue:
            self._callbacks.late += 1
            log.warning("callback %s took more than %g s", name, MOST_SECONDS)
            return
        except RuntimeError as problem:  # no thread could be started
            ended = Ended(error=problem)
        if ended.error is not None:
            self._callbacks.failed += 1
            log.warning("callback %s failed: %s", name, type(ended.error).__name__)


def watch(emitter: Emitter, telling: Telling, prompt: str, context: Mapping[str, Any]) -> None:
    """Tell the callbacks what a run tells."""
    teller = _Teller(telling, prompt, context)
    emitter.subscribe((RunBegan, IterationBegan, ToolBegan, ToolDone, HandedOff, RunDone), teller.hear)


class _Teller:
    """Says in the words of the callbacks what a run says in its own."""

    def __init__(self, telling: Telling, prompt: str, context: Mapping[str, Any]) -> None:
        self._telling, self._prompt, self._context = telling, prompt, context
        self._agent = ""
        self._begun: set[int] = set()

    def hear(self, value: Any) -> None:
        tell, context = self._telling.tell, self._context
        match value:
            case RunBegan(agent=agent):
                self._agent = slug(agent)
            case IterationBegan(iteration=number):
                tell("on_agent_thinking", self._agent, self._prompt if number == 1 else CONTINUING, context)
            case ToolBegan(call=call, arguments=arguments):
                self._begun.add(id(call))
                tell("on_tool_start", call.name, deepcopy(dict(arguments)), context)
            case ToolDone(call=call, state=state, result=result):
                if id(call) in self._begun:
                    tell("on_tool_complete", call.name, told(state, result), context)
            case HandedOff(after=after, reason=reason):
                tell("on_agent_handoff", self._agent, slug(after), reason, context)
                self._agent = slug(after)
            case RunDone(outcome=outcome):
                tell("on_run_complete", self._agent, outcome, context)


def told(state: str, result: Any) -> Any:
    """A tool's result as a callback gets it: of one that did not complete, `ERROR: …`."""
    return result if state == "completed" else f"ERROR: {result}"
