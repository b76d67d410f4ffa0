"""What a context has traced. A context is a thread, or a task of an event loop (asyncio, trio).

It is found by a context variable, so it goes when its thread or task goes. Copied contexts (child tasks, `to_thread`)
begin with the variable of their origin; who they really are tells them that it is not theirs.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from functools import reduce
from typing import Generic, TypeVar

from tachograph.fold.trace.event import AgentTraceEvent, LlmCall, LLMTraceEntry
from tachograph.fold.trace.run import Told
from tachograph.fold.trace.summary import AgentTraceSummary, LLMTraceSummary
from tachograph.record import scope

MOST_KEPT = 10_000
"""Most LLM trace entries, and most agent trace events, that a context keeps; then the oldest are dropped."""

Item = TypeVar("Item")
Value = TypeVar("Value")
Sum = TypeVar("Sum")


class Kept(Generic[Item, Value, Sum]):
    """The newest values of one trace. Other threads may add to it while the context reads; only the context takes."""

    __slots__ = ("_gone", "_items", "_nothing", "_plus", "_read", "dropped")

    def __init__(self, read: Callable[[Item], Value], nothing: Sum, plus: Callable[[Sum, Value], Sum]) -> None:
        self._read, self._nothing, self._plus = read, nothing, plus
        self._items: deque[Item] = deque()
        self._gone = nothing
        self.dropped = 0
        """How many were dropped since the last reset."""

    def add(self, item: Item) -> None:
        """Keep it; the oldest goes when there are too many, and still counts in the total."""
        if len(self._items) >= MOST_KEPT:
            self._gone = self._plus(self._gone, self._read(self._items.popleft()))
            self.dropped += 1
        self._items.append(item)

    def peek(self) -> list[Value]:
        """All that are kept, oldest first."""
        return list(map(self._read, self._items.copy()))

    def take(self) -> list[Value]:
        """All that are kept, oldest first; none is afterwards, and the total begins anew."""
        taken: list[Value] = []
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._read(self._items.popleft()))
        self._gone = self._nothing
        return taken

    def total(self) -> Sum:
        """The sum over all since they were last taken, dropped ones included."""
        return reduce(self._plus, self.peek(), self._gone)

    def reset(self) -> None:
        """Keep nothing, and count anew what is dropped."""
        self.take()
        self.dropped = 0


class Context:
    """One thread, or one task, and what it traced."""

    __slots__ = ("_task", "_thread", "calls", "enabled", "events")

    def __init__(self, thread: object, task: object | None) -> None:
        self._thread = thread
        self._task = None if task is None else weakref.ref(task)
        self.enabled = enabled.get()
        self.calls = Kept(_entry, LLMTraceSummary(), LLMTraceSummary.plus)
        self.events = Kept(_event, AgentTraceSummary(), AgentTraceSummary.plus)

    def is_of(self, thread: object, task: object | None) -> bool:
        """Whether this is that of a thread and, inside an event loop, of a task."""
        if self._thread is not thread:
            return False
        return self._task is None if task is None else self._task is not None and self._task() is task


class _Thread(threading.local):
    """A mark that no other thread ever has; thread idents come back."""

    def __init__(self) -> None:
        self.mark = object()


enabled: ContextVar[bool] = ContextVar("tachograph_llm_trace", default=False)
"""Whether contexts that are copied from this one begin with an LLM trace."""
_context: ContextVar[Context | None] = ContextVar("tachograph_trace", default=None)
_thread = _Thread()


def here() -> Context:
    """The context of the caller, or that of whoever it works for."""
    lent = scope.lent.get()
    if isinstance(lent, Context):
        return lent
    thread, task = _thread.mark, _task()
    found = _context.get()
    if found is None or not found.is_of(thread, task):
        found = Context(thread, task)
        _context.set(found)
    return found


def _event(kept: Told) -> AgentTraceEvent:
    return kept.event


def _entry(kept: Told | LLMTraceEntry) -> LLMTraceEntry:
    """What a program traced itself, or what stands for a recorded call as it is known now."""
    if isinstance(kept, LLMTraceEntry):
        return kept
    call = kept.event
    assert isinstance(call, LlmCall)
    return LLMTraceEntry(call.model, call.input_tokens, call.output_tokens, call.duration_ms)


def _task() -> object | None:
    """The task that runs now; loads no event loop's library."""
    asyncio, trio = sys.modules.get("asyncio"), sys.modules.get("trio.lowlevel")
    # `asyncio.current_task` alone would raise wherever no loop runs, which costs ten times as much.
    running = getattr(asyncio, "_get_running_loop", None)
    loop = None if running is None else running()
    task: object | None = None
    if asyncio is not None and loop is not None:
        task = asyncio.current_task(loop)
    elif trio is not None:
        with contextlib.suppress(RuntimeError):
            task = trio.current_task()
    return task


def _forked() -> None:
    """In a forked child: its one thread is not the parent's."""
    _thread.mark = object()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
scope.whose = here
