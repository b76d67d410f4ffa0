"""The recorder's one background thread: signs of life, the next segment, what finalisers left, and the drain.

It starts with the first event of a process and never with an import. On SIGTERM, where the program has no handler
of its own, it ends every open step and run as cancelled before the signal takes its course; at interpreter exit it ends
them as abandoned. Leaving takes a bounded time; what is not in the store by then waits in the journal.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from tachograph.errors import StoreError, StoreRefused
from tachograph.events.run import Failure
from tachograph.record.drain import Drain, Drained
from tachograph.record.recorder import Recorder

log = logging.getLogger("tachograph")

_REFRESH_SECONDS = 2.0
_REFUSED_SECONDS = 60.0
_NOBODY: SimpleQueue[bool] = SimpleQueue()
_TERMINATED = Failure("SIGTERM", "the process was asked to terminate", "cancelled")
_handled: list[Worker] = []
"""Workers that end their runs on SIGTERM: a process may record into several stores."""
terminating: list[Callable[[], object]] = []
"""What else is to be ended then: it is called, in a thread, before the runs are written to their stores."""
signalled: list[int] = []
"""The signal that ends the process, from the moment it is heard in the main thread, before anything is ended."""
_opening = threading.Lock()
"""Held while a store is opened, which imports it: a fork in between would leave the child with half of a module."""
_held: list[bool] = []
"""Whether forks under way hold it."""
_OPENING_SECONDS = 2.0
"""How long a fork waits for that."""
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
        self._calls: SimpleQueue[SimpleQueue[bool] | None] = SimpleQueue()
        """Who waits for a flush; None to stop."""
        self._hurry: float | None = None
        """When leaving must be over, on the monotonic clock."""
        self._noted: dict[str, int] = {}
        self._thread: threading.Thread | None = None
        self._registered = False
        self._inherited: list[Drain] = []
        self._retry_at = 0.0
        self._refresh_at = 0.0
        self._synced_at = 0.0
        self.done = Drained()
        self.last_error: StoreError | OSError | None = None
        """Why the last drain round did not succeed; None when it did."""

    def start(self) -> None:
        """Start the thread; once a process. Called by the recorder before its first event."""
        self._calls = SimpleQueue()
        self._hurry = None
        self._thread = threading.Thread(target=self._work, name="tachograph", daemon=True)
        self._thread.start()
        if not self._registered:
            self._registered = True
            atexit.register(self.leave)
        if threading.current_thread() is threading.main_thread():
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _terminated)
            if signal.getsignal(signal.SIGTERM) is _terminated:
                _handled.append(self)

    def leave(self) -> None:
        """End what is open, drain for at most `exit_seconds`, let go of everything. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._unhandle()
        self._recorder.close_runs(_EXITED, "abandoned", "process_died")
        self._stop(thread)
        self._recorder.close()
        atexit.unregister(self.leave)
        self._registered = False

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until everything recorded so far is in the store; whether it is. Another process may be the drain."""
        if self._thread is None:
            return True
        if self._open_drain is None:
            return False
        until = time.monotonic() + timeout
        while (left := until - time.monotonic()) > 0:
            answered: SimpleQueue[bool] = SimpleQueue()
            self._calls.put(answered)
            with contextlib.suppress(Empty):
                if answered.get(timeout=left):
                    return True
                time.sleep(min(0.05, left))
        return False

    def after_fork(self) -> None:
        """In a forked child: no thread, no handler, no store connection, no election of the parent's."""
        self._thread = None
        self._unhandle()
        if self._drain is not None:
            self._drain.resign()
            # Closing a database connection that crossed a fork can harm the parent's: keep it, unused.
            self._inherited.append(self._drain)
        self._drain = None
        self._registered = False

    def _stop(self, thread: threading.Thread) -> None:
        self._hurry = time.monotonic() + self._exit_seconds * 0.8
        self._calls.put(None)
        thread.join(self._exit_seconds)

    def _unhandle(self) -> None:
        if self in _handled and threading.current_thread() is threading.main_thread():
            _handled.remove(self)
            if not _handled and signal.getsignal(signal.SIGTERM) is _terminated:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def cancel(self) -> None:
        """End what is open: a signal ends the process."""
        if self._thread is not None:
            self._recorder.close_runs(_TERMINATED, "cancelled", "signal")

    def stop(self) -> None:
        """Drain for a bounded time, and let go of the journal."""
        thread = self._thread
        if thread is not None:
            self._stop(thread)
            self._recorder.close()

    # ---- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                call: SimpleQueue[bool] | None = self._calls.get(timeout=self._interval)
            except Empty:
                call = _NOBODY
            self._housekeeping()
            if call is None:
                self._last_round()
                return
            drained = self._round()
            if call is not _NOBODY:
                call.put(drained)

    def _housekeeping(self) -> None:
        recorder = self._recorder
        try:
            recorder.settle_late()
            recorder.pay()
            now = recorder.clock.now()
            recorder.locked(lambda: recorder.journal.beat(now))
            recorder.locked(recorder.journal.recount)
            spare = recorder.locked(lambda: recorder.journal.prepare(now))
            if spare is not None:
                spare.touch()
            for segment in recorder.locked(recorder.journal.tidy) or ():
                segment.close()
            if self._sync and time.monotonic() - self._synced_at >= 1.0:
                self._synced_at = time.monotonic()
                recorder.locked(recorder.journal.sync)
        except Exception as problem:  # noqa: BLE001 - the thread must live; the fault is counted and logged
            recorder.fault("housekeeping", problem)

    def _late(self) -> bool:
        return self._hurry is not None and time.monotonic() > self._hurry

    def _round(self) -> bool:
        if self._open_drain is None or time.monotonic() < self._retry_at:
            return False
        try:
            drain = self._drain
            if drain is None:
                with _opening:
                    drain = self._drain = self._open_drain()
            if not drain.elected():
                return drain.caught_up()
            done = drain.round(self._late)
            self.done = self.done.plus(done)
            self._remember(drain.refused)
            if self._hurry is None and time.monotonic() >= self._refresh_at:
                self._refresh_at = time.monotonic() + _REFRESH_SECONDS
                drain.refresh(self._recorder.clock.now())
            self._note_losses(drain)
            return done.finished
        except (StoreError, OSError) as problem:
            # What was recorded waits in the journal; the store is asked again a little later.
            self._remember(problem)
            self._retry_at = time.monotonic() + (_REFUSED_SECONDS if isinstance(problem, StoreRefused) else 1.0)
            return False
        except Exception as problem:  # noqa: BLE001 - as above
            self._recorder.fault("drain", problem)
            self._retry_at = time.monotonic() + 1.0
            return False

    def _remember(self, problem: StoreError | OSError | None) -> None:
        if problem is not None and self.last_error is None:
            log.warning("the store does not take events, they wait in the journal: %s", problem)
        self.last_error = problem

    def _note_losses(self, drain: Drain) -> None:
        """What this process could not record, for `tachograph doctor`; written when it has grown."""
        health = self._recorder.health
        now = {**health.lost, **({"shed_content": health.shed} if health.shed else {}), **health.faults}
        for reason, count in now.items():
            if self._noted.get(reason) != count:
                try:
                    drain.note_loss(self._recorder.journal.folder.name, reason, count)
                except StoreRefused as problem:
                    self._remember(problem)
                self._noted[reason] = count

    def _last_round(self) -> None:
        self._retry_at = 0.0
        self._round()
        if self._drain is not None:
            self._drain.close()
            self._drain = None


def _terminated(number: int, frame: object) -> None:
    # In the main thread, perhaps in the middle of an append: only hand over, to a thread that needs nothing of what was
    # interrupted. A second signal kills at once.
    signalled.append(number)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _thread.start_new_thread(_terminate, ())


def _terminate() -> None:
    for worker in _handled:
        worker.cancel()
    for end in tuple(terminating):
        with contextlib.suppress(Exception):  # the process ends, whatever cannot be ended in it
            end()
    for worker in _handled:
        worker.stop()
    os.kill(os.getpid(), signal.SIGTERM)


def _before_fork() -> None:
    _held.append(_opening.acquire(timeout=_OPENING_SECONDS))


def _in_parent() -> None:
    if _held.pop():
        _opening.release()


def _in_child() -> None:
    _held.clear()
    if _opening.locked():  # by the thread that forked, or by one that the child does not have
        _opening.release()


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
