"""A row of `execution_logs`: an execution of an agent, or a step of one."""

from __future__ import annotations

from types import FrameType
from typing import Any, TypedDict, get_args

from tachograph.events.run import StepKind
from tachograph.instrument.log_row import LogRow
from tachograph.instrument.target import Target
from tachograph.record import scope
from tachograph.record.door import Recorded
from tachograph.record.intent import Trigger, Work
from tachograph.record.run import Run
from tachograph.record.step import WorkStep

_KINDS = frozenset(get_args(StepKind)) - {"run", "llm", "tool"}
"""Steps that have a word of their own; the others are custom ones with their name."""


class ExecutionFacts(TypedDict, total=False):
    """What may be said of an execution beside what it is."""

    report_id: object
    """This and the other three ids of the application: a text or a UUID."""
    completion_id: object
    widget_id: object
    step_id: object
    external_platform: str | None
    """Where the trigger came from: a chat channel, an API."""
    external_user_id: str | None
    metadata: object
    execution_id: object
    """The execution it is a part of; else the logger's, or that of the execution around it, or one of its own."""


class ExecutionLog(LogRow):
    """One row. Outside any other execution it is a run; inside one it is a step of that, with its execution id."""

    COLUMNS = (
        "id", "execution_id", "agent_type", "execution_step", "action_type", "status", "start_time", "end_time",
        "duration_ms", "input_data", "output_data", "error_message", "metadata", "report_id", "completion_id",
        "widget_id", "step_id", "external_platform", "external_user_id", "created_at", "updated_at",
    )  # fmt: skip

    def __init__(
        self,
        target: Target,
        agent_type: str,
        execution_step: str,
        *,
        open_rows: dict[str, ExecutionLog],
        action_type: str | None = None,
        input_data: Any = None,
        report_id: Any = None,
        completion_id: Any = None,
        widget_id: Any = None,
        step_id: Any = None,
        external_platform: str | None = None,
        external_user_id: str | None = None,
        metadata: Any = None,
        execution_id: object = None,
    ) -> None:
        super().__init__(target, metadata)
        self._open_rows = open_rows
        self.execution_id = None if execution_id is None else str(execution_id)
        self.agent_type, self.execution_step, self.action_type = agent_type, execution_step, action_type
        self.input_data = input_data
        self.output_data: Any = None
        """What came of it; may be set until the end."""
        self.report_id, self.completion_id, self.widget_id, self.step_id = report_id, completion_id, widget_id, step_id
        self.external_platform, self.external_user_id = external_platform, external_user_id

    def begin(self, caller: FrameType | None) -> None:
        """Start, as every row; from then on its id names it."""
        super().begin(caller)
        if self.id is not None and not self._over:
            self._open_rows[self.id] = self

    def finish(self, status: str = "", message: Any = None, *, error: BaseException | None = None) -> None:
        """End, as every row."""
        super().finish(status, message, error=error)
        if self.id is not None:
            self._open_rows.pop(self.id, None)

    def _made(self) -> Recorded:
        around = self._around()
        refs = self._refs("report_id", "completion_id", "widget_id", "step_id")
        if around is None:
            trigger = Trigger(
                self.execution_step, agent_type=self.agent_type, action_type=self.action_type, refs=refs,
                platform=self.external_platform, user=self.external_user_id, metadata=self._given,
                input=self.input_data, execution_id=self.execution_id,
            )  # fmt: skip
            return Run(trigger)
        # The platform and the user are facts of the run; a step that names others keeps them among its references.
        others = self._refs("external_platform", "external_user_id")
        kind: Any = self.execution_step if self.execution_step in _KINDS else "custom"
        work = Work(
            self.execution_step, kind, self.input_data, agent_type=self.agent_type, action_type=self.action_type,
            metadata=self._given, refs={**refs, **others},
        )  # fmt: skip
        return WorkStep(work)

    def _around(self) -> scope.Scope | None:
        """The step around it, if that is open and of the same execution."""
        recorder = self._target.recorder()
        here = None if recorder is None else scope.current(recorder)
        if recorder is None or here is None or here.run.ended or not here.run.is_of(recorder):
            return None
        return here if self.execution_id in (None, here.run.execution_id) else None

    def _say_results(self, step: Recorded) -> None:
        step.output = self.output_data
        if isinstance(step, Run | WorkStep):
            step.metadata = self._late_metadata()
