"""What a search of the program's own gives for a query, in time: a plain list, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from tachograph.agent.pace.bounded import Threads, answer_of, is_async

MOST = 1_000
"""Most items that are taken."""

_THREADS = Threads()  # of their own: a search that hangs holds up no tool


async def items_of(search: Callable[[str], Any], query: str, seconds: float | None) -> list[Any]:
    """The first items. A function may be async or not, a generator or not; a text or mapping is one item, None is none.

    Raises what the search raises, Overdue, and TypeError for what is no collection.
    """
    call = search if is_async(search) else partial(_given, search)
    given, problem = await answer_of(call, query, seconds=seconds, threads=_THREADS)
    if problem is not None:
        raise problem if isinstance(problem, Exception) else RuntimeError(f"{type(problem).__name__}: {problem}")
    if given is None:
        return []
    if isinstance(given, (str, Mapping)):
        return [given]
    if not isinstance(given, Iterable):
        raise TypeError(f"a search gives items, not {type(given).__name__}")
    return list(islice(given, MOST))


def _given(search: Callable[[str], Any], query: str) -> Any:
    found = search(query)
    return list(islice(found, MOST)) if isinstance(found, Iterator) else found  # here, where it may wait
