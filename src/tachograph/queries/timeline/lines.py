"""Rows of a timeline: what the tables say of a step, a run or a limit, put into one form.

Asked of the tables, not of the log, and only for the rows that are shown. Figures of a step with others below it are
sums over the attempts below, runs it started included.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from msgspec import Struct

from tachograph.events import ids
from tachograph.queries.answers.limits import ReachedLimit, reached
from tachograph.queries.logs.keys import Key, Row, key_of
from tachograph.queries.timeline.figures import COLUMNS, Counted, Sums, counted, stalls
from tachograph.queries.timeline.outline import Node, Outline, Span
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

_PREVIEW = 120
"""Characters of a tool's arguments."""


class Line(Struct, frozen=True, kw_only=True):
    """One row. Fields that do not fit its kind are None."""

    key: str
    """What names it in this timeline: `<number of its run>.<step>`."""
    id: str
    """Of the step; of a limit, of the step it was reached in."""
    seq: int
    depth: int
    kind: str
    name: str
    status: str
    reason: str = ""
    """Why it ended so."""
    agent: str | None = None
    iteration: int | None = None
    begin_ns: int
    """Since the start of the run that is shown."""
    duration_ns: int | None
    until_ns: int
    """Where its bar ends."""
    below: int = 0
    """Rows below it."""
    is_folded: bool = False
    error_type: str | None = None
    error_message: str | None = None
    provider: str | None = None
    attempt: int = 1
    finish_reason: str | None = None
    http_status: int | None = None
    first_token_ns: int | None = None
    stalls: tuple[Span, ...] = ()
    """Pauses between chunks, ns since its start."""
    sums: Sums | None = None
    preview: str | None = None
    """The beginning of a tool's arguments, where they stand in its row."""
    band: tuple[int, int, int] | None = None
    """The iteration around it: number, begin and end, ns since the start of the run."""
    hit: ReachedLimit | None = None


class Lines:
    """Makes rows of nodes, from what their tables say."""

    def __init__(
        self, index: Index, found: Outline, folded: Collection[int], numbers: Mapping[int, int], origin: int, end: int
    ) -> None:
        self._index, self._found, self._folded = index, found, folded
        self._numbers, self._origin, self._end = numbers, origin, end

    def tell(self, shown: Sequence[int]) -> Iterator[Line]:
        """The rows at these places, which follow each other."""
        found = self._found
        above = {up for place in shown[:1] for up in self._above(place)}
        steps = [node for place in (*above, *shown) if not (node := found.nodes[place]).is_limit]
        self._steps = self._rows("steps", steps, _STEP)
        self._calls = self._rows("calls", self._of_kind("llm"), _CALL)
        self._tools = self._rows("tool_calls", self._of_kind("tool"), _TOOL)
        self._hits = self._reached([node for place in shown if (node := found.nodes[place]).is_limit])
        self._sums = self._added([place for place in shown if found.ends[place] > place + 1])
        for place in shown:
            yield self._limit(place) if found.nodes[place].is_limit else self._step(place)

    # ---- what the tables say --------------------------------------------------------------------------------------

    def _rows(self, table: str, nodes: Sequence[Node], columns: tuple[str, ...]) -> Mapping[Key, Row]:
        rows: dict[Key, Row] = {}
        for run in dict.fromkeys(node.run for node in nodes):
            steps = tuple(node.seq for node in nodes if node.run == run)
            where = (Where("run", "eq", run), Where("step", "in", steps))
            rows.update((key_of(row), row) for row in self._index.find(Query(table, where, columns, limit=None)).rows)
        return rows

    def _of_kind(self, kind: str) -> Sequence[Node]:
        return [Node(*key) for key, row in self._steps.items() if row["kind"] == kind]

    def _reached(self, nodes: Sequence[Node]) -> Mapping[Key, ReachedLimit]:
        hits: dict[Key, ReachedLimit] = {}
        for run in dict.fromkeys(node.run for node in nodes):
            seqs = tuple(node.seq for node in nodes if node.run == run)
            where = (Where("run", "eq", run), Where("seq", "in", seqs))
            hits.update(((run, hit.seq), hit) for hit in reached(self._index, *where, limit=len(seqs)))
        return hits

    def _above(self, place: int) -> Iterator[int]:
        while (place := self._found.parents[place]) >= 0:
            yield place

    def _added(self, places: Sequence[int]) -> Mapping[int, Sums]:
        """What the attempts below each place add up to. Runs know their own sums."""
        found = self._found
        places = [place for place in places if found.nodes[place].seq]
        if not places:
            return {}
        inside: dict[int, list[int]] = {}
        at: dict[Node, int] = {}
        for place in range(min(places), max(found.ends[place] for place in places)):
            node = found.nodes[place]
            if not node.is_limit and node.seq:
                inside.setdefault(node.run, []).append(node.seq)
                at[node] = place
        rows = [
            (at[Node(run, row["step"])], row)
            for run, seqs in inside.items()
            for row in self._calls_between(run, min(seqs), max(seqs))
            if Node(run, row["step"]) in at
        ]
        rows.sort(key=_first)
        ats = [place for place, _ in rows]
        running = [tuple(accumulate(column, initial=0)) for column in zip(*(counted(row) for _, row in rows))]  # noqa: B905 - of equal length
        made = {}
        for place in places:
            low, high = bisect_left(ats, place), bisect_left(ats, found.ends[place])
            if high > low:
                made[place] = Counted(*(column[high] - column[low] for column in running)).sums()
        return made

    def _calls_between(self, run: int, low: int, high: int) -> Sequence[Row]:
        where = (Where("run", "eq", run), Where("step", "ge", low), Where("step", "le", high))
        return self._index.find(Query("calls", where, COLUMNS, order=("step",), limit=None)).rows

    # ---- rows -----------------------------------------------------------------------------------------------------

    def _step(self, place: int) -> Line:
        node = self._found.nodes[place]
        row = self._steps[node.run, node.seq]
        begin, until = self._times(row)
        facts: dict[str, Any] = {}
        match row["kind"]:
            case "run":
                facts = _run_facts(self._found.runs[node.run])
            case "llm" if key_of(row) in self._calls:
                facts = _call_facts(self._calls[key_of(row)])
            case "tool" if key_of(row) in self._tools:
                facts = _tool_facts(self._tools[key_of(row)])
        return Line(
            **{
                "key": f"{self._numbers[node.run]}.{node.seq}",
                "id": ids.step_id(self._found.runs[node.run]["id"], node.seq),
                "seq": node.seq,
                "depth": self._found.depths[place],
                "kind": row["kind"],
                "name": row["name"],
                "status": row["status"],
                "agent": row["agent_type"],
                "iteration": row["iteration"],
                "begin_ns": begin,
                "duration_ns": row["duration_ns"],
                "until_ns": until,
                "below": self._found.ends[place] - place - 1,
                "is_folded": place in self._folded,
                "error_type": row["error_type"],
                "error_message": row["error_message"],
                "sums": self._sums.get(place),
                "band": self._band(place),
                **facts,
            }
        )

    def _limit(self, place: int) -> Line:
        node = self._found.nodes[place]
        hit = self._hits[node.run, node.seq]
        at = _since(hit, self._origin)
        return Line(
            key=f"{self._numbers[node.run]}.{node.seq}", id=hit.step_id, seq=node.seq, depth=self._found.depths[place],
            kind="limit", name=hit.metric, status=hit.mode, reason=hit.reason, begin_ns=at, duration_ns=None,
            until_ns=at, hit=hit, band=self._band(place),
        )  # fmt: skip

    def _times(self, row: Row) -> Span:
        began, took = row["started_at"], row["duration_ns"]
        begin = max(0, began - self._origin)
        return begin, max(begin, self._end - self._origin) if took is None else begin + took

    def _band(self, place: int) -> tuple[int, int, int] | None:
        found = self._found
        for up in (place, *self._above(place)):
            row = self._steps.get((found.nodes[up].run, found.nodes[up].seq))
            if row is not None and row["kind"] == "iteration" and not found.nodes[up].is_limit:
                return (row["iteration"] or 0, *self._times(row))
        return None


_STEP = (
    "run", "step", "kind", "name", "agent_type", "iteration", "status", "started_at", "duration_ns", "error_type",
    "error_message",
)  # fmt: skip
_CALL = (*COLUMNS, "provider", "attempt", "finish_reason", "http_status", "first_token_ns", "timeline")
_TOOL = ("run", "step", "state", "reason", "arguments")


def _since(hit: ReachedLimit, origin: int) -> int:
    return max(0, round(hit.time.timestamp() * 1e6) * 1_000 - origin)


def _run_facts(run: Row) -> dict[str, Any]:
    counted = not run["usage_missing"] or run["input_tokens"] or run["output_tokens"]
    priced = run["cost_nano"] or not run["unpriced"]
    sums = Sums(
        calls=run["llm_calls"], input=run["input_tokens"] if counted else None,
        output=run["output_tokens"] if counted else None, missing=run["usage_missing"],
        cost=run["cost_nano"] if priced else None, unpriced=run["unpriced"],
    )  # fmt: skip
    return {
        "reason": run["stop_reason"], "sums": sums if run["llm_calls"] else None, "error_type": run["error_type"],
        "error_message": run["error_message"],
    }  # fmt: skip


def _call_facts(call: Row) -> dict[str, Any]:
    return {
        **{name: call[name] for name in ("status", "provider", "finish_reason", "http_status", "first_token_ns")},
        "attempt": call["attempt"],
        "stalls": stalls(call["timeline"]),
        "sums": counted(call).sums(),
    }


def _tool_facts(tool: Row) -> dict[str, Any]:
    taken = tool["arguments"]
    return {
        "status": tool["state"],
        "reason": tool["reason"] or "",
        "preview": None if taken is None or taken == "{}" else taken[:_PREVIEW] + "…" * (len(taken) > _PREVIEW),
    }


def _first(pair: tuple[int, Row]) -> int:
    return pair[0]
