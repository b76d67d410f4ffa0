"""The trace of one run, folded from its events: live as they are recorded, or from a store, with the same result.

Most trace events say what the run's own events say; those for which nothing else is recorded (a phase change, a schema
retry) stand in the run as notes. Each recorded event gives at most one trace event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tachograph.events.call import CallEnded, CallMetered, CallStarted
from tachograph.events.content import Content
from tachograph.events.envelope import Event
from tachograph.events.ids import step_id
from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import AUDIT, RunEnded, RunResumed, RunStarted, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted
from tachograph.events.usage import Usage
from tachograph.fold.totals import GENERATING
from tachograph.fold.trace.event import (
    NOTE,
    AgentTraceEvent,
    ContextCompaction,
    LlmCall,
    LlmFailed,
    LoopComplete,
    LoopIntervention,
    ToolExecution,
    ToolRejected,
    event_of,
)
from tachograph.fold.trace.summary import AgentTraceSummary
from tachograph.fold.transcript import Fetch, text_of

RECENT = 256
"""Ended calls whose usage may still become better known, and tools that a limit may still name: so many at least."""
MOST_NAMES = 10_000
"""Most names in the `tools_used` of one `loop_complete`; later ones are left out."""

ENDINGS: Mapping[str, str] = {
    "completed": "done", "paused": "idle", "cancelled": "cancelled", "abandoned": "abandoned",
}  # fmt: skip
"""Status of a run → status of its loop; a failed run's is told by its stop reason."""
STOPS: Mapping[str, str] = {
    **dict.fromkeys(("no_progress", "tool_loop"), "stuck"),
    **dict.fromkeys(
        (
            "max_iterations", "max_llm_calls", "max_tool_calls", "max_handoffs", "max_depth", "deadline",
            "token_budget", "cost_budget", "session_limit", "quota",
        ),
        "budget_exhausted",
    ),
    "watchdog": "watchdog",
}  # fmt: skip
"""Stop reason of a failed run → status of its loop; `failed` for all others."""

_REPETITIONS = frozenset({"no_progress", "tool_loop"})
_LEAVES_RUNNING = frozenset({"warn", "nudge", "block", "skip"})

Value = TypeVar("Value")


class Told(Struct, gc=False):
    """A trace event of a run, in the one place where it is replaced when its figures become better known."""

    event: AgentTraceEvent


class _Open(Struct, frozen=True, gc=False):
    """A step that has started: what its end does not repeat."""

    family: str
    """call, tool, compaction, step."""
    name: str
    mono: int
    iteration: int
    owner: Any = None
    classification: str = ""
    call_id: str = ""
    facts: Content | None = None


class RunTrace:
    """The trace of one run as its events come, in order of seq; events seen before change nothing.

    With `fetch`, content that a store keeps by hash is read where a trace event needs it; without, it counts as not
    kept. `whose` is asked when a step begins and when something happens that is no step; its answer is the `owner` of
    what is told about it. `summary` is replaced and never changed, so another thread may read it at any time.
    """

    def __init__(self, fetch: Fetch | None = None, whose: Callable[[], Any] = lambda: None) -> None:
        self.summary = AgentTraceSummary()
        self.whole = False
        """Whether the run was seen from its beginning."""
        self.owner: Any = None
        """Whose the last event was that `apply` told."""
        self._fetch, self._whose = fetch, whose
        self._seq, self._began = -1, 0
        self._beginner: Any = None
        self._open: dict[int, _Open] = {}
        self._calls: dict[int, Told] = {}
        self._tools: dict[int, str] = {}
        self._used: list[str] = []
        self._succeeded: dict[str, None] = {}
        self._requests = self._turns = self._highest = self._top = 0
        self._from_zero = self._audit = self._over = self._told = False
        self._name: str | None = None
        self._brought = False
        """Whether this run was brought along by the one model or tool call in it: then it is no loop."""

    @property
    def iterations(self) -> int:
        """Iterations so far: by the numbers the program gave them, else iteration steps, else requests for text."""
        return max(self._highest + self._from_zero, self._turns) or self._requests

    def apply(self, event: Event) -> Told | None:
        """The trace event that an event gives; None for most."""
        handler = self._handlers.get(type(event.body))
        if handler is None or event.seq <= self._seq or self._audit:
            return None
        if self._seq < 0:
            self._began, self.whole = event.mono, event.seq == 0
        self._seq = event.seq
        said: AgentTraceEvent | None = handler(self, event, event.body)
        if said is None:
            return None
        self.summary = self.summary.plus(said)
        told = Told(said)
        if type(event.body) is CallEnded:
            _remember(self._calls, event.step, told)
        return told

    # ---- the run --------------------------------------------------------------------------------------------------

    def _run_started(self, event: Event, body: RunStarted) -> None:
        self._beginner = self._whose()
        self._audit = body.source == AUDIT
        self._name = body.name if body.input is None else None

    def _run_ended(self, event: Event, body: RunEnded) -> LoopComplete | None:
        if self._over:
            return None
        self._over = body.status != "paused"
        self.owner = self._whose() if self._beginner is None else self._beginner
        if self._over:
            self._beginner = None
            self._open.clear()
        if self._told or (self._brought and body.output is None):
            return None
        return LoopComplete(
            status=ENDINGS.get(body.status) or STOPS.get(body.stop_reason, "failed"),
            iterations=self.iterations,
            total_duration_ms=_millis(event.mono - self._began),
            tools_used=tuple(self._used),
            successful_tools=tuple(self._succeeded),
        )

    def _run_resumed(self, event: Event, body: RunResumed) -> None:
        """The loop goes on, and its end will be told: the summary has the last one."""
        self._over = self._told = False
        self._beginner = self._whose()

    # ---- model calls ----------------------------------------------------------------------------------------------

    def _call_started(self, event: Event, body: CallStarted) -> None:
        self._begin(event, body.parent, _Open("call", body.model, event.mono, self._iteration(body), self._whose()))
        if body.retry_of is None and body.attempt <= 1 and body.operation in GENERATING:
            self._requests += 1

    def _call_ended(self, event: Event, body: CallEnded) -> LlmCall | LlmFailed | None:
        start = self._closed(event.step, "call")
        if start is None:
            if event.step in self._calls:
                return None
            # Its start was lost, but what it used was used.
            start, self.owner = _Open("call", body.served_model or "", event.mono, 0), self._whose()
        read, written, cached = _tokens(body.usage)
        if body.status == "completed":
            return LlmCall(
                call_id=step_id(event.run, event.step), model=start.name, input_tokens=read, output_tokens=written,
                cache_tokens=cached, duration_ms=_millis(event.mono - start.mono), iteration=start.iteration,
            )  # fmt: skip
        error, category = (body.error.type, body.error.category) if body.error is not None else ("", "")
        return LlmFailed(
            call_id=step_id(event.run, event.step), model=start.name, status=body.status, error=error,
            category=category, input_tokens=read, output_tokens=written, cache_tokens=cached,
            duration_ms=_millis(event.mono - start.mono), iteration=start.iteration,
        )  # fmt: skip

    def _call_metered(self, event: Event, body: CallMetered) -> None:
        told = self._calls.get(body.call)
        if told is not None:
            read, written, cached = _tokens(body.usage)
            before = told.event
            told.event = replace(before, input_tokens=read, output_tokens=written, cache_tokens=cached)
            self.summary = self.summary.corrected(before, told.event)

    # ---- tools and limits -----------------------------------------------------------------------------------------

    def _tool_started(self, event: Event, body: ToolStarted) -> None:
        step = _Open(
            "tool", body.name, event.mono, self._iteration(body), self._whose(), body.classification, body.call_id or ""
        )
        self._begin(event, body.parent, step)
        _remember(self._tools, event.seq, body.name)

    def _tool_ended(self, event: Event, body: ToolEnded) -> ToolExecution | ToolRejected | None:
        start = self._closed(event.step, "tool")
        if start is None:
            return None
        if body.state in ("rejected", "skipped"):
            reason = body.reason or (body.error.message if body.error is not None else "")
            return ToolRejected(tool_name=start.name, reason=reason, iteration=start.iteration)
        said = ToolExecution(
            tool_name=start.name, tool_use_id=start.call_id, duration_ms=_millis(event.mono - start.mono),
            status="ok" if body.state == "completed" else "error", classification=start.classification,
            iteration=start.iteration,
        )  # fmt: skip
        self._ran(said)
        return said

    def _limit_hit(self, event: Event, body: LimitHit) -> LoopIntervention | None:
        refused = body.refused_kind == "tool"
        if self._top == 0 and body.refused_kind in ("llm", "tool"):
            self._brought = self._name is not None and body.refused_name == self._name
        repeats = bool(body.evidence) or body.metric in _REPETITIONS
        if body.mode == "observe" or not (repeats or (refused and body.mode in _LEAVES_RUNNING)):
            return None
        self.owner, at = self._whose(), self._open.get(event.step)
        return LoopIntervention(
            tool_name=(body.refused_name or "") if refused else self._tool_behind(event, body),
            kind=body.mode,
            count=_whole(body.used + body.requested),
            iteration=0 if at is None else at.iteration,
        )

    def _tool_behind(self, event: Event, body: LimitHit) -> str:
        """The tool of the step a limit was reached at, else the last one among its evidence."""
        for step in (event.step, *reversed(body.evidence)):
            if step in self._tools:
                return self._tools[step]
        return ""

    # ---- other steps and notes ------------------------------------------------------------------------------------

    def _step_started(self, event: Event, body: StepStarted) -> None:
        if body.kind == "iteration":
            self._turns += 1
        # Of the steps that are neither runs nor calls, only compactions say something when they end.
        if body.kind == "compaction":
            facts, owner = body.metadata, self._whose()
            step = _Open("compaction", body.name, event.mono, self._iteration(body), owner, facts=facts)
        else:
            step = _Open("step", body.name, event.mono, self._iteration(body))
        self._begin(event, body.parent, step)

    def _step_ended(self, event: Event, body: StepEnded) -> ContextCompaction | None:
        start = self._closed(event.step, "compaction")
        if start is None:
            self._closed(event.step, "step")
        if start is None or body.status != "completed":
            return None
        facts = {**self._facts(start.facts), **self._facts(body.metadata)}
        before, after = _count(facts, "messages_before"), _count(facts, "messages_after")
        summary = _count(facts, "summary_chars") or 0
        # Messages that only became shorter gave way to no other.
        shortened = before == after and not summary
        return ContextCompaction(
            archived_messages=0 if before is None or after is None or shortened else max(0, before - after + 1),
            new_summary_len=summary,
            iteration=start.iteration,
        )

    def _noted(self, event: Event, body: Note) -> AgentTraceEvent | None:
        if not body.name.startswith(NOTE):
            return None
        self.owner = self._whose()
        said = event_of(body.name[len(NOTE) :], self._value(body.data))
        match said:
            case LlmCall():
                self._requests += 1
                self._highest = max(self._highest, said.iteration)
            case ToolExecution():
                self._ran(said)
            case LoopComplete():
                self._told = True
        return said

    # ---- what they share ------------------------------------------------------------------------------------------

    def _begin(self, event: Event, parent: int, step: _Open) -> None:
        self._open[event.seq] = step
        if parent == 0:
            self._top += 1
            self._brought = self._top == 1 and step.family in ("call", "tool") and step.name == self._name

    def _closed(self, step: int, family: str) -> _Open | None:
        """The open step that an end of this family closes; it was what `owner` says."""
        start = self._open.get(step)
        if start is None or start.family != family:
            return None
        del self._open[step]
        self.owner = start.owner
        return start

    def _iteration(self, body: CallStarted | ToolStarted | StepStarted) -> int:
        """The step's own number, else that of the call that asked for it, else that of the step around it, else 0."""
        if body.iteration is not None:
            self._highest = max(self._highest, body.iteration)
            self._from_zero |= body.iteration == 0
            return body.iteration
        asked_by = self._calls.get(body.requested_by or -1) if isinstance(body, ToolStarted) else None
        if asked_by is not None and isinstance(asked_by.event, LlmCall | LlmFailed):
            return asked_by.event.iteration
        around = self._open.get(body.parent)
        return 0 if around is None else around.iteration

    def _ran(self, said: ToolExecution) -> None:
        if len(self._used) < MOST_NAMES:
            self._used.append(said.tool_name)
        if said.status == "ok":
            self._succeeded[said.tool_name] = None

    def _facts(self, content: Content | None) -> Mapping[str, Any]:
        value = self._value(content)
        return value if isinstance(value, dict) else {}

    def _value(self, content: Content | None) -> Any:
        """The recorded value; None when it was not kept, or is not at hand."""
        if content is None:
            return None
        text = text_of(content, self._fetch)
        try:
            return None if text is None else msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError):
            return None

    _handlers: ClassVar[Mapping[type, Callable[[RunTrace, Event, Any], Any]]] = {
        RunStarted: _run_started,
        RunEnded: _run_ended,
        RunResumed: _run_resumed,
        StepStarted: _step_started,
        StepEnded: _step_ended,
        CallStarted: _call_started,
        CallEnded: _call_ended,
        CallMetered: _call_metered,
        ToolStarted: _tool_started,
        ToolEnded: _tool_ended,
        LimitHit: _limit_hit,
        Note: _noted,
    }
    concerns: ClassVar[frozenset[type]] = frozenset(_handlers)
    """Bodies that can change a trace; `apply` does nothing for all others."""


def events_of(events: Iterable[Event], fetch: Fetch | None = None) -> list[AgentTraceEvent]:
    """The trace events of one run, in order; `events` are the run's own, in order, as a store gives them.

    `fetch` (`store.fetch`) reads what the store keeps by hash: notes and metadata that are larger than 512 bytes.
    """
    trace = RunTrace(fetch)
    told = [said for event in events if (said := trace.apply(event)) is not None]
    return [said.event for said in told]


def fold(events: Iterable[Event], fetch: Fetch | None = None) -> AgentTraceSummary:
    """The summary of one run from its events, as for `events_of`."""
    trace = RunTrace(fetch)
    for event in events:
        trace.apply(event)
    return trace.summary


def _tokens(usage: Usage) -> tuple[int, int, int]:
    """(input, output, cache reads); 0 for what nobody said."""
    cached = usage.cache_read or 0
    return (usage.input_uncached or 0) + cached + (usage.cache_write or 0), usage.output or 0, cached


def _count(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return value if type(value) is int else None


def _whole(number: float) -> int:
    return int(number) if math.isfinite(number) else 0


def _millis(ns: int) -> int:
    return max(0, ns) // 1_000_000


def _remember(recent: dict[int, Value], step: int, value: Value) -> None:
    """Keep it, and let the oldest go when there are twice as many as wanted: seldom, then all at once."""
    recent[step] = value
    if len(recent) > 2 * RECENT:
        for old in list(recent)[:RECENT]:
            del recent[old]
