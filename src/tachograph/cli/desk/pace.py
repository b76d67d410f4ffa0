"""A clock that jumps: the desk's models take seconds to think, and nobody has to wait for them."""

from __future__ import annotations

import threading

from tachograph.record.clock import SYSTEM, Clock

SECOND = 1_000_000_000
_TICK = 40_000


class Pace:
    """Time that passes when the desk says so. Each reading moves it on a little, as reading a real clock does."""

    def __init__(self, start_ns: int) -> None:
        self._start, self._passed = start_ns, 0
        # Tools run in threads of their own, and whoever drains the journals looks at the clock too.
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._move(int(seconds * SECOND))

    def clock(self) -> Clock:
        """This time as the recorder's clock."""
        return Clock(lambda: self._start + self._tick(), self._tick, SYSTEM.entropy)

    def _tick(self) -> int:
        return self._move(_TICK)

    def _move(self, ns: int) -> int:
        with self._lock:
            self._passed += ns
            return self._passed
