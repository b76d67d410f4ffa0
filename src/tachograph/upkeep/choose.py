"""Which runs a retention rule lets go: whole families, a run with all that it started, the oldest first.

A rule is asked about the run on top of a family. The family goes as one or stays as one: it stays while any of its runs
is open, ended too recently, or carries the tag that keeps it. A family is of one tenant: a run may name one of another
tenant as its parent, but neither takes the other along, nor keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.run import AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where
from tachograph.upkeep.rule import ENDED, Rule

COLUMNS = (
    "pk", "id", "parent_run", "tenant", "tags", "source", "status", "started_at", "ended_at", "next_seq", "steps",
    "llm_calls", "tool_calls",
)  # fmt: skip
_PAGE = 200
_NAMES = 1_000
"""Most values that one condition names: databases have a limit."""

Row = Mapping[str, Any]


class Family(Struct, frozen=True):
    """A run and all of its tenant that it started, at any depth; what was started comes first, and goes first."""

    runs: Sequence[Row]

    @property
    def events(self) -> int:
        """Of all of them."""
        return sum(run["next_seq"] for run in self.runs)


def families(index: Index, rule: Rule, now_ns: int) -> Iterator[Family]:
    """The families that a rule lets go, whatever the size of the store. Erasing them while this goes on is fine."""
    query = Query("runs", _conditions(rule, now_ns), COLUMNS, order=("started_at",), limit=_PAGE)
    while True:
        page = index.find(query)
        tops = _tops(index, page.rows)
        below = _started_by(index, tops)
        for top in tops:
            family = Family([*reversed(list(_descendants(top["id"], below))), top])
            if all(_may_go(run, rule, now_ns) for run in family.runs):
                yield family
        if page.after is None:
            return
        query = msgspec.structs.replace(query, after=page.after)


def _conditions(rule: Rule, now_ns: int) -> tuple[Where, ...]:
    found = [
        Where("source", "eq" if rule.audits else "ne", AUDIT),
        Where("status", "in", rule.status or ENDED),
    ]
    if rule.older_than is not None:
        # What ended before then also started before then, and for that there is an index.
        before = now_ns - rule.older_than
        found += [Where("started_at", "lt", before), Where("ended_at", "lt", before)]
    if rule.tag is not None:
        found.append(Where("tags", "contains", rule.tag))
    if rule.tenant is not None:
        found.append(Where("tenant", "eq", rule.tenant))
    return tuple(found)


def _may_go(run: Row, rule: Rule, now_ns: int) -> bool:
    if run["status"] not in ENDED or rule.keep_tag in msgspec.json.decode(run["tags"] or "[]"):
        return False
    return rule.older_than is None or (run["ended_at"] or run["started_at"]) < now_ns - rule.older_than


def _tops(index: Index, runs: Sequence[Row]) -> list[Row]:
    """The runs that nothing started which is in the store and of the same tenant."""
    parents = {run["parent_run"] for run in runs if run["parent_run"] is not None}
    known = {(row["tenant"], row["id"]) for row in _find(index, "id", parents)}
    return [run for run in runs if (run["tenant"], run["parent_run"]) not in known or run["parent_run"] == run["id"]]


def _started_by(index: Index, tops: Sequence[Row]) -> Mapping[str, list[Row]]:
    """All runs below some runs, by their parent. What another tenant's run claims to be below is left out."""
    below: dict[str, list[Row]] = {}
    level = {run["id"]: run["tenant"] for run in tops}
    seen = set(level)
    while level:
        found = [
            row
            for row in _find(index, "parent_run", level)
            if row["id"] not in seen and row["tenant"] == level[row["parent_run"]]
        ]
        for row in found:
            below.setdefault(row["parent_run"], []).append(row)
        level = {row["id"]: row["tenant"] for row in found}
        seen |= level.keys()
    return below


def _descendants(run: str, below: Mapping[str, Sequence[Row]]) -> Iterator[Row]:
    """What a run started, parents first."""
    waiting = list(below.get(run, ()))
    while waiting:
        row = waiting.pop()
        yield row
        waiting += below.get(row["id"], ())


def _find(index: Index, column: str, values: Iterable[str]) -> Sequence[Row]:
    wanted = sorted(values)
    parts = (tuple(wanted[start : start + _NAMES]) for start in range(0, len(wanted), _NAMES))
    return [
        row
        for part in parts
        for row in index.find(Query("runs", (Where(column, "in", part),), COLUMNS, limit=None)).rows
    ]
