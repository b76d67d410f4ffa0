"""Which run does a name mean: an id, an execution id, the first digits of either, or `last`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from tachograph.errors import Ambiguous, NotFound
from tachograph.events import ids
from tachograph.queries.runs import COLUMNS, NO_AUDIT, Filter, Run, run_of, runs
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

LAST = "last"
_PREFIX = "exec_"
_NAMED = 3
"""How many matches an error names."""
_UUID_LENGTH = 36
_BEYOND = "\U0010ffff"


def find(index: Index, name: str) -> Run:
    """The run with this run id, step id or execution id, or unambiguous first digits of one (`exec_` may be left out).

    `last` is the run that started last, of those that no other run started. Raises NotFound, Ambiguous.
    """
    found = runs(index, Filter(top=True), limit=1).runs if name == LAST else _named(index, name.strip())
    if not found:
        raise NotFound("run", name)
    if len(found) > 1:
        grouped = len({run.execution_id for run in found}) == 1
        raise Ambiguous("run", name, tuple(run.id if grouped else run.execution_id for run in found[:_NAMED]))
    return found[0]


def _named(index: Index, name: str) -> Sequence[Run]:
    """Runs of this very name (programs may choose one in any letters); where there is none, those that begin so."""
    for where in (*_exact(name), *_exact(name.lower())):
        if found := _rows(index, *where):
            return found
    name = name.lower()
    starts = [("execution_id", name if name.startswith(_PREFIX) else _PREFIX + name), ("id", name)]
    # `lt` bounds the search of the index, which `prefix` alone would follow to its end
    pages = (
        _rows(index, Where(column, "prefix", start), Where(column, "lt", start + _BEYOND), NO_AUDIT)
        for column, start in starts
    )
    return list({run.id: run for page in pages for run in page}.values()) if name else []


def _exact(name: str) -> list[tuple[Where, ...]]:
    """What the name is if it is whole. A step's id names its run; feedback has the execution id of what it is about."""
    wheres: list[tuple[Where, ...]] = [(Where("execution_id", "eq", name), NO_AUDIT)]
    if len(name) == _UUID_LENGTH:
        with contextlib.suppress(ValueError):
            wheres.append((Where("id", "eq", ids.split_step_id(name)[0]),))
    return wheres


def _rows(index: Index, *where: Where) -> list[Run]:
    return [run_of(row) for row in index.find(Query("runs", where, COLUMNS, limit=_NAMED + 1)).rows]
