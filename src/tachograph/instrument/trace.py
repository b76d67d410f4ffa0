"""The trace of this context: which models were called and what agent loops did, as values kept in memory.

Whatever any recorder of the process records is traced, from the import of this module on. A trace event belongs to the
context in which its step began: a thread, or a task of an event loop. No context sees what another one traced, not even
a child what its parent did; what a run did in all its contexts together is told by `agent_trace_summary(run=…)`.

Only the LLM trace has a switch. It is off until `enable_tracing()`; what a context starts afterwards inherits it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import NamedTuple

import msgspec

from tachograph import compose
from tachograph.errors import NotFound
from tachograph.events.call import CallEnded
from tachograph.events.envelope import STARTS, Event
from tachograph.events.note import Note
from tachograph.events.run import RunEnded, RunResumed, RunStarted
from tachograph.fold.trace.event import (
    NOTE,
    AgentTraceEvent,
    ContextCompaction,
    LlmCall,
    LlmFailed,
    LLMTraceEntry,
    LoopComplete,
    LoopIntervention,
    OtherEvent,
    PhaseChange,
    SchemaRetry,
    ToolExecution,
    ToolRejected,
    TraceEvent,
    fields_of,
    kind_of,
    next_phase,
)
from tachograph.fold.trace.run import RunTrace, Told, events_of, fold
from tachograph.fold.trace.summary import AgentTraceSummary, LLMTraceSummary
from tachograph.instrument.context import enabled, here
from tachograph.record import scope
from tachograph.record.feed import Feed

__all__ = [
    "AgentTraceEvent",
    "AgentTraceSummary",
    "ContextCompaction",
    "Dropped",
    "LLMTraceEntry",
    "LLMTraceSummary",
    "LlmCall",
    "LlmFailed",
    "LoopComplete",
    "LoopIntervention",
    "OtherEvent",
    "PhaseChange",
    "SchemaRetry",
    "ToolExecution",
    "ToolRejected",
    "agent_trace_summary",
    "dropped",
    "emit_agent_event",
    "enable_tracing",
    "events_of",
    "fold",
    "next_phase",
    "peek_agent_trace",
    "peek_trace",
    "peek_trace_summary",
    "reset_agent_trace_state",
    "reset_trace_state",
    "take_agent_trace",
    "take_trace",
    "to_json",
    "trace_llm_call",
]

MOST_RUNS = 10_000
"""Most runs that are followed at once."""
ENDED_RUNS = 500
"""Most ended runs whose summary is at hand; that of an older one is read from the store."""


class Dropped(NamedTuple):
    """How many were dropped because a context traced more than it keeps. Summaries count them all the same."""

    llm_entries: int
    agent_events: int


# ---- the LLM trace ---------------------------------------------------------------------------------------------------


def enable_tracing() -> None:
    """Keep an LLM trace from now on, in this context and in what it starts; what was kept before stays."""
    enabled.set(True)
    here().enabled = True


def trace_llm_call(entry: LLMTraceEntry) -> None:
    """Add a call that is not recorded otherwise. Nothing happens unless tracing is enabled."""
    context = here()
    if context.enabled:
        context.calls.add(entry)


def take_trace() -> list[LLMTraceEntry]:
    """The LLM trace of this context, oldest first; it is empty afterwards."""
    return here().calls.take()


def peek_trace() -> list[LLMTraceEntry]:
    """The LLM trace of this context, oldest first; it stays."""
    return here().calls.peek()


def peek_trace_summary() -> LLMTraceSummary:
    """(input tokens, output tokens, milliseconds, calls) of the LLM trace; it stays."""
    return here().calls.total()


def reset_trace_state() -> None:
    """Empty the LLM trace of this context and disable it."""
    enabled.set(False)
    context = here()
    context.enabled = False
    context.calls.reset()


# ---- the agent trace -------------------------------------------------------------------------------------------------


def emit_agent_event(event: AgentTraceEvent) -> None:
    """Add an event that is not recorded otherwise. Inside a run it is kept with the run too, as a note of this step.

    Raises TypeError for what is no trace event.
    """
    if not isinstance(event, TraceEvent | OtherEvent):
        raise TypeError(f"{type(event).__name__} is not a trace event: use one of the kinds, or OtherEvent")
    if not _noted(event):
        here().events.add(Told(event))


def take_agent_trace() -> list[AgentTraceEvent]:
    """The agent trace of this context, oldest first; it is empty afterwards."""
    return here().events.take()


def peek_agent_trace() -> list[AgentTraceEvent]:
    """The agent trace of this context, oldest first; it stays."""
    return here().events.peek()


def agent_trace_summary(run: str | None = None) -> AgentTraceSummary:
    """What the agent trace of this context adds up to; or, of one run (its id), everything in all its contexts.

    A run that was not seen from its beginning, or ended long ago, is read from the store, after a flush. Raises
    NotFound when it is not there either, and what opening the store raises.
    """
    if run is None:
        return here().events.total()
    trace = _live.get(run) or _ended.get(run)
    return trace.summary if trace is not None and trace.whole else _stored(run)


def reset_agent_trace_state() -> None:
    """Empty the agent trace of this context."""
    here().events.reset()


def to_json(value: AgentTraceEvent | AgentTraceSummary | LLMTraceEntry) -> bytes:
    """The JSON form of an event (tagged `type`), of a summary, or of an entry."""
    return msgspec.json.encode(fields_of(value) if isinstance(value, OtherEvent) else value)


def dropped() -> Dropped:
    """How many entries and events this context has dropped since their trace was last reset."""
    context = here()
    return Dropped(context.calls.dropped, context.events.dropped)


# ---- from the feed ---------------------------------------------------------------------------------------------------


class _Telling(threading.local):
    """What this thread is just writing as a note."""

    now: tuple[Note, AgentTraceEvent] | None = None


_telling = _Telling()
_live: dict[str, RunTrace] = {}
_ended: dict[str, RunTrace] = {}


def _hear(event: Event) -> None:
    """One recorded event, in the thread and the context that records it."""
    trace = _live.get(event.run) or _ended.get(event.run)
    kind = type(event.body)
    if kind is RunStarted or (trace is None and kind in STARTS):
        trace = _follow(event.run)
    elif trace is None:
        trace = RunTrace(whose=here)
    told, context = trace.apply(event), trace.owner
    if kind is RunEnded:
        _end(event.run)
    elif kind is RunResumed:
        _go_on(event.run, trace)
    if told is None:
        return
    if kind is Note and (telling := _telling.now) is not None and telling[0] is event.body:
        told.event = telling[1]
    context.events.add(told)
    if context.enabled and kind is CallEnded and type(told.event) is LlmCall:
        context.calls.add(told)


def _follow(run: str) -> RunTrace:
    _ended.pop(run, None)
    trace = _live[run] = RunTrace(whose=here)
    _let_go(_live, MOST_RUNS)
    return trace


def _end(run: str) -> None:
    trace = _live.pop(run, None)
    if trace is not None:
        trace.owner = None
        _ended[run] = trace
        _let_go(_ended, ENDED_RUNS)


def _go_on(run: str, trace: RunTrace) -> None:
    """A run that had ended, here or in another process, is followed again."""
    _ended.pop(run, None)
    _live[run] = trace
    _let_go(_live, MOST_RUNS)


def _let_go(runs: dict[str, RunTrace], most: int) -> None:
    if len(runs) > most:
        runs.pop(next(iter(runs)), None)


def _noted(event: AgentTraceEvent) -> bool:
    """Keep an event with the run around the caller; it then comes back by the feed. False when there is no such run."""
    around = scope.current()
    if around is None:
        return False
    recorder = around.run.recorder
    try:
        note = Note(name=NOTE + recorder.plain(kind_of(event)), data=recorder.content(fields_of(event)))
        _telling.now = (note, event)
        return recorder.emit(around.run, note, around.step) is not None
    except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks the program; it is counted
        recorder.fault("trace", problem)
        return False
    finally:
        _telling.now = None


def _stored(run: str) -> AgentTraceSummary:
    compose.flush()
    with contextlib.closing(compose.open_store(compose.current().settings)) as store:
        events = list(store.read(run))
        if not events:
            raise NotFound("run", run)
        return fold(events, store.fetch)


def _forked() -> None:
    """In a forked child: the parent's runs are not its own."""
    _live.clear()
    _ended.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
_listener = Feed.listen(_hear, RunTrace.concerns)
