"""A run in the background: wait for it, watch it, call it off.

A handle is a task of one event loop. Calling off is cancellation: everything that is open is closed, and the outcome
says `cancelled`. A handle that nobody holds any more goes on; a stream that nobody reads any more is called off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tachograph.agent.answer.outcome import Outcome
from tachograph.agent.call import outcome_of
from tachograph.agent.live import Live
from tachograph.agent.progress import Emitter, RunDone, running_loop
from tachograph.errors import SettingsError
from tachograph.events.run import STOP_REASONS
from tachograph.record import scope

Answer = TypeVar("Answer")


class Handle(Generic[Answer]):
    """A run that was started. `work` performs it, and says which run that is once it is known."""

    def __init__(self, work: Callable[[Callable[[Live], object]], Coroutine[Any, Any, Live]], emitter: Emitter) -> None:
        self.emitter = emitter
        """For subscriptions."""
        self._live: Live | None = None
        self._reason = ""
        with scope.lending():
            self._task = asyncio.get_running_loop().create_task(work(self._is))
        # An outcome that nobody waits for is no error that went unnoticed.
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    @property
    def run_id(self) -> str | None:
        """Id of the run; None before it began, or when it could not be recorded."""
        return None if self._live is None else self._live.record.run_id

    @property
    def execution_id(self) -> str | None:
        """Public grouping id; None as for `run_id`."""
        return None if self._live is None else self._live.record.execution_id

    @property
    def done(self) -> bool:
        """Whether it is over."""
        return self._task.done()

    def cancel(self, reason: str = "user_cancel") -> bool:
        """Call it off, from any thread; False when it is over already.

        `reason` is user_cancel, superseded or signal. Raises SettingsError for another.
        """
        if reason not in STOP_REASONS["cancelled"]:
            raise SettingsError("reason", reason, f"one of {', '.join(sorted(STOP_REASONS['cancelled']))}")
        if self._task.done():
            return False
        self._reason = reason
        if self._live is not None:
            self._live.cancelled = reason
        loop = self._task.get_loop()
        if loop is running_loop():
            return self._task.cancel()
        loop.call_soon_threadsafe(self._task.cancel)
        return True

    async def outcome(self) -> Outcome[Answer]:
        """Wait for the end; cancelling that leaves the run alone. Raises LimitExceeded for a limit of mode `raise`."""
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.result()
        if self._live is None:
            return Outcome(status="cancelled", stop_reason=self._reason or "user_cancel")
        return outcome_of(self._live)

    def when_over(self, callback: Callable[[], object]) -> None:
        """Call it when nothing more will come of the run."""
        self._task.add_done_callback(lambda _: callback())

    def _is(self, live: Live) -> None:
        self._live = live

    def __await__(self) -> Any:
        """`await handle` is its outcome."""
        return self.outcome().__await__()


class Stream(Generic[Answer]):
    """The values that a run tells (progress.py), in order, as an async iterator; last comes `RunDone`.

    Use it as `async with`, or read it to its end: leaving early calls the run off.
    """

    def __init__(self, handle: Handle[Answer]) -> None:
        self.handle = handle
        self._values: asyncio.Queue[Any] = asyncio.Queue()
        self._subscription = handle.emitter.subscribe(object, self._values.put_nowait)
        handle.when_over(lambda: self._values.put_nowait(None))
        self._over = False

    async def outcome(self) -> Outcome[Answer]:
        """Wait for the end."""
        return await self.handle.outcome()

    def __aiter__(self) -> AsyncIterator[Any]:
        """Its values."""
        return self._read()

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Call the run off if it goes on, and wait until it has ended."""
        self._subscription.unsubscribe()
        if self.handle.cancel():
            await self.handle.outcome()

    async def _read(self) -> AsyncIterator[Any]:
        try:
            while not self._over:
                value = await self._values.get()
                if value is None:  # it never began: it was called off before, or cannot be begun
                    self._over = True
                    value = RunDone(outcome=await self.handle.outcome())
                self._over = isinstance(value, RunDone)
                yield value
        finally:
            if not self._over:
                self.handle.cancel()
