"""A run, from a trigger to an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from tachograph.errors import LimitExceeded
from tachograph.events.limit import LimitHit, Mode
from tachograph.events.run import STOP_REASONS, RunEnded, Status, stop_reason_allowed
from tachograph.record import scope
from tachograph.record.door import Place, Recorded, kept, open_run
from tachograph.record.failure import reason_for
from tachograph.record.intent import Trigger, one_of
from tachograph.record.recorder import LiveRun, Recorder, log
from tachograph.record.step import transcribe

if TYPE_CHECKING:
    from tachograph.limits.limit import Limits


class Run(Recorded):
    """A run: from a trigger to an outcome. Inside another run it is a child of the current step."""

    metadata: Any = None
    """More facts, known only at the end."""
    discarded = False
    """The outcome was thrown away (a newer message came): not billable."""
    unasked = False
    """No limit is asked whether it may begin: giving a conversation to a person is the way out of every limit."""
    _reason = ""

    _live: LiveRun | None = None
    """The run itself, recorded or not."""

    def __init__(self, trigger: Trigger, below: Recorded | str | None = None, limits: Limits | None = None) -> None:
        self.trigger, self.below, self.limits = trigger, below, limits

    @property
    def deadline(self) -> int | None:
        """When its time is over and that of everything inside it, in monotonic nanoseconds; None: never."""
        guard = None if self._live is None else self._live.guard
        return None if guard is None else guard.deadline

    def call_seconds(self) -> float | None:
        """Seconds that a model request may take by the limits on calls; None: as long as the run has."""
        live = self._live
        if live is None or live.guard is None:
            return None
        now = live.recorder.clock.mono()
        until, deadline = live.guard.until("llm", now), live.guard.deadline
        return None if until is None or until == deadline else max(0.0, (until - now) / 1e9)

    @property
    def last_seq(self) -> int:
        """Number of its last event; -1 when nothing of it was recorded."""
        return -1 if self._live is None else self._live.next_seq - 1

    def narrow(self, limits: Limits | None) -> None:
        """From now on it also keeps to these limits, counted from now; None: to its own alone again."""
        live = self._live
        if live is not None and live.guard is not None:
            live.guard.narrow(limits, live.recorder.clock.mono())

    def remaining(self) -> Mapping[str, float]:
        """Metric → how much of it is left, by the strictest limit: counts, tokens, USD, seconds; empty without any."""
        live = self._live
        if live is None or live.guard is None:
            return {}
        return live.guard.remaining(live.recorder.clock.mono())

    def stop(self, status: Status, reason: str = "") -> None:
        """Say how the run ended; see STOP_REASONS for the reasons a status may carry. Others are logged and ignored."""
        if status in STOP_REASONS and stop_reason_allowed(status, reason):
            self._status, self._reason = status, reason
            return
        log.error("run.stop(%r, %r) is ignored: see STOP_REASONS for what may be said", status, reason)

    def reached(self, limit: LimitExceeded) -> None:
        """A limit of this run was reached by a run below it, in whose record the refusal stands."""
        self._say(
            lambda recorder: LimitHit(
                metric=limit.metric, scope=limit.scope, mode=one_of(limit.mode, Mode, "stop"), used=limit.used,
                requested=limit.requested, threshold=limit.threshold, reason=recorder.plain(limit.reason),
            )
        )  # fmt: skip

    def transcribe(self, messages: Sequence[Any], noted: Mapping[str, Any] | None = None) -> int | None:
        """Record how a conversation stands, as far as no request has shown it: the seq of its last message.

        `noted` stands in a note `conversation` behind them. None when there is no message, when it could not be kept,
        or after the end of the run.
        """
        recorder, run = self._recorder, self._run
        if recorder is None or run is None or run.ended:
            return None
        try:
            return transcribe(recorder, run, messages, noted)
        except Exception as problem:  # noqa: BLE001 - rule: instrumentation never breaks what it wraps
            recorder.fault("transcribe", problem)
            return None

    def _again(self) -> Run:
        again = Run(self.trigger, self.below, self.limits)
        again.source = self.source
        return again

    def _begin(self, recorder: Recorder, caller: FrameType | None) -> None:
        above = self._place(recorder)
        run = open_run(
            recorder, self.trigger, above, self.limits, lambda begun: self._is(begun, above), asked=not self.unasked
        )
        if run is None:
            return
        self._scope = scope.enter(run, 0, caller, surrounds=self.surrounds)

    def _is(self, run: LiveRun, above: Place | None) -> None:
        self._live = run
        if run.kept:
            self._run, self._number, self._above = run, 0, above

    def _finish(self, recorder: Recorder, error: BaseException | None) -> None:
        if self._run is None:
            return
        status, failure = self._verdict(error)
        reason = self._reason or reason_for(status, error or self._error)
        if status == "completed" and not reason and self.output is not None:
            reason = "final_answer"
        ended = RunEnded(
            status=status,
            stop_reason=reason,
            output=kept(recorder, self.output),
            error=failure,
            discarded=self.discarded,
            metadata=kept(recorder, self.metadata),
        )
        recorder.end_run(self._run, ended)


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
    action_type: str | None = None,
    refs: Mapping[str, str] | None = None,
    input: Any = None,  # noqa: A002 - the word of the domain
    traceparent: str | None = None,
    execution_id: str | None = None,
    below: Recorded | str | None = None,
    limits: Limits | str | None = None,
) -> Run:
    """A run, as context manager (plain or async) or decorator.

    `session` groups runs of one conversation, `tenant` separates customers, `platform` names where the trigger came
    from, `refs` are application ids (report_id, completion_id, widget_id, step_id), `traceparent` continues a trace of
    another system (W3C Trace Context). `execution_id` groups runs under an id of the program's own; else one is made.
    `below` is a run or step, or the id of one, that is open in this process and whose child it shall be although it is
    not inside it.

    `limits` bounds it and all runs inside it, as `Limits` or as text ("15 turns, $1, 60s"); what goes beyond raises
    LimitExceeded before it happens. Without, a run is bounded by the run it is inside, or by `configure(limits=…)`.
    Raises SettingsError for limits that cannot be used.
    """
    return Run(
        Trigger(
            name, session, user, tenant, tags, metadata, version, environment, platform, agent_type, input, traceparent,
            action_type, refs, execution_id,
        ),
        below,
        stated(limits),
    )  # fmt: skip


def stated(limits: Limits | str | None) -> Limits | None:
    """Limits as a program states them, as a value. Raises SettingsError for text that says none."""
    if limits is None:
        return None
    from tachograph.limits.text import read  # noqa: PLC0415 - only programs that have limits need it

    return read(limits)
