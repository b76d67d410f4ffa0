"""The door. Every effect enters here: it is admitted, its start is durable before it begins, and it ends exactly once.

One context manager serves plain, `async with` and streamed use, since nothing in it waits: a whole call is a drained
stream. It works as a decorator too. Inside, a failure of our own is counted and the program goes on as if nothing
recorded it; the one exception that leaves is `LimitExceeded`, raised before the effect.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from types import FrameType, TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from tachograph.errors import LimitExceeded
from tachograph.events.call import CallEnded, CallStarted
from tachograph.events.content import Content
from tachograph.events.ids import step_id
from tachograph.events.limit import LimitHit
from tachograph.events.message import MessageAppended
from tachograph.events.note import Note, Score
from tachograph.events.run import Failure, RunEnded, RunStarted, Status, StepEnded, StepStarted
from tachograph.events.tool import ToolEnded, ToolStarted, ToolState
from tachograph.events.usage import Usage
from tachograph.limits import guard as limits
from tachograph.record import scope
from tachograph.record.failure import failure_of, status_of, stop_reason_of
from tachograph.record.intent import Intent, LLMCall, ToolCall, Trigger, Work
from tachograph.record.prefix import role_of
from tachograph.record.recorder import LiveRun, Recorder
from tachograph.record.timeline import Beats

IntentT = TypeVar("IntentT", LLMCall, ToolCall, Work)
Function = TypeVar("Function", bound=Callable[..., Any])


class _Recorded(ABC):
    """What runs and steps share: entering, leaving, deciding how it ended. Each object is entered once."""

    _kind = "custom"

    def __init__(self) -> None:
        self._recorder: Recorder | None = None
        self._run: LiveRun | None = None
        self._number: int | None = None
        self._scope: scope.Scope | None = None
        self._status: Status | None = None
        self._error: BaseException | None = None
        self.output: Any = None
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
    def run_id(self) -> str | None:
        """Id of the run it belongs to."""
        return None if self._run is None else self._run.id

    @property
    def execution_id(self) -> str | None:
        """Public grouping id of the run it belongs to."""
        return None if self._run is None else self._run.execution_id

    def fail(self, error: BaseException | str) -> None:
        """It failed although nothing is raised."""
        self._status = "failed"
        self._error = error if isinstance(error, BaseException) else RuntimeError(error)

    def note(self, name: str, data: Any = None) -> None:
        """Remember something at this point."""
        self._say(lambda recorder: Note(name=name, data=_kept(recorder, data)))

    def score(self, name: str, value: float | None = None, *, label: str | None = None, **facts: Any) -> None:
        """Judge this step. `facts`: kind (user, judge, rule, benchmark), comment, author."""
        self._say(lambda _: Score(name=name, value=value, label=label, target=self._number or 0, **facts))

    # ---- entering and leaving -------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start. Raises LimitExceeded when a guard refuses; nothing else."""
        self._enter(sys._getframe(1))
        return self

    async def __aenter__(self) -> Self:
        """Start; the same as `with`."""
        self._enter(sys._getframe(1))
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; exceptions pass through."""
        self._exit(error)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; the same as `with`."""
        self._exit(error)

    def __call__(self, function: Function) -> Function:
        """As a decorator: each call of `function` (plain, async, generator, async generator) is one of these."""
        from tachograph.record.wrap import wrap  # noqa: PLC0415 - loads inspect, which only decorators need

        return wrap(function, lambda args, kwargs: self._again())

    def __del__(self) -> None:
        """An abandoned stream: its end is written by the next event or the worker, never from a finaliser."""
        if self._scope is not None and self._recorder is not None:
            self._recorder.later(lambda: self._exit(GeneratorExit()))

    def _enter(self, caller: FrameType | None) -> None:
        recorder = self._recorder = scope.recorder()
        try:
            self._begin(recorder, caller)
        except LimitExceeded:
            raise
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks the call it wraps
            recorder.fault("enter", problem)

    def _exit(self, error: BaseException | None) -> None:
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
    def _again(self) -> _Recorded:
        """A fresh one of the same, for the next call of a decorated function."""


class Run(_Recorded):
    """A run: from a trigger to an outcome. Inside another run it is a child of the current step."""

    def __init__(self, trigger: Trigger) -> None:
        super().__init__()
        self.trigger = trigger
        self._reason = ""
        self.discarded = False
        """The outcome was thrown away (a newer message came): not billable."""

    def stop(self, status: Status, reason: str = "") -> None:
        """Say how the run ended; see STOP_REASONS for the reasons a status may carry."""
        self._status, self._reason = status, reason

    def _again(self) -> Run:
        return Run(self.trigger)

    def _begin(self, recorder: Recorder, caller: FrameType | None) -> None:
        run = open_run(recorder, self.trigger)
        if run is None:
            return
        self._run, self._number = run, 0
        self._scope = scope.enter(run, 0, caller)

    def _finish(self, recorder: Recorder, error: BaseException | None) -> None:
        if self._run is None:
            return
        status, failure = self._verdict(error)
        reason = self._reason or stop_reason_of(error or self._error)
        if status == "completed" and not reason and self.output is not None:
            reason = "final_answer"
        ended = RunEnded(
            status=status,
            stop_reason=reason,
            output=_kept(recorder, self.output),
            error=failure,
            discarded=self.discarded,
        )
        recorder.end_run(self._run, ended)


class Step(_Recorded, Generic[IntentT]):
    """A step inside a run; outside any run it brings a run of its own."""

    def __init__(self, intent: IntentT) -> None:
        super().__init__()
        self.intent = intent
        self.metadata: Any = None
        """More facts, known only at the end."""
        self._own_run = False
        self._ticket: limits.Ticket | None = None
        self._started_at = 0

    def _again(self) -> Step[IntentT]:
        return type(self)(self.intent)

    def _begin(self, recorder: Recorder, caller: FrameType | None) -> None:
        here = scope.current()
        if here is None or here.run.ended or here.run.generation != recorder.generation:
            run, parent = open_run(recorder, Trigger(self._name())), 0
            self._own_run = True
        else:
            run, parent = here.run, here.step
        if run is None:
            return
        self._run = run
        self._admit(recorder, run, parent)
        self._started_at = recorder.clock.mono()
        number = recorder.start(run, self._started(recorder, run, parent), self._kind)
        if number is None:
            return
        self._number = number
        self._scope = scope.enter(run, number, caller)

    def _finish(self, recorder: Recorder, error: BaseException | None) -> None:
        run, number = self._run, self._number
        if run is None or number is None:
            return
        status, failure = self._verdict(error)
        try:
            if number in run.open:
                recorder.end(run, number, self._ended(recorder, run, status, failure))
        finally:
            self._settle(recorder)
            if self._own_run:
                reason = stop_reason_of(error or self._error)
                recorder.end_run(run, RunEnded(status=status, stop_reason=reason, error=failure))

    def _admit(self, recorder: Recorder, run: LiveRun, parent: int) -> None:
        if type(recorder.guard) is limits.AdmitAll:
            return
        now = recorder.clock.mono()
        spent = limits.Spent(run.llm_calls, run.tool_calls, now - run.started)
        try:
            answer = recorder.guard.admit(self._asked(run), spent, now)
        except Exception as problem:  # noqa: BLE001 - a guard that fails is a fault of ours, not a refusal
            recorder.fault("guard", problem)
            return
        if isinstance(answer, limits.Ticket):
            self._ticket = answer
            return
        self._refused(recorder, run, parent, answer)
        refusal = LimitExceeded(
            answer.metric, answer.used, answer.requested, answer.threshold, scope=answer.scope, reason=answer.reason
        )
        if self._own_run:
            reason = stop_reason_of(refusal)
            recorder.end_run(run, RunEnded(status="failed", stop_reason=reason, error=failure_of(refusal, recorder.plain)))
        raise refusal

    def _refused(self, recorder: Recorder, run: LiveRun, parent: int, answer: limits.Refused) -> None:
        recorder.emit(
            run,
            LimitHit(
                metric=answer.metric, scope=answer.scope, mode=answer.mode, used=answer.used, requested=answer.requested,
                threshold=answer.threshold, reason=answer.reason, refused_kind=self._kind, refused_name=self._name(),
                evidence=answer.evidence,
            ),
            parent,
        )  # fmt: skip

    def _settle(self, recorder: Recorder) -> None:
        if self._ticket is not None:
            recorder.guard.settle(self._ticket, self._used(), recorder.clock.mono())

    def _asked(self, run: LiveRun) -> limits.Intent:
        return limits.Intent(run.id, self._kind, self._name(), tenant=run.tenant, session=run.session)

    def _used(self) -> Usage | None:
        return None

    @abstractmethod
    def _name(self) -> str:
        """What a guard calls it."""

    @abstractmethod
    def _started(self, recorder: Recorder, run: LiveRun, parent: int) -> Any:
        """Its start event."""

    @abstractmethod
    def _ended(self, recorder: Recorder, run: LiveRun, status: Status, failure: Failure | None) -> Any:
        """Its end event."""


class WorkStep(Step[Work]):
    """A user step. Set `output` (and `metadata`) before it ends."""

    def _name(self) -> str:
        return self.intent.name

    def _started(self, recorder: Recorder, run: LiveRun, parent: int) -> StepStarted:
        work = self.intent
        return StepStarted(
            kind=work.kind, name=recorder.plain(work.name), parent=parent, iteration=work.iteration,
            agent_type=work.agent_type, action_type=work.action_type, input=_kept(recorder, work.input),
            metadata=_kept(recorder, work.metadata), refs=work.refs,
        )  # fmt: skip

    def _ended(self, recorder: Recorder, run: LiveRun, status: Status, failure: Failure | None) -> StepEnded:
        return StepEnded(
            status=status, output=_kept(recorder, self.output), error=failure, metadata=_kept(recorder, self.metadata)
        )


class ToolStep(Step[ToolCall]):
    """A tool call. Set `output` to its result."""

    _kind = "tool"
    _state: ToolState | None = None
    _why: str | None = None

    def reject(self, reason: str) -> None:
        """It was not allowed to run."""
        self._state, self._why = "rejected", reason

    def skip(self, reason: str) -> None:
        """It was not run, and the model is told so."""
        self._state, self._why = "skipped", reason

    def _name(self) -> str:
        return self.intent.name

    def _asked(self, run: LiveRun) -> limits.Intent:
        return limits.Intent(
            run.id, "tool", self.intent.name, tenant=run.tenant, session=run.session, arguments=str(self.intent.arguments)
        )

    def _refused(self, recorder: Recorder, run: LiveRun, parent: int, answer: limits.Refused) -> None:
        super()._refused(recorder, run, parent, answer)
        number = recorder.start(run, self._started(recorder, run, parent), "tool")
        if number is not None:
            recorder.end(run, number, ToolEnded(state="rejected", reason=answer.reason or answer.metric))

    def _started(self, recorder: Recorder, run: LiveRun, parent: int) -> ToolStarted:
        call = self.intent
        run.tool_calls += 1
        return ToolStarted(
            name=recorder.plain(call.name), call_id=call.call_id, requested_by=call.requested_by, index=call.index,
            parent=parent, iteration=call.iteration, arguments=_kept(recorder, call.arguments),
            classification=call.classification, agent_type=call.agent_type, metadata=_kept(recorder, call.metadata),
            refs=call.refs,
        )  # fmt: skip

    def _ended(self, recorder: Recorder, run: LiveRun, status: Status, failure: Failure | None) -> ToolEnded:
        state: ToolState = self._state or status  # type: ignore[assignment]  # started and paused never come from _verdict
        return ToolEnded(
            state=state, result=_kept(recorder, self.output), error=failure, reason=self._why,
            metadata=_kept(recorder, self.metadata),
        )  # fmt: skip


class CallStep(Step[LLMCall]):
    """A model call. Feed it the stream with `add`, or set `reply`; set `usage` when the provider says it."""

    _kind = "llm"

    def __init__(self, intent: LLMCall) -> None:
        super().__init__(intent)
        self.reply: Any = None
        """The assistant's message in the provider's shape, a text, or a list of messages."""
        self.usage: Usage | None = None
        """Tokens, when somebody said them; None stays `missing`, never 0."""
        self.finish_reason: str | None = None
        self.served_model: str | None = None
        self.served_tier: str | None = None
        self.response_id: str | None = None
        self.request_id: str | None = None
        self.http_status: int | None = None
        self.reported_cost: Decimal | None = None
        """What the other side said it cost, in USD."""
        self._tip: int | None = None
        self._text: list[str] = []
        self._beats: Beats | None = None
        self._first: int | None = None

    def add(self, text: str | None = None) -> None:
        """A chunk arrived, with this piece of the reply's text (or none: a keep-alive counts as no content)."""
        if self._recorder is None:
            return
        elapsed = self._recorder.clock.mono() - self._started_at
        beats = self._beats
        if beats is None:
            beats = self._beats = Beats()
        beats.beat(elapsed)
        if text:
            if self._first is None:
                self._first = elapsed
            self._text.append(text)

    def first_token(self) -> None:
        """The first content arrived, although its text is not fed through `add`."""
        if self._first is None and self._recorder is not None:
            self._first = self._recorder.clock.mono() - self._started_at

    def _name(self) -> str:
        return self.intent.model

    def _asked(self, run: LiveRun) -> limits.Intent:
        call = self.intent
        size = sum(len(str(message).encode("utf-8", "replace")) for message in call.messages)
        return limits.Intent(
            run.id, "llm", call.model, call.provider, run.tenant, run.session, call.attempt, input_bytes=size
        )

    def _used(self) -> Usage | None:
        return self.usage

    def _started(self, recorder: Recorder, run: LiveRun, parent: int) -> CallStarted:
        call = self.intent
        self._tip = run.prefix.follow(call.messages, lambda message, before: _append(recorder, run, message, before))
        run.llm_calls += 1
        return CallStarted(
            provider=call.provider, model=call.model, operation=call.operation, parent=parent, iteration=call.iteration,
            attempt=call.attempt, retry_of=call.retry_of, streaming=call.streaming, input=self._tip,
            tools=_kept(recorder, call.tools), params=_kept(recorder, call.params), tier=call.tier,
            agent_type=call.agent_type, purpose=call.purpose, metadata=_kept(recorder, call.metadata), refs=call.refs,
        )  # fmt: skip

    def _ended(self, recorder: Recorder, run: LiveRun, status: Status, failure: Failure | None) -> CallEnded:
        beats = self._beats
        return CallEnded(
            status=status, output=self._answer(recorder, run), usage=self.usage or Usage(),
            reported_cost=None if self.reported_cost is None else int(self.reported_cost * 1_000_000_000),
            finish_reason=self.finish_reason, served_model=self.served_model, served_tier=self.served_tier,
            response_id=self.response_id, request_id=self.request_id, http_status=self.http_status,
            first_token_ns=self._first, chunks=beats.chunks if beats else None,
            timeline=beats.timeline() if beats else None, error=failure, metadata=_kept(recorder, self.metadata),
        )  # fmt: skip

    def _answer(self, recorder: Recorder, run: LiveRun) -> int | None:
        reply = self.reply if self.reply is not None else self.output
        if reply is None and self._text:
            reply = "".join(self._text)
        if reply is None:
            return None
        if isinstance(reply, str):
            reply = {"role": "assistant", "content": reply}
        tip = self._tip
        for message in reply if isinstance(reply, list) else [reply]:
            seq = _append(recorder, run, message, tip)
            if seq is None:
                break
            run.prefix.extend(message, seq, tip)
            tip = seq
        return tip if tip != self._tip else None


_STEPS: Mapping[type, type[Step[Any]]] = {LLMCall: CallStep, ToolCall: ToolStep, Work: WorkStep}


def open_run(recorder: Recorder, trigger: Trigger) -> LiveRun | None:
    """Begin a run for a trigger, as a child of the current step if there is one."""
    here = scope.current()
    trace_id, trace_parent = scope.parse_traceparent(trigger.traceparent)
    if here is not None and trace_id is None:
        trace_id = here.run.trace_id

    def fill(run: str, execution: str, owner: str, now: int) -> RunStarted:
        return RunStarted(
            name=recorder.plain(trigger.name), execution_id=execution,
            parent_run=here.run.id if here else None, parent_step=here.step if here else None,
            session=trigger.session if trigger.session or not here else here.run.session,
            user=trigger.user, tenant=trigger.tenant, tags=tuple(trigger.tags), version=trigger.version,
            metadata=_kept(recorder, trigger.metadata), environment=trigger.environment, platform=trigger.platform,
            agent_type=trigger.agent_type, input=_kept(recorder, trigger.input), trace_id=trace_id,
            trace_parent=trace_parent, owner=owner,
        )  # fmt: skip

    return recorder.start_run(fill)


def _append(recorder: Recorder, run: LiveRun, message: Any, parent: int | None) -> int | None:
    body = MessageAppended(role=role_of(message), parent=parent, message=recorder.content(message))
    return recorder.emit(run, body, 0)


def _kept(recorder: Recorder, value: Any) -> Content | None:
    return None if value is None else recorder.content(value)


def run(
    name: str,
    *,
    session: str | None = None,
    user: str | None = None,
    tenant: str = "default",
    tags: Sequence[str] = (),
    metadata: Any = None,
    version: str | None = None,
    environment: str | None = None,
    platform: str | None = None,
    agent_type: str | None = None,
    input: Any = None,  # noqa: A002 - the word of the domain
    traceparent: str | None = None,
) -> Run:
    """A run, as context manager (plain or async) or decorator.

    `session` groups runs of one conversation, `tenant` separates customers, `platform` names where the trigger came
    from, `traceparent` continues a trace of another system (W3C Trace Context).
    """
    return Run(
        Trigger(
            name, session, user, tenant, tags, metadata, version, environment, platform, agent_type, input, traceparent
        )
    )


@overload
def step(what: LLMCall) -> CallStep: ...
@overload
def step(what: ToolCall) -> ToolStep: ...
@overload
def step(what: str | Work, **facts: Any) -> WorkStep: ...
def step(what: Intent | str, **facts: Any) -> Step[Any]:
    """A step, as context manager (plain or async) or decorator.

    `what` is an `LLMCall`, a `ToolCall`, or the name of a user step; then `facts` are the other fields of `Work`:
    kind, input, iteration, agent_type, action_type, metadata, refs.
    """
    intent = Work(what, **facts) if isinstance(what, str) else what
    return _STEPS[type(intent)](intent)
