"""Answers that are kept for a while: who scrolls through ten thousand steps has them put in order once.

What is kept is found again by a question that names the state of what it was made of: when that changes, it is another
question. Where somebody cannot name all of it, an answer is old after a minute.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

MOST = 8
"""Answers that are kept: the order of the longest runs takes some megabytes."""
LASTING_NS = 60_000_000_000
ValueT = TypeVar("ValueT")


class Kept:
    """A few answers, those used last. Safe for threads."""

    def __init__(self, most: int = MOST, lasting_ns: int = LASTING_NS) -> None:
        self._most, self._lasting = most, lasting_ns
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()

    def get(self, question: Hashable, now: int, work: Callable[[], ValueT]) -> ValueT:
        """What `work` gives, or gave not long before `now` (UTC ns) for the same question."""
        with self._lock:
            made, answer = self._found.get(question, (0, None))
            if made and 0 <= now - made < self._lasting:
                self._found.move_to_end(question)
                return cast("ValueT", answer)
        answer = work()
        with self._lock:
            self._found[question] = (now, answer)
            self._found.move_to_end(question)
            while len(self._found) > self._most:
                self._found.popitem(last=False)
        return answer
