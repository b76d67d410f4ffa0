"""What the loggers hand out: a row that goes from its start to its one end.

A row is a plain value with the columns of its table as attributes, a context manager for `with` and `async with`, and
may be awaited where a program is written that way: nothing in it waits. Nothing here fails either: what goes wrong on
our side is counted, and the row then says as much as is known.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from types import FrameType, TracebackType
from typing import Any, ClassVar, Self
from uuid import UUID

from tachograph.instrument.target import Target
from tachograph.record.door import Recorded
from tachograph.record.failure import failure_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ENDS = ("completed", "failed", "cancelled")


class LogRow(ABC):
    """What both kinds of row share."""

    COLUMNS: ClassVar[tuple[str, ...]]
    """The columns of its table, in order."""

    def __init__(self, target: Target, metadata: Any) -> None:
        self._target = target
        self._step: Recorded | None = None
        self._begun = (0, 0)
        self._given = metadata
        self._opened = self._over = False
        self.id: str | None = None
        """Id of the row; None before its start, and when it could not be recorded."""
        self.run_id: str | None = None
        self.parent_id: str | None = None
        """Id of the row it belongs below."""
        self.execution_id: str | None = None
        """Public grouping id: rows of one execution share it."""
        self.status = "started"
        """started, completed, failed or cancelled. Set before the end of a `with` block, it says how that ended."""
        self.start_time: datetime | None = None
        """UTC, as `end_time`."""
        self.end_time: datetime | None = None
        self.duration_ms: int | None = None
        self.error_message: str | None = None
        self.metadata: Any = dict(metadata) if isinstance(metadata, Mapping) else metadata
        """Additional context; may be set or changed until the end."""

    @property
    def created_at(self) -> datetime | None:
        """When it was started."""
        return self.start_time

    @property
    def updated_at(self) -> datetime | None:
        """When it ended, or while it has not, when it was started."""
        return self.end_time or self.start_time

    def as_dict(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: getattr(self, name) for name in self.COLUMNS}

    def __repr__(self) -> str:
        """Its kind, id and status."""
        return f"<{type(self).__name__} {self.id or 'not recorded'} {self.status}>"

    def __await__(self) -> Generator[Any, None, Self]:
        """Itself, at once."""
        yield from ()
        return self

    def note(self, name: str, data: Any = None) -> None:
        """Remember something at this point, while it is open."""
        if self._step is not None:
            self._step.note(name, data)

    # ---- start and end --------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start, unless that was done. Raises LimitExceeded when a guard refuses; nothing else."""
        self.begin(sys._getframe(1))  # noqa: SLF001 - whose `with` it is; see record.scope
        return self

    async def __aenter__(self) -> Self:
        """Start; the same as `with`."""
        self.begin(sys._getframe(1))  # noqa: SLF001 - as above
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End as completed, failed (by an exception) or cancelled (by what is no `Exception`); all of them go on."""
        self.finish(error=error)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        """End; the same as `with`."""
        self.finish(error=error)

    def begin(self, caller: FrameType | None) -> None:
        """Start, once; `caller` is the frame of whoever is inside it. Raises LimitExceeded."""
        if self._opened:
            return
        self._opened = True
        step = self._step = self._target.safely("log_start", self._made, None)
        if step is not None:
            step.source = self._target.recorder
            step.enter(caller)
            self._place(step)
        self._begun = self._latest()
        self.start_time = moment(self._begun[0])

    def _place(self, step: Recorded) -> None:
        self.id, self.run_id, self.parent_id = step.id, step.run_id, step.parent_id
        self.execution_id = step.execution_id or self.execution_id

    def finish(self, status: str = "", message: Any = None, *, error: BaseException | None = None) -> None:
        """End, once: as the status says, or by what ended it. A second end changes nothing."""
        if self._over or not self._opened:
            return
        self._over = True
        step = self._step
        status = status or (self.status if self.status != "started" else "completed")
        message = self.error_message if message is None else message
        if error is None:
            self.status = status if isinstance(status, str) and status in _ENDS else "failed"
            self._target.safely("log_end", lambda: self._say_status(step, status, message), None)
        else:
            self.status = "failed" if isinstance(error, Exception) else "cancelled"
            failure = self._target.safely("log_end", lambda: failure_of(error, self._masked), None)
            self.error_message = failure.message if failure else type(error).__name__
        if step is not None:
            self._target.safely("log_end", lambda: self._say_results(step), None)
            step.leave(error)
        took = max(0, self._latest()[1] - self._begun[1])
        self.end_time = moment(self._begun[0] + took)
        self.duration_ms = (took + 500_000) // 1_000_000

    def _say_status(self, step: Recorded | None, status: str, message: Any) -> None:
        if self.status == "completed":
            return
        if status != self.status:
            message = f"status {status!r} is none of {', '.join(_ENDS)}" + ("" if message is None else f"; {message}")
        text = "" if message is None else str(message)
        if step is not None and self.status == "cancelled":
            step.cancel(text)
        elif step is not None:
            step.fail(_being_handled(message) or text)
        self.error_message = None if message is None else self._masked(text)

    def _masked(self, text: str) -> str:
        recorder = self._target.recorder()
        return text if recorder is None else self._target.safely("log_text", lambda: recorder.plain(text), text)

    def _late_metadata(self) -> Any:
        """Metadata for the end, with that of the start in it; None when nothing was added."""
        if self._target.safely("log_metadata", lambda: bool(self.metadata == self._given), otherwise=False):
            return None
        self.metadata = joined(self._given, self.metadata)
        return self.metadata

    def _refs(self, *names: str) -> dict[str, Any]:
        """Those of these ids of the application that were given."""
        given = {name: getattr(self, name) for name in names}
        return {name: str(it) if isinstance(it, UUID) else it for name, it in given.items() if it is not None}

    def _latest(self) -> tuple[int, int]:
        """When what was just recorded happened, as it is stored; else now."""
        return (self._step.latest if self._step is not None else None) or self._target.moment()

    @abstractmethod
    def _made(self) -> Recorded:
        """The run or step behind it, not entered yet."""

    @abstractmethod
    def _say_results(self, step: Recorded) -> None:
        """Hand over what came of it, right before its end."""


def joined(before: Any, after: Any) -> Any:
    """Two mappings as one, where the later wins; anything else is what came last."""
    both = isinstance(before, Mapping) and isinstance(after, Mapping)
    return {**before, **after} if both else (before if after is None else after)


def moment(ns: int) -> datetime:
    """UTC nanoseconds as a time."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _being_handled(message: Any) -> BaseException | None:
    """The exception that the program is handling, when it is the one whose text the program hands over."""
    error = sys.exc_info()[1]
    if isinstance(message, BaseException):
        return message
    return error if error is not None and message is not None and str(error) == str(message) else None
