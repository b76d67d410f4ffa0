"""Turns: one thread at a time works on a ledger, and what could not be settled is settled with the next turn.

A fork waits for the turn that is taken and lets the ledger rest first. What SQLite knows of its locks belongs to the
process: a child that inherited an open connection, or one in the middle of its work, could not rely on any.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from tachograph.errors import StoreUnavailable

BUSY_SECONDS = 1.5
"""How long to wait for other threads, and for other processes, before saying that a ledger is not available."""
T = TypeVar("T")


class Turns:
    """Who may work. A turn that asks for another one, as a finaliser or a signal handler can, is noticed."""

    def __init__(self, url: str, seconds: float, rest: Callable[[], None] = lambda: None) -> None:
        """`rest` lets go of everything that a forked child must not have."""
        self._url, self._seconds, self._rest = url, seconds, rest
        self._later: deque[Callable[[], None]] = deque()
        self._lock = threading.Lock()
        self._holder: int | None = None
        _all.append(weakref.ref(self, _all.remove))

    def take(self, work: Callable[[], T]) -> T:
        """Work when it is this thread's turn; what was left over goes first. Raises StoreUnavailable."""
        if self._holder == threading.get_ident():
            raise StoreUnavailable(self._url, "it was asked from inside an answer of its own")
        if not self._lock.acquire(timeout=self._seconds):
            raise StoreUnavailable(self._url, f"other threads kept it for {self._seconds:g} s")
        try:
            self._holder = threading.get_ident()
            self._catch_up()
            done = work()
            with contextlib.suppress(StoreUnavailable):  # it stays for the next turn
                self._catch_up()
            return done
        finally:
            self._holder = None
            self._lock.release()

    def owe(self, work: Callable[[], None]) -> None:
        """Work now or, if that is not possible, at the beginning of the next turn. Never raises StoreUnavailable."""
        try:
            self.take(work)
        except StoreUnavailable:
            self._later.append(work)

    def pause(self) -> bool:
        """Before a fork: wait for the turn that is taken, and rest. False when it would not end."""
        if self._holder == threading.get_ident() or not self._lock.acquire(timeout=2 * self._seconds):
            return False
        self._holder = threading.get_ident()
        self._rest()
        return True

    def resume(self) -> None:
        """After a fork, in the parent."""
        self._holder = None
        self._lock.release()

    def begin_anew(self) -> None:
        """In a forked child, before anything else: what the parent owes it settles itself, and threads are gone."""
        self._later.clear()
        self._lock = threading.Lock()
        self._holder = None

    def _catch_up(self) -> None:
        while self._later:
            self._later[0]()
            self._later.popleft()


_all: list[weakref.ref[Turns]] = []
_paused: list[Turns] = []


def _before_fork() -> None:
    _paused.extend(turns for each in list(_all) if (turns := each()) is not None and turns.pause())


def _in_parent() -> None:
    while _paused:
        _paused.pop().resume()


def _in_child() -> None:
    _paused.clear()
    for each in _all:
        if (turns := each()) is not None:
            turns.begin_anew()


if sys.platform != "win32":
    os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
