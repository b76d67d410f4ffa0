"""A clock that jumps: the desk's models take seconds to think, and nobody has to wait for them."""

from __future__ import annotations

from tachograph.record.clock import SYSTEM, Clock

SECOND = 1_000_000_000
_TICK = 40_000


class Pace:
    """Time that passes when the desk says so. Each reading moves it on a little, as reading a real clock does."""

    def __init__(self, start_ns: int) -> None:
        self._start, self._passed = start_ns, 0

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._passed += int(seconds * SECOND)

    def clock(self) -> Clock:
        """This time as the recorder's clock."""
        return Clock(lambda: self._start + self._tick(), self._tick, SYSTEM.entropy)

    def _tick(self) -> int:
        self._passed += _TICK
        return self._passed
