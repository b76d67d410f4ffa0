"""Writers one at a time, first come, first served; few wait, and none for long.

A store has one writer. Whoever waits for it holds what was sent, and a thread, and those are needed to answer
questions: so a bounded number waits, and the others are told at once to come back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tachograph.server.problems import Refusal

MOST_WAITING = 16
PATIENCE = 5.0
"""Seconds that a writer waits for its turn."""


class Turnstile:
    """The queue in front of something that has few places. Safe for threads."""

    def __init__(self, places: int = 1, most: int = MOST_WAITING, patience: float = PATIENCE) -> None:
        """So many at a time; at most `most` wait, each for at most `patience` seconds."""
        self._free, self._most, self._patience = places, most, patience
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self.refused = 0
        """Writers that were sent away."""

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A turn, while the block lasts. Raises Refusal (503) when too many wait, or it takes too long."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            if len(self._waiting) >= self._most:
                raise self._refusal(f"{self._most} others wait already")
            called = threading.Event()
            self._waiting.append(called)
        if called.wait(self._patience):
            return
        with self._lock:
            if called.is_set():  # in the very moment in which patience ended
                return
            self._waiting.remove(called)
            raise self._refusal(f"it was not free for {self._patience:g} s")

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1

    def _refusal(self, why: str) -> Refusal:
        self.refused += 1
        detail = f"too many write at once ({why}); nothing was stored, send it again"
        return Refusal(503, "writer-busy", detail, headers={"Retry-After": "1"})
