"""How often each run made its most frequent tool call, for many runs at once: one grouped question to the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tachograph.store.ports import Index
from tachograph.store.query import Measure, Query, Where

_COUNT = Measure("count")


def most_repeated(index: Index, runs: Sequence[str]) -> Mapping[str, int]:
    """Run id → uses of its most frequent call (tool and arguments); runs without a tool call are absent."""
    rows = index.find(Query("runs", (Where("id", "in", tuple(runs)),), ("pk", "id"), limit=None)).rows
    ids = {row["pk"]: row["id"] for row in rows}
    calls = Query(
        "tool_calls",
        (Where("run", "in", tuple(ids)),),
        group=("run", "name", "arguments_hash"),
        measures=(_COUNT,),
        limit=None,
    )
    most: dict[str, int] = {}
    for row in index.find(calls).rows if ids else ():
        run = ids[row["run"]]
        most[run] = max(most.get(run, 0), row[_COUNT.name])
    return most
