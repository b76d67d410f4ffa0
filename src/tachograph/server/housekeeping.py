"""What the server does beside answering: one thread that moves journals into the store and keeps roll-ups fresh.

The drain is elected as everywhere: if another process has the lock, this one looks again a little later. A round that
fails is counted and tried again; nothing is lost meanwhile, since what was recorded waits in its journal.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tachograph.errors import TachographError
from tachograph.record.clock import Clock
from tachograph.record.drain import Drain, Drained

log = logging.getLogger("tachograph.server")

ROUND_SECONDS = 0.2
REFRESH_SECONDS = 2.0
_RETRY_SECONDS = 1.0


@dataclass
class Rounds:
    """What was done so far, for /metrics."""

    drained: Drained = field(default_factory=Drained)
    elected: bool = False
    failures: int = 0
    failing: str = ""
    """Why the last round failed; empty when it did not."""
    last_success_at: int = 0
    """UTC ns of the last round that went through; 0 before the first."""
    hours_refreshed: int = 0


class Housekeeping:
    """The thread. `each_round` is called in every round, `on_moved` after those that moved something."""

    def __init__(
        self,
        drain: Drain,
        clock: Clock,
        *,
        each_round: Callable[[], None] = lambda: None,
        on_moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._drain, self._clock = drain, clock
        self._each_round, self._on_moved = each_round, on_moved
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="tachograph-housekeeping", daemon=True)
        self._refresh_at = 0.0
        self.rounds = Rounds()

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """End after the batch that is being moved, and let another process drain."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._drain.resign()

    def _work(self) -> None:
        while not self._stopping.is_set():
            pause = ROUND_SECONDS
            try:
                self._round()
            except (TachographError, OSError) as problem:
                self._failed(problem)
                pause = _RETRY_SECONDS
            except Exception as problem:  # the thread must live: the next round may work
                log.exception("housekeeping failed")
                self._failed(problem)
                pause = _RETRY_SECONDS
            self._stopping.wait(pause)

    def _round(self) -> None:
        rounds = self.rounds
        self._each_round()
        rounds.elected = self._drain.elected()
        if rounds.elected:
            done = self._drain.round(self._stopping.is_set)
            rounds.drained = rounds.drained.plus(done)
            if done.events:
                self._on_moved()
            if time.monotonic() >= self._refresh_at:
                self._refresh_at = time.monotonic() + REFRESH_SECONDS
                rounds.hours_refreshed += self._drain.refresh(self._clock.now())
        rounds.failing, rounds.last_success_at = "", self._clock.now()

    def _failed(self, problem: Exception) -> None:
        self.rounds.failures += 1
        said = str(problem)
        if said != self.rounds.failing:
            log.warning("a round of housekeeping failed, the next one follows: %s", said)
        self.rounds.failing = said
