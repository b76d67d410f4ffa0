"""Callbacks of alerts, each called in a thread of its own, so that a slow one holds up nothing but itself.

The thread begins with a firing and leaves when there is none left to tell. What waits is bounded; a callback that hangs
loses what comes on top, and that is counted.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from importlib import import_module

from tachograph.errors import SettingsError
from tachograph.upkeep.alert import Alert, Firing, OnAlert

log = logging.getLogger("tachograph.alerts")

WAITING = 100
"""Most firings that may wait for one callback."""


class Callback:
    """One callback and what it is still to be told."""

    def __init__(self, name: str, call: OnAlert) -> None:
        self.name, self._call = name, call
        self._waiting: deque[Firing] = deque()
        self._changed = threading.Condition()
        self._running = False
        self.failures = 0
        """Calls that raised, and firings that came while too many waited."""

    def give(self, firing: Firing) -> None:
        """Have it called; returns at once."""
        with self._changed:
            if len(self._waiting) >= WAITING:
                self.failures += 1
                log.warning("callback of alert %s is too slow: a firing was not told", self.name)
                return
            self._waiting.append(firing)
            if not self._running:
                threading.Thread(target=self._work, name=f"tachograph-alert-{self.name}", daemon=True).start()
                self._running = True  # the thread waits for this block to end

    def settle(self, seconds: float) -> bool:
        """Wait until everything is told, at most so long; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._running = False
                    self._changed.notify_all()
                    return
                firing = self._waiting.popleft()
            try:
                self._call(firing)
            except BaseException as problem:
                # Somebody else's code: whatever goes wrong in it, `sys.exit` too, must not end the watch, nor leave
                # this thread gone while it counts as running.
                with self._changed:
                    self.failures += 1
                log.warning("callback of alert %s failed: %r", self.name, problem, exc_info=problem)


def callback_of(alert: Alert) -> OnAlert | None:
    """What an alert is to call: itself, or what `module:function` names. Raises SettingsError when it is not there."""
    wanted = alert.callback
    if wanted is None or callable(wanted):
        return wanted
    module, _, path = wanted.partition(":")
    try:
        found: object = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as problem:
        raise SettingsError(f"alert {alert.name}: callback", wanted, f"something to import: {problem}") from problem
    if not callable(found):
        raise SettingsError(f"alert {alert.name}: callback", wanted, "something that can be called")
    return found
