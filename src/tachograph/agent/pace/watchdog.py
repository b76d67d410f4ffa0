"""A thread that sees when an event loop has stopped turning: a tool or a callback that waits without `await`.

Nothing can stop such code from outside; what can be done is to say where it is. One thread serves all loops of a
process; it sleeps while no run is active.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

log = logging.getLogger("tachograph.agent")


@dataclass(frozen=True)
class Stall:
    """An event loop that does not turn."""

    seconds: float
    """For how long, when it was noticed."""
    stack: str
    """Where its thread is, the innermost call last."""


@dataclass(eq=False)
class _Watch:
    loop: asyncio.AbstractEventLoop
    thread: int
    seconds: float
    report: Callable[[Stall], object]
    asked: float | None = None
    """When the loop was asked to turn; None when it has done so."""
    told: bool = False


class Watchdog:
    """Watches event loops while runs are active on them."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._watches: list[_Watch] = []
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, report: Callable[[Stall], object], seconds: float = 5.0) -> Iterator[None]:
        """Watch the running event loop for as long as the context is open.

        `report` is called from the watchdog's thread, once for each time that the loop does not turn for so long.
        """
        if self._pid != os.getpid():
            self._begin()  # a fork has none of its parent's threads
        watch = _Watch(asyncio.get_running_loop(), threading.get_ident(), seconds, report)
        with self._changed:
            self._watches.append(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tachograph-watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            if self._pid == os.getpid():
                with self._changed:
                    self._watches.remove(watch)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._watches)
                watches = list(self._watches)
            for watch in watches:
                self._look(watch)
            with self._changed:
                # A new watch must not wait for the end of a long pause that was meant for others.
                pause = min((watch.seconds for watch in watches), default=1.0) / 4
                self._changed.wait(pause)

    def _look(self, watch: _Watch) -> None:
        asked = watch.asked
        if asked is None:
            watch.asked = monotonic()
            try:
                watch.loop.call_soon_threadsafe(_turned, watch)
            except RuntimeError:  # the loop is closed; whoever watched it is about to say so
                return
        elif (waited := monotonic() - asked) >= watch.seconds and not watch.told:
            watch.told = True
            self._tell(watch, waited)

    def _tell(self, watch: _Watch, waited: float) -> None:
        frame = sys._current_frames().get(watch.thread)  # noqa: SLF001 - the one way to a thread's stack
        stack = "".join(traceback.format_stack(frame)) if frame is not None else ""
        with self._changed:
            if watch not in self._watches:
                return
        try:
            watch.report(Stall(waited, stack))
        except Exception:
            log.exception("a stalled event loop could not be reported")


def _turned(watch: _Watch) -> None:
    watch.asked, watch.told = None, False


WATCHDOG = Watchdog()
"""The one of this process; its thread starts with the first watch."""
