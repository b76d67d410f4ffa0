"""Why runs stopped, and where limits stepped in: counts over the tables of runs and limits, which no roll-up has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from tachograph.queries.answers.limits import CHANGING
from tachograph.queries.logs.counts import within
from tachograph.queries.pages import total
from tachograph.queries.period import Period, of_row
from tachograph.queries.runs import NO_AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where


class Stop(Struct, frozen=True):
    """Runs that stand or ended in the same way."""

    status: str
    reason: str
    """Empty while a run is open, and where nobody said."""
    count: int
    calls: int = 0
    """Their model calls."""
    cost: int | None = 0
    """Nano-USD; None when there were calls and none has a price, a lower bound while `unpriced` is not 0."""
    unpriced: int = 0


_CALLS, _COST, _UNPRICED = (Measure("sum", name) for name in ("llm_calls", "cost_nano", "unpriced"))


def stops(index: Index, period: Period, where: Mapping[str, str]) -> tuple[Stop, ...]:
    """Runs that began in the period by status and stop reason, most frequent first. Reads the row of each run."""
    query = Query(
        "runs", (*within(period), *_of_runs(where), NO_AUDIT), group=("status", "stop_reason"),
        measures=(Measure("count"), _CALLS, _COST, _UNPRICED), limit=None,
    )  # fmt: skip
    found = map(_stop, index.find(query).rows)
    return tuple(sorted(found, key=lambda stop: (-stop.count, stop.status, stop.reason)))


def _stop(row: Mapping[str, Any]) -> Stop:
    cost, unpriced = row[_COST.name], row[_UNPRICED.name]
    known = cost if cost or not unpriced else None
    return Stop(row["status"], row["stop_reason"], row["count"], row[_CALLS.name], known, unpriced)


def interventions(index: Index, period: Period, where: Mapping[str, str]) -> int:
    """How often a limit changed what happened in the period, in the runs that meet the conditions."""
    others = {name: value for name, value in where.items() if name != "agent"}
    hits = (*within(period, "at"), Where("mode", "in", CHANGING), *_of_runs(others), NO_AUDIT)
    if "agent" not in where:
        return total(index, Query("limit_hits", hits))
    by_run = Query("limit_hits", hits, group=("run",), measures=(Measure("count"),), limit=None)
    counts = {row["run"]: row["count"] for row in index.find(by_run).rows}
    return sum(counts[run] for run in _begun_by(index, where["agent"], tuple(counts)))


_AT_ONCE = 5_000
"""So many runs are named in one question."""


def _begun_by(index: Index, agent: str, runs: Sequence[int]) -> list[int]:
    """Those of these runs that began with an agent: limits know their run only."""
    found: list[int] = []
    for first in range(0, len(runs), _AT_ONCE):
        few = (Where("pk", "in", runs[first : first + _AT_ONCE]), Where("agent_type", "eq", agent))
        found += (row["pk"] for row in index.find(Query("runs", few, ("pk",), limit=None)).rows)
    return found


def _of_runs(where: Mapping[str, str]) -> tuple[Where, ...]:
    return tuple(
        Where("agent_type", "eq", value) if name == "agent" else of_row(name, value) for name, value in where.items()
    )
