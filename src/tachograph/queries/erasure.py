"""What erasing an execution means: the runs that go, and how much stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.queries.runs import NO_AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where

Row = Mapping[str, Any]
_TOGETHER = 500
"""Runs that one question names."""


class Erasure(Struct, frozen=True):
    """What goes with an execution."""

    execution_id: str
    runs: tuple[str, ...]
    """Ids of the runs: those of the execution, then the runs below them."""
    by_tenant: Mapping[str, tuple[str, ...]]
    """The same by whose records they are."""
    execution_logs: int
    """Steps that are rows of `execution_logs`."""
    llm_call_logs: int
    """Attempts: rows of `llm_call_logs`."""


def erasure(index: Index, execution_id: str) -> Erasure:
    """What erasing the execution with this id takes away. Raises NotFound when no run has it.

    All runs with the id go, and every run below them, at any depth and whatever its own execution id: what an execution
    delegated is a part of what it did, and would be left without the step that started it. So does the feedback on
    them; the audit stays, and so does what another tenant says it was started by.
    """
    found = {row["pk"]: row for row in _runs(index, Where("execution_id", "eq", execution_id), NO_AUDIT)}
    if not found:
        raise NotFound("execution", execution_id)
    parents = [row["id"] for row in found.values()]
    while parents:
        below = [row for some in _parts(parents) for row in _runs(index, Where("parent_run", "in", some))]
        tenants = {row["id"]: row["tenant"] for row in found.values()}
        new = {
            row["pk"]: row for row in below if row["pk"] not in found and row["tenant"] == tenants[row["parent_run"]]
        }
        found.update(new)
        parents = [row["id"] for row in new.values()]
    return Erasure(
        execution_id=execution_id,
        runs=tuple(row["id"] for row in found.values()),
        by_tenant={
            tenant: tuple(row["id"] for row in found.values() if row["tenant"] == tenant)
            for tenant in sorted({row["tenant"] for row in found.values()})
        },
        execution_logs=_count(index, "steps", found, Where("kind", "ne", "llm")),
        llm_call_logs=_count(index, "calls", found),
    )


def _runs(index: Index, *where: Where) -> Sequence[Row]:
    query = Query("runs", where, ("pk", "id", "tenant", "parent_run"), order=("started_at",), limit=None)
    return index.find(query).rows


def _count(index: Index, table: str, runs: Iterable[int], *where: Where) -> int:
    queries = (Query(table, (Where("run", "in", some), *where), measures=(Measure("count"),)) for some in _parts(runs))
    return sum(index.find(query).rows[0]["count"] for query in queries)


def _parts(keys: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    waiting = iter(keys)
    while some := tuple(islice(waiting, _TOGETHER)):
        yield some
