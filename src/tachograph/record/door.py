"""The door. Every effect enters here: it is admitted, its start is durable before it begins, and it ends exactly once.

One context manager serves plain, `async with` and streamed use, since nothing in it waits: a whole call is a drained
stream. It works as a decorator too. Inside, a failure of our own is counted and the program goes on as if nothing
recorded it; the one exception that leaves is `LimitExceeded`, raised before the effect.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from msgspec import structs

from tachograph.errors import LimitExceeded
from tachograph.events.content import Content
from tachograph.events.ids import is_execution_id, step_id
from tachograph.events.note import Note, Score, ScoreKind
from tachograph.events.run import Failure, RunEnded, RunStarted, Status
from tachograph.fold.steps import ending
from tachograph.limits import guard as limits
from tachograph.limits.guard import error_of, hit_of
from tachograph.record import scope
from tachograph.record.failure import failure_of, reason_for, status_of, stop_reason_of
from tachograph.record.intent import LLMCall, ToolCall, Trigger, Work, one_of
from tachograph.record.recorder import LiveRun, Recorder
from tachograph.record.spell import text_of

if TYPE_CHECKING:
    from tachograph.limits.limit import Limits

Place = tuple[LiveRun, int]
"""A run and the number of a step in it."""
IntentT = TypeVar("IntentT", LLMCall, ToolCall, Work)
Function = TypeVar("Function", bound=Callable[..., Any])
_UNCOUNTED = limits.Spent()
"""What a guard that counts itself is told."""


class Recorded(ABC):
    """What runs and steps share: entering, leaving, deciding how it ended. Each object is entered once."""

    source: Callable[[], Recorder | None] = staticmethod(scope.recorder_or_none)
    """Where it finds its recorder; asked when it is entered."""
    below: Recorded | str | None = None
    """What it belongs below (a run or step, or its id), though that does not surround it; ignored unless open here."""
    surrounds = True
    """Whether what happens until its end belongs below it; else only what says so does."""
    _kind = "custom"
    _recorder: Recorder | None = None
    _run: LiveRun | None = None
    _number: int | None = None
    _scope: scope.Scope | None = None
    _above: Place | None = None
    _status: Status | None = None
    _error: BaseException | None = None
    output: Any = None
    """What came of it; any object."""

    # ---- what a program may ask and say ---------------------------------------------------------------------------

    @property
    def number(self) -> int | None:
        """Number of the step in its run; None before it was entered, or when it could not be recorded."""
        return self._number

    @property
    def id(self) -> str | None:
        """Id of the step (the `id` column of the tables); None as for `number`."""
        return None if self._run is None or self._number is None else step_id(self._run.id, self._number)

    @property
    def latest(self) -> tuple[int, int] | None:
        """When the last event of its run was recorded (right after its start, that): UTC and monotonic nanoseconds."""
        return None if self._run is None or self._number is None else (self._run.at, self._run.mono)

    @property
    def run_id(self) -> str | None:
        """Id of the run it belongs to."""
        return None if self._run is None else self._run.id

    @property
    def parent_id(self) -> str | None:
        """Id of the step it belongs below, for a run that of another run; None for a run that nothing started."""
        return None if self._above is None else step_id(self._above[0].id, self._above[1])

    @property
    def execution_id(self) -> str | None:
        """Public grouping id of the run it belongs to."""
        return None if self._run is None else self._run.execution_id

    def fail(self, error: BaseException | str) -> None:
        """It failed although nothing is raised."""
        self._status = "failed"
        self._error = error if isinstance(error, BaseException) else RuntimeError(error)

    def cancel(self, reason: str = "") -> None:
        """It was called off although nothing is raised."""
        self._status = "cancelled"
        self._error = RuntimeError(reason) if reason else None

    def note(self, name: str, data: Any = None) -> None:
        """Remember something at this point."""
        self._say(lambda recorder: Note(name=recorder.plain(name), data=kept(recorder, data)))

    def score(self, name: str, value: float | None = None, *, label: str | None = None, **facts: Any) -> None:
        """Judge this step. `facts`: kind (user, judge, rule, benchmark), comment, author."""
        self._say(lambda recorder: _score(recorder, name, value, label, self._number or 0, facts))

    # ---- entering and leaving -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start. Raises LimitExceeded when a guard refuses; nothing else."""
        self.enter(sys._getframe(1))  # noqa: SLF001 - whose `with` it is; see scope
        return self

    async def __aenter__(self) -> Self:
        """Start; the same as `with`."""
        self.enter(sys._getframe(1))  # noqa: SLF001 - whose `with` it is; see scope
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; exceptions pass through."""
        self.leave(error)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; the same as `with`."""
        self.leave(error)

    def __call__(self, function: Function) -> Function:
        """As a decorator: each call of `function` (plain, async, generator, async generator) is one of these."""
        from tachograph.record.wrap import wrap  # noqa: PLC0415 - loads inspect, which only decorators need

        return wrap(function, lambda args, kwargs: self._again())

    def __del__(self) -> None:
        """An abandoned stream: its end is written by the next event or the worker, never from a finaliser."""
        if self._scope is not None and self._recorder is not None:
            self._recorder.later(lambda: self.leave(GeneratorExit()))

    def enter(self, caller: FrameType | None) -> None:
        """Start, in the frame of whoever is inside it; what `with` does. Raises LimitExceeded as that does."""
        recorder = self._recorder = self.source()
        if recorder is None:
            return
        try:
            self._begin(recorder, caller)
        except LimitExceeded:
            raise
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks the call it wraps
            recorder.fault("enter", problem)

    def leave(self, error: BaseException | None = None) -> None:
        """End, once; what leaving the `with` block does. `error` is what ended it."""
        recorder, entered, self._scope = self._recorder, self._scope, None
        if recorder is None or entered is None:
            return
        try:
            self._finish(recorder, error)
        except Exception as problem:  # noqa: BLE001 - as above
            recorder.fault("exit", problem)
        finally:
            scope.leave(entered)

    def _verdict(self, error: BaseException | None) -> tuple[Status, Failure | None]:
        error = error if error is not None else self._error
        status = self._status or status_of(error)
        if error is None or self._recorder is None:
            return status, None
        keeps = self._recorder.scrubber.keeps_content
        return status, failure_of(error, self._recorder.plain, content=keeps)

    def _place(self, recorder: Recorder) -> Place | None:
        """Where it belongs: below what it was told, or else below the current step."""
        told = self.below.id if isinstance(self.below, Recorded) else self.below
        if told is not None and (found := recorder.find(told)) is not None:
            return found
        if told is None and isinstance(self.below, Recorded) and (entered := self.below._scope) is not None:  # noqa: SLF001 - of its own kind
            return entered.run, entered.step
        here = scope.current(recorder)
        return None if here is None else (here.run, here.step)

    def _say(self, body: Callable[[Recorder], Any]) -> None:
        if self._recorder is None or self._run is None or self._number is None:
            return
        try:
            self._recorder.emit(self._run, body(self._recorder), self._number)
        except Exception as problem:  # noqa: BLE001 - as above
            self._recorder.fault("note", problem)

    @abstractmethod
    def _begin(self, recorder: Recorder, caller: FrameType | None) -> None:
        """Admit, record the start, enter the scope."""

    @abstractmethod
    def _finish(self, recorder: Recorder, error: BaseException | None) -> None:
        """Record the end."""

    @abstractmethod
    def _again(self) -> Recorded:
        """A fresh one of the same, for the next call of a decorated function."""


class Step(Recorded, Generic[IntentT]):
    """A step inside a run; outside any run it brings a run of its own."""

    metadata: Any = None
    """More facts, known only at the end."""
    trigger: Trigger | None = None
    """Given, the step brings a run of its own wherever it is, begun by this."""
    _own_run = False
    _ticket: limits.Ticket | None = None
    _guard: limits.Guard | None = None
    """Who gave the ticket."""
    _started_at = 0

    def __init__(self, intent: IntentT) -> None:
        self.intent: IntentT = intent

    @property
    def notices(self) -> tuple[limits.Notice, ...]:
        """What the guard noticed when it admitted the step: limits that are near, or that only warn."""
        return () if self._ticket is None else self._ticket.notices

    def _again(self) -> Step[IntentT]:
        again = type(self)(self.intent)
        again.below, again.trigger, again.source = self.below, self.trigger, self.source
        return again

    def _begin(self, recorder: Recorder, caller: FrameType | None) -> None:
        here = self._place(recorder)
        if recorder.late:
            recorder.settle_late()
        run, parent = here or (None, 0)
        if self.trigger is not None or run is None or run.ended or not run.is_of(recorder):
            run, parent = open_run(recorder, self.trigger or Trigger(self._name()), here), 0
            self._own_run = True
        if run is None:
            return
        self._above = (run, parent) if run.kept else None
        self._run = run if run.kept else None
        self._admit(recorder, run, parent)
        bounded = False
        try:
            self._enter(recorder, run, parent, caller)
            bounded = run.guard is not None
        except Exception as problem:  # noqa: BLE001 - what cannot be recorded is bounded all the same
            recorder.fault("enter", problem)
            bounded = run.guard is not None
        finally:
            if self._scope is None:
                self._unrecorded(recorder, run, parent, bounded=bounded)

    def _enter(self, recorder: Recorder, run: LiveRun, parent: int, caller: FrameType | None) -> None:
        self._started_at = recorder.clock.mono()
        number = self._number = self._record_start(recorder, run, parent) if run.kept else None
        if number is None:
            return
        ticket = self._ticket
        if ticket is not None:
            if run.guard is not None:
                run.guard.began(ticket, number)
            for notice in ticket.notices:
                recorder.emit(run, hit_of(notice), number)
        self._scope = scope.enter(run, number, caller, surrounds=self.surrounds)

    def _finish(self, recorder: Recorder, error: BaseException | None) -> None:
        run, number = self._run, self._number
        if run is None or number is None:
            self._settle(recorder, *self._verdict(error), error or self._error)
            if run is not None and self._own_run:
                recorder.end_run(run, RunEnded(status="abandoned"))
            return
        status, failure = self._verdict(error)
        try:
            if recorder.claim(run, number):
                self._record_end(recorder, run, number, status, failure)
            elif run.is_of(recorder):
                self._record_late(recorder, run, number)
        except Exception as problem:  # noqa: BLE001 - what it would have said is lost; that it ended is not
            recorder.fault("exit", problem)
            recorder.finish(run, lambda seq: ((ending(self._kind, status, Failure("RecorderFault")), number),))
        finally:
            self._settle(recorder, status, failure, error or self._error)
            if self._own_run:
                reason = reason_for(status, error or self._error)
                recorder.end_run(run, RunEnded(status=status, stop_reason=reason, error=failure))

    def _admit(self, recorder: Recorder, run: LiveRun, parent: int) -> None:
        guard = self._guard = run.guard or recorder.guard
        answer = None if type(guard) is limits.AdmitAll else self._answer(recorder, run, guard)
        if not isinstance(answer, limits.Refused):
            self._ticket = answer
            return
        refusal = error_of(answer)
        if run.kept:
            try:
                self._refused(recorder, run, parent, answer)
            except Exception as problem:  # noqa: BLE001 - what cannot be recorded is refused all the same
                recorder.fault("refusal", problem)
            if self._own_run:
                end_refused(recorder, run, refusal)
        raise refusal

    def _answer(self, recorder: Recorder, run: LiveRun, guard: limits.Guard) -> limits.Ticket | limits.Refused | None:
        """What the guard says; a run's own guard counts itself, and has a lock of its own."""
        try:
            intent = self._asked(run)
        except Exception as problem:  # noqa: BLE001 - what cannot be measured is counted all the same
            recorder.fault("guard", problem)
            intent = Step._asked(self, run)
        try:
            now = recorder.clock.mono()
            if guard is run.guard:
                return guard.admit(intent, _UNCOUNTED, now)
            # Asked and counted in one, so that no two threads are both told of the last place.
            with recorder.admission:
                answer = guard.admit(intent, limits.Spent(run.llm_calls, run.tool_calls, now - run.started), now)
                if isinstance(answer, limits.Ticket):
                    self._count(run)
                return answer
        except Exception as problem:  # noqa: BLE001 - a guard that fails is a fault of ours, not a refusal
            recorder.fault("guard", problem)
            return None

    def _refused(self, recorder: Recorder, run: LiveRun, parent: int, answer: limits.Refused) -> None:
        recorder.emit(run, hit_of(answer, self._kind_asked(), recorder.plain(self._name())), parent)

    def _settle(
        self, recorder: Recorder, status: Status, failure: Failure | None = None, error: BaseException | None = None
    ) -> None:
        ticket, guard = self._ticket, self._guard
        self._guard = None
        if ticket is None or guard is None:
            return
        try:
            said = guard.settle(ticket, self._settled(status, failure, error), recorder.clock.mono())
            run, number = self._run, self._number
            for notice in said or ():
                if run is not None and number is not None:
                    recorder.emit(run, hit_of(notice), number)
        except Exception as problem:  # noqa: BLE001 - as for admit
            recorder.fault("guard", problem)

    def _count(self, run: LiveRun) -> None:
        """It was admitted: what a guard is told to have been spent."""

    def _unrecorded(self, recorder: Recorder, run: LiveRun, parent: int, *, bounded: bool) -> None:
        """The start could not be recorded. A bounded step is followed to its end; else what was taken is given back."""
        number, self._number = self._number, None
        if number is not None and recorder.claim(run, number):
            fault = Failure("RecorderFault", "the step could not be entered")
            recorder.finish(run, lambda seq: ((ending(self._kind, "abandoned", fault), number),))
        if bounded:
            self._scope = scope.enter(run, parent, None, surrounds=self.surrounds)
            return
        self._settle(recorder, "abandoned")
        if self._own_run and run.kept:
            recorder.end_run(run, RunEnded(status="abandoned"))

    def _asked(self, run: LiveRun) -> limits.Intent:
        name = text_of(self._name())
        return limits.Intent(run.id, self._kind_asked(), name, tenant=run.tenant, session=run.session)

    def _kind_asked(self) -> str:
        """What a guard takes it for."""
        return self._kind

    def _settled(self, status: Status, failure: Failure | None, error: BaseException | None) -> limits.Settled:
        return limits.Settled(status, self._number, error="" if failure is None else failure.type)

    @abstractmethod
    def _name(self) -> str:
        """What a guard calls it."""

    @abstractmethod
    def _record_start(self, recorder: Recorder, run: LiveRun, parent: int) -> int | None:
        """Record its start; the step's number, or None when it could not be kept."""

    @abstractmethod
    def _record_end(
        self, recorder: Recorder, run: LiveRun, number: int, status: Status, failure: Failure | None
    ) -> None:
        """Record its end; called once."""

    def _record_late(self, recorder: Recorder, run: LiveRun, number: int) -> None:
        """Record what must not be lost of an end that comes when the step was closed by another: its run ended."""


def open_run(
    recorder: Recorder,
    trigger: Trigger,
    place: Place | None,
    bounds: Limits | None = None,
    begun: Callable[[LiveRun], object] = lambda run: None,
    *,
    asked: bool = True,
) -> LiveRun | None:
    """Begin a run for a trigger, as a child of the step at this place if there is one, within these limits.

    Raises LimitExceeded when a limit on runs refuses it: then it is recorded as one that ended at once. `begun` is told
    of the run either way. Without `asked` no limit stands in its way.
    """
    above, at = place or (None, None)
    outer = scope.current() if above is None else None
    # A run that is recorded elsewhere bounds what is inside it all the same.
    over = above.guard if above is not None else None if outer is None else outer.run.guard
    if above is not None and not above.kept:
        above = at = None
    trace_id, trace_parent = scope.parse_traceparent(trigger.traceparent)
    if above is not None and trace_id is None:
        trace_id = above.trace_id

    def fill(run: str, execution: str, owner: str, now: int) -> RunStarted:
        started = RunStarted(
            name=recorder.plain(trigger.name), execution_id=_grouping(recorder, trigger.execution_id) or execution,
            parent_run=above.id if above else None, parent_step=at,
            session=recorder.word(above.session if above and trigger.session is None else trigger.session),
            tenant=recorder.plain(trigger.tenant), trace_id=trace_id, trace_parent=trace_parent, owner=owner,
        )  # fmt: skip
        try:
            return structs.replace(started, **_facts(recorder, trigger))
        except Exception as problem:  # noqa: BLE001 - a run is begun, and bounded, whatever else is said of it
            recorder.fault("enter", problem)
            return started

    mine = trigger.session is not None
    account = recorder.scrubber.named(trigger.session) if mine else above.account if above is not None else None
    run = recorder.start_run(fill, bounds, over, account)
    if run is not None:
        begun(run)
        if asked:
            _admit_run(recorder, run)
    return run


def _facts(recorder: Recorder, trigger: Trigger) -> dict[str, Any]:
    """What else the start of a run says of its trigger."""
    return {
        "user": recorder.word(trigger.user), "tags": tuple(map(recorder.plain, trigger.tags)),
        "version": recorder.word(trigger.version), "metadata": kept(recorder, trigger.metadata),
        "environment": recorder.word(trigger.environment), "platform": recorder.word(trigger.platform),
        "agent_type": recorder.word(trigger.agent_type), "action_type": recorder.word(trigger.action_type),
        "refs": recorder.words(trigger.refs), "input": kept(recorder, trigger.input),
    }  # fmt: skip


def _admit_run(recorder: Recorder, run: LiveRun) -> None:
    """Ask the run's own guard whether there may be one more run."""
    if run.guard is None:
        return
    intent = limits.Intent(run.id, "run", run.name, tenant=run.tenant, session=run.session)
    try:
        answer = run.guard.admit(intent, _UNCOUNTED, recorder.clock.mono())
    except Exception as problem:  # noqa: BLE001 - as for a step
        recorder.fault("guard", problem)
        return
    if isinstance(answer, limits.Refused):
        refusal = error_of(answer)
        recorder.emit(run, hit_of(answer, "run", run.name), 0)
        end_refused(recorder, run, refusal)
        raise refusal
    for notice in answer.notices:
        recorder.emit(run, hit_of(notice), 0)


def end_refused(recorder: Recorder, run: LiveRun, refusal: LimitExceeded) -> None:
    """End a run that was refused what it was begun for."""
    failure = failure_of(refusal, recorder.plain)
    recorder.end_run(run, RunEnded(status="failed", stop_reason=stop_reason_of(refusal), error=failure))


def _grouping(recorder: Recorder, execution_id: str | None) -> str | None:
    """A grouping id that the program gave. One of our own making holds no secret, though it has digits like one."""
    if isinstance(execution_id, str) and is_execution_id(execution_id):
        return execution_id
    return recorder.word(execution_id)


def _score(
    recorder: Recorder, name: str, value: float | None, label: str | None, target: int, facts: dict[str, Any]
) -> Score:
    return Score(
        name=recorder.plain(name),
        value=None if value is None else float(value),
        label=recorder.word(label),
        kind=one_of(facts.get("kind"), ScoreKind, "rule"),
        comment=recorder.word(facts.get("comment")),
        author=recorder.word(facts.get("author")),
        target=target,
    )


def kept(recorder: Recorder, value: Any) -> Content | None:
    """A value as content; None when there is none."""
    return None if value is None else recorder.content(value)
