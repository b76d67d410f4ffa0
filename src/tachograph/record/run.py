"""A run, from a trigger to an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from types import FrameType
from typing import Any

from tachograph.events.run import STOP_REASONS, RunEnded, Status, stop_reason_allowed
from tachograph.record import scope
from tachograph.record.door import Recorded, kept, open_run
from tachograph.record.failure import stop_reason_of
from tachograph.record.intent import Trigger
from tachograph.record.recorder import Recorder, log


class Run(Recorded):
    """A run: from a trigger to an outcome. Inside another run it is a child of the current step."""

    discarded = False
    """The outcome was thrown away (a newer message came): not billable."""
    _reason = ""

    def __init__(self, trigger: Trigger) -> None:
        self.trigger = trigger

    def stop(self, status: Status, reason: str = "") -> None:
        """Say how the run ended; see STOP_REASONS for the reasons a status may carry. Others are logged and ignored."""
        if status in STOP_REASONS and stop_reason_allowed(status, reason):
            self._status, self._reason = status, reason
            return
        log.error("run.stop(%r, %r) is ignored: see STOP_REASONS for what may be said", status, reason)

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
            output=kept(recorder, self.output),
            error=failure,
            discarded=self.discarded,
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
