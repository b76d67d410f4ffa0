"""What erasing an execution means: the runs that go, and how much stands in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.errors import NotFound
from tachograph.queries.runs import NO_AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where

Row = Mapping[str, Any]
_TOGETHER = 500
"""Runs that one question names."""


class Going(Struct, frozen=True, kw_only=True):
    """A run that goes."""

    pk: int
    id: str
    tenant: str
    parent_run: str | None
    name: str
    status: str
    session: str | None
    started_at: int
    next_seq: int
    """How many events it has."""
    tool_calls: int


_COLUMNS = Going.__struct_fields__


class Erasure(Struct, frozen=True):
    """What goes with an execution."""

    execution_id: str
    going: tuple[Going, ...]
    """The runs of the execution, then the runs below them."""
    execution_logs: int
    """Steps that are rows of `execution_logs`."""
    llm_call_logs: int
    """Attempts: rows of `llm_call_logs`."""

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs."""
        return tuple(run.id for run in self.going)

    @property
    def by_tenant(self) -> Mapping[str, tuple[str, ...]]:
        """The same by whose records they are."""
        return {
            tenant: tuple(run.id for run in self.going if run.tenant == tenant)
            for tenant in sorted({run.tenant for run in self.going})
        }

    @property
    def events(self) -> int:
        """Events of all of them."""
        return sum(run.next_seq for run in self.going)

    @property
    def tool_calls(self) -> int:
        """Tool calls of all of them."""
        return sum(run.tool_calls for run in self.going)

    @property
    def oldest_at(self) -> int:
        """When the first of them began, UTC ns."""
        return min(run.started_at for run in self.going)

    def estimate(self, facts: Mapping[str, Any]) -> int:
        """About how many bytes of the store are theirs: what it uses, shared out evenly over its events."""
        used = int(facts["bytes"]) - int(facts.get("free_bytes", 0))
        return round(used * self.events / max(1, int(facts["events"])))

    @property
    def open(self) -> int:
        """Runs that have not ended: whatever they do from now on is not recorded."""
        return sum(run.status in {"started", "paused"} for run in self.going)

    @property
    def sessions(self) -> tuple[tuple[str, str], ...]:
        """Tenant and id of the conversations whose totals change."""
        return tuple(sorted({(run.tenant, run.session) for run in self.going if run.session is not None}))


def erasure(index: Index, execution_id: str) -> Erasure:
    """What erasing the execution with this id takes away. Raises NotFound when no run has it.

    All runs with the id go, and every run below them, at any depth and whatever its own execution id: what an execution
    delegated is a part of what it did, and would be left without the step that started it. So does the feedback on
    them; the audit stays, and so does what another tenant says it was started by.
    """
    found = {run.pk: run for run in _runs(index, Where("execution_id", "eq", execution_id), NO_AUDIT)}
    if not found:
        raise NotFound("execution", execution_id)
    parents = [run.id for run in found.values()]
    while parents:
        below = [run for some in _parts(parents) for run in _runs(index, Where("parent_run", "in", some))]
        tenants: dict[str | None, str] = {run.id: run.tenant for run in found.values()}
        new = {run.pk: run for run in below if run.pk not in found and run.tenant == tenants[run.parent_run]}
        found.update(new)
        parents = [run.id for run in new.values()]
    return Erasure(
        execution_id=execution_id,
        going=tuple(found.values()),
        execution_logs=_count(index, "steps", found, Where("kind", "ne", "llm")),
        llm_call_logs=_count(index, "calls", found),
    )


def _runs(index: Index, *where: Where) -> Sequence[Going]:
    rows = index.find(Query("runs", where, _COLUMNS, order=("started_at",), limit=None)).rows
    return msgspec.convert([dict(row) for row in rows], list[Going])


def _count(index: Index, table: str, runs: Iterable[int], *where: Where) -> int:
    queries = (Query(table, (Where("run", "in", some), *where), measures=(Measure("count"),)) for some in _parts(runs))
    return sum(index.find(query).rows[0]["count"] for query in queries)


def _parts(keys: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
    waiting = iter(keys)
    while some := tuple(islice(waiting, _TOGETHER)):
        yield some
