"""The recorder's one background thread: signs of life, the next segment, what finalisers left, and the drain.

It starts with the first event of a process and never with an import. On SIGTERM, where the program has no handler
of its own, it ends every open step and run as cancelled before the signal takes its course; at interpreter exit it ends
them as abandoned. Leaving takes a bounded time; what is not in the store by then waits in the journal.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from tachograph.errors import StoreError
from tachograph.events.run import Failure
from tachograph.record.drain import Drain, Drained
from tachograph.record.recorder import Recorder

log = logging.getLogger("tachograph")

_REFRESH_SECONDS = 2.0
_TERMINATED = Failure("SIGTERM", "the process was asked to terminate", "cancelled")
_EXITED = Failure("ProcessExit", "the interpreter left while this was open", "bug")


class Worker:
    """Keeps one recorder's journal moving. Threads and signal handlers are set up by `start`."""

    def __init__(
        self,
        recorder: Recorder,
        open_drain: Callable[[], Drain] | None,
        *,
        interval: float = 0.2,
        exit_seconds: float = 2.0,
        sync: bool = False,
    ) -> None:
        self._recorder, self._open_drain = recorder, open_drain
        self._interval, self._exit_seconds, self._sync = interval, exit_seconds, sync
        self._drain: Drain | None = None
        self._calls: SimpleQueue[str] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._registered = False
        self._inherited: list[Drain] = []
        self._flushed: SimpleQueue[bool] = SimpleQueue()
        self._retry_at = 0.0
        self._refresh_at = 0.0
        self._synced_at = 0.0
        self.done = Drained()
        self.last_error: StoreError | OSError | None = None
        """Why the last drain round did not succeed; None when it did."""

    def start(self) -> None:
        """Start the thread; once a process. Called by the recorder before its first event."""
        self._calls = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="tachograph", daemon=True)
        self._thread.start()
        if not self._registered:
            self._registered = True
            atexit.register(self.leave)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._terminated)

    def leave(self) -> None:
        """End what is open, drain for at most `exit_seconds`, let go of everything. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._recorder.close_runs(_EXITED, "abandoned", "process_died")
        self._calls.put("stop")
        thread.join(self._exit_seconds)
        self._recorder.close()
        atexit.unregister(self.leave)
        self._registered = False

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything recorded so far is in the store; whether it is. Another process may be the drain."""
        if self._thread is None:
            return True
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            answered: SimpleQueue[bool] = SimpleQueue()
            self._flushed = answered
            self._calls.put("flush")
            with contextlib.suppress(Empty):
                if answered.get(timeout=left):
                    return True
                time.sleep(min(0.05, left))
        return False

    def after_fork(self) -> None:
        """In a forked child: no thread, no store connection, no election of the parent's."""
        self._thread = None
        if self._drain is not None:
            self._drain.resign()
            # Closing a database connection that crossed a fork can harm the parent's: keep it, unused.
            self._inherited.append(self._drain)
        self._drain = None
        self._registered = False

    # ---- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._interval)
            except Empty:
                call = ""
            self._housekeeping()
            if call == "terminate":
                self._recorder.close_runs(_TERMINATED, "cancelled", "signal")
                self._last_round()
                self._recorder.close()
                os.kill(os.getpid(), signal.SIGTERM)
                return
            if call == "stop":
                self._last_round()
                return
            drained = self._round(None)
            if call == "flush":
                self._flushed.put(drained)

    def _housekeeping(self) -> None:
        recorder = self._recorder
        recorder.settle_late()
        now = recorder.clock.now()
        recorder.locked(lambda: recorder.journal.beat(now))
        spare = recorder.locked(lambda: recorder.journal.prepare(now))
        if spare is not None:
            spare.touch()
        for segment in recorder.locked(recorder.journal.tidy) or ():
            segment.close()
        if self._sync and time.monotonic() - self._synced_at >= 1.0:
            self._synced_at = time.monotonic()
            recorder.locked(recorder.journal.sync)

    def _round(self, deadline: float | None) -> bool:
        if self._open_drain is None or time.monotonic() < self._retry_at:
            return False
        try:
            drain = self._drain
            if drain is None:
                drain = self._drain = self._open_drain()
            if not drain.elected():
                return drain.caught_up()
            done = drain.round(deadline)
            self.done = self.done.plus(done)
            self.last_error = None
            self._recorder.locked(lambda: self._recorder.journal.drained(drain.reached))
            if deadline is None and time.monotonic() >= self._refresh_at:
                self._refresh_at = time.monotonic() + _REFRESH_SECONDS
                drain.refresh(self._recorder.clock.now())
            return done.finished
        except (StoreError, OSError) as problem:
            # What was recorded waits in the journal; the store is asked again a little later.
            if self.last_error is None:
                log.warning("the store does not take events, they wait in the journal: %s", problem)
            self.last_error = problem
            self._retry_at = time.monotonic() + 1.0
            return False
        except Exception as problem:  # noqa: BLE001 - the thread must live; the fault is counted and logged
            self._recorder.fault("drain", problem)
            self._retry_at = time.monotonic() + 1.0
            return False

    def _last_round(self) -> None:
        self._retry_at = 0.0
        self._round(time.monotonic() + self._exit_seconds * 0.8)
        if self._drain is not None:
            self._drain.close()
            self._drain = None

    def _terminated(self, number: int, frame: object) -> None:
        # In the main thread, perhaps in the middle of an append: only hand over. A second signal kills at once.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self._calls.put("terminate")
