"""The order of a run's steps: the tree of the run and of the runs below it, flat, parents first.

Read from two columns of the table of steps, so that a run of ten thousand steps is in order within some ten
milliseconds. A node is a step, or a limit that was reached within one. What is folded, or lies outside the time that is
looked at, is left out, and with it what hangs below.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tachograph.queries.kept import Kept
from tachograph.queries.runs import NO_AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

MOST_STEPS = 20_000
"""Steps that are put in order; of a longer run those that began first."""
MOST_RUNS = 100
"""Runs below it that are looked at."""
_LEVELS = 8
_MOST_HITS = 2_000
_RUN = (
    "pk", "id", "name", "agent_type", "parent_run", "parent_step", "status", "stop_reason", "started_at", "duration_ns",
    "updated_at", "next_seq", "input_tokens", "output_tokens", "usage_missing", "cost_nano", "unpriced", "llm_calls",
    "error_type", "error_message",
)  # fmt: skip


class Node(NamedTuple):
    """A step of one of the runs, or a limit that was reached in it."""

    run: int
    """pk."""
    seq: int
    """Number of the step; of a limit, seq of its event."""
    is_limit: bool = False


Span = tuple[int, int]
"""When something began and ended, UTC ns."""


@dataclass(frozen=True)
class Outline:
    """All nodes, parents first."""

    runs: Mapping[int, Mapping[str, Any]]
    """Rows of the runs by pk, the one that is shown first."""
    nodes: Sequence[Node]
    depths: Sequence[int]
    ends: Sequence[int]
    """Where the nodes below each one end."""
    parents: Sequence[int]
    """Place of the node above; -1 for the first."""
    is_whole: bool
    """Whether these are all."""

    @property
    def state(self) -> Hashable:
        """Of these runs, as far as they are recorded."""
        return _state(self.runs)

    def visible(self, folded: Collection[int], spans: Sequence[Span] | None = None, within: Span = (0, 0)) -> list[int]:
        """Places of the nodes that are seen where the nodes at `folded` show nothing below them."""
        if not folded and spans is None:
            return list(range(len(self.nodes)))
        found, place, ends = [], 0, self.ends
        while place < len(ends):
            if spans is not None and place and (spans[place][0] > within[1] or spans[place][1] < within[0]):
                place = ends[place]
                continue
            found.append(place)
            place = ends[place] if place in folded else place + 1
        return found


def outline(index: Index, pk: int, now: int, kept: Kept) -> Outline:
    """The tree of the run with this pk at `now` (UTC ns).

    It is another question as soon as the table of runs says another thing of one of them, be it the number of its
    events. Only a run that was imported again may say the same of itself and have other steps, for as long as is kept.
    """
    runs = _runs(index, pk)
    return kept.get(("order", pk, _state(runs)), now, lambda: _ordered(index, pk, runs))


def _ordered(index: Index, pk: int, runs: Mapping[int, Mapping[str, Any]]) -> Outline:
    pks = tuple(runs)
    where = (Where("run", "eq", pk),) if len(pks) == 1 else (Where("run", "in", pks),)
    query = Query("steps", where, ("run", "step", "parent"), order=("run", "step"), limit=MOST_STEPS + 1)
    rows = index.find(query).rows
    hits = index.find(Query("limit_hits", where, ("run", "seq", "step"), order=("run", "seq"), limit=_MOST_HITS)).rows
    below = _below(runs, rows[:MOST_STEPS], hits)
    return _flat(runs, Node(pk, 0), below, is_whole=len(rows) <= MOST_STEPS)


def _state(runs: Mapping[int, Mapping[str, Any]]) -> Hashable:
    return tuple(tuple(row.values()) for row in runs.values())


def spans(index: Index, found: Outline, until: int, now: int, kept: Kept) -> Sequence[Span]:
    """When each node began and ended; what is open goes on `until` (UTC ns)."""
    times = kept.get(("times", found.nodes[0].run, found.state), now, lambda: _times(index, found))
    return [(began, max(began, until) if ended is None else ended) for began, ended in times]


def _times(index: Index, found: Outline) -> Sequence[tuple[int, int | None]]:
    """When each node began and ended; None for what is open."""
    where = (Where("run", "in", tuple(found.runs)),)
    columns = ("run", "step", "started_at", "ended_at")
    rows = index.find(Query("steps", where, columns, order=("run", "step"), limit=MOST_STEPS)).rows
    times = {(row["run"], row["step"]): (row["started_at"], row["ended_at"]) for row in rows}
    hits = index.find(Query("limit_hits", where, ("run", "seq", "at"), order=("run", "seq"), limit=_MOST_HITS)).rows
    points = {(row["run"], row["seq"]): row["at"] for row in hits}
    return [
        (points.get((run, seq), 0),) * 2 if is_limit else times.get((run, seq), (0, 0))
        for run, seq, is_limit in found.nodes
    ]


def _runs(index: Index, pk: int) -> dict[int, Mapping[str, Any]]:
    """The run and those below it, nearest first; circles are gone round once."""
    found = {row["pk"]: row for row in index.find(Query("runs", (Where("pk", "eq", pk),), _RUN, limit=1)).rows}
    above = tuple(row["id"] for row in found.values())
    for _ in range(_LEVELS):
        if not above or len(found) > MOST_RUNS:
            break
        where = (Where("parent_run", "in", above), NO_AUDIT)
        rows = index.find(Query("runs", where, _RUN, order=("started_at",), limit=MOST_RUNS)).rows
        new = {row["pk"]: row for row in rows if row["pk"] not in found}
        found.update(new)
        above = tuple(row["id"] for row in new.values())
    return found


_Below = dict[Node, list[Node]]


def _below(
    runs: Mapping[int, Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], hits: Sequence[Mapping[str, Any]]
) -> _Below:
    """Nodes below each node, in the order they began; runs stand behind the steps beside them."""
    below: _Below = {}
    known: dict[int, set[int]] = {pk: set() for pk in runs}
    for row in rows:  # in the order of their numbers: what is above a step was known before it
        run, step, parent = row["run"], row["step"], row["parent"]
        if step:
            above = _node(run, parent if parent in known[run] else 0)
            if above in below:
                below[above].append(_node(run, step))
            else:
                below[above] = [_node(run, step)]
        known[run].add(step)
    mixed = set[Node]()
    for row in hits:
        run, step = row["run"], row["step"]
        above = Node(run, step if step in known[run] else 0)
        below.setdefault(above, []).append(Node(run, row["seq"], is_limit=True))
        mixed.add(above)
    for above in mixed:
        below[above].sort(key=_seq)
    by_id = {row["id"]: pk for pk, row in runs.items()}
    for pk, row in list(runs.items())[1:]:
        up, step = by_id.get(row["parent_run"]), row["parent_step"] or 0
        if up is not None:
            below.setdefault(Node(up, step if step in known[up] else 0), []).append(Node(pk, 0))
    return below


def _node(run: int, step: int) -> Node:
    """A step: made so, ten thousand of them cost some milliseconds less."""
    return tuple.__new__(Node, (run, step, False))


def _seq(node: Node) -> int:
    return node.seq


def _flat(runs: Mapping[int, Mapping[str, Any]], root: Node, below: _Below, *, is_whole: bool) -> Outline:
    nodes, depths, parents, ends = [root], [0], [-1], [1]
    open_places, waiting = [0], [iter(below.get(root, ()))]
    while waiting:
        above, depth = open_places[-1], len(waiting)
        for node in waiting[-1]:
            nodes.append(node)
            depths.append(depth)
            parents.append(above)
            ends.append(len(nodes))
            if node in below:
                open_places.append(len(nodes) - 1)
                waiting.append(iter(below[node]))
                break
        else:
            waiting.pop()
            ends[open_places.pop()] = len(nodes)
    return Outline(runs, nodes, depths, ends, parents, is_whole)
