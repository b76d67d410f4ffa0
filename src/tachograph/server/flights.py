"""The same question asked by many at once is answered once.

Whoever asks while an answer is being worked out waits for the next one, which begins after they asked: so nobody gets
an answer that is older than the question, and however many ask, at most two are under way.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

AnswerT = TypeVar("AnswerT")


class Flight:
    """One answer on its way to everybody who waits for it."""

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.answer: Any = None
        self.problem: BaseException | None = None

    def fly(self, work: Callable[[], Any]) -> None:
        """Work the answer out."""
        try:
            self.answer = work()
        except BaseException as problem:  # noqa: BLE001 - it is raised where the answer is waited for
            self.problem = problem
        finally:
            self.landed.set()

    def result(self) -> Any:
        """The answer, once it is there. Raises what the work raised."""
        self.landed.wait()
        if self.problem is not None:
            raise self.problem
        return self.answer


class Flights:
    """Answers that are under way, by question. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[Hashable, Flight] = {}
        self._waiting: dict[Hashable, Flight] = {}

    def share(self, question: Hashable, work: Callable[[], AnswerT]) -> AnswerT:
        """What `work` gives, from this call or from that of somebody who asked the same at the same time."""
        with self._lock:
            before = self._flying.get(question)
            if before is None:
                mine = self._flying[question] = Flight()
            elif (shared := self._waiting.get(question)) is not None:
                mine, before = shared, shared
            else:
                mine = self._waiting[question] = Flight()
        if mine is before:
            return cast("AnswerT", mine.result())
        if before is not None:
            before.landed.wait()
            with self._lock:
                self._flying[question] = self._waiting.pop(question)
        mine.fly(work)
        with self._lock:
            if self._flying.get(question) is mine and question not in self._waiting:
                del self._flying[question]
        return cast("AnswerT", mine.result())
