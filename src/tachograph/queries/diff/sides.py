"""One of two runs that are compared: its steps in tree order, each by what was asked of it and how it ended.

Read from the projections alone, and only as much as the alignment needs. Steps of runs that it started stand where they
were started. Iterations are no steps of their own here: each step says in which it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tachograph.events.content import canonical_hash
from tachograph.fold.diff import Known
from tachograph.queries.logs.contents import LIST_BYTES, NO_PIECE, Piece, both, piece, reader
from tachograph.queries.logs.keys import Key, Row, key_of
from tachograph.queries.runs import COLUMNS, NO_AUDIT, Run, run_of
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

STEPS = 20_000
"""Most steps of a side that are aligned, the first ones."""
RUNS = 2_000
"""Most runs below a side."""

NAMED_ONLY = frozenset(("run", "handoff", "delegation", "compaction"))
"""Kinds whose input and output hold ids and places of their own run: kind and name say what they did."""
_STEPS = (
    "run", "step", "parent", "kind", "name", "iteration", "status", "started_at", "error_type",
    *both("input"), *both("output"),
)  # fmt: skip
_CALLS = ("run", "step", "finish_reason", "output_node")
_TOOLS = ("run", "step", "name", "requested_by", "state", "arguments_hash", "result_hash", "result_node")


class Origin(Struct, frozen=True):
    """Where a forked run came from: what it had seen when it began is what that run had seen at event `seq`."""

    run_id: str
    seq: int


class Below(NamedTuple):
    """A run of a side: the one that is compared, or one that it started, directly or through others."""

    pk: int
    run: Run
    parent: tuple[str, int] | None
    """Id of the run that started it, and the step in which."""


class Entry(NamedTuple):
    """One step of a side."""

    row: Row
    """Of the table of steps."""
    more: Row
    """Of the table of model calls or of tool calls; empty for other steps."""
    run: Run
    depth: int
    asked: tuple[str, ...] = ()
    """What the reply of a model call asked for: each tool with its arguments, as far as the calls were recorded."""


class Side(NamedTuple):
    """A run as it is compared."""

    run: Run
    head: Head
    runs: Sequence[Below]
    """The run itself, then those below it, as far as they are compared."""
    entries: Sequence[Entry]
    known: Sequence[Known]
    after: int
    """Event of the run behind which steps are compared: the fork that is on the other side began there; -1 for none."""
    taken: int
    """Steps that are not compared: the fork took them over."""
    is_whole: bool
    """False: it has more steps than are compared."""


class Head(NamedTuple):
    """What only the row of a run itself says."""

    origin: Origin | None
    answer: str | None
    """Its output, as JSON text."""


def head_of(store: Reading, run: Run) -> Head:
    """Where a run was forked from, and what came of it."""
    rows = store.find(Query("runs", (Where("id", "eq", run.id),), (*both("metadata"), *both("output")), limit=1)).rows
    pieces = [piece(row, name) for row in rows for name in ("metadata", "output")]
    read = reader(store, pieces, LIST_BYTES)
    metadata, output = (read(each).json for each in pieces or (NO_PIECE, NO_PIECE))
    return Head(_origin(metadata), None if output is None else bytes(output).decode())


def _origin(metadata: msgspec.Raw | None) -> Origin | None:
    try:
        origin = None if metadata is None else msgspec.json.decode(metadata, type=_Forked).forked_from
    except msgspec.DecodeError:
        return None
    return None if origin is None else Origin(origin.run, origin.seq)


def runs_of(store: Reading, run: Run) -> list[Below]:
    """The run and those below it, nearest first; circles are gone round once. At most RUNS."""
    columns = ("pk", "parent_step", *COLUMNS)
    found: dict[str, Below] = {}
    where: tuple[Where, ...] = (Where("id", "eq", run.id),)
    while len(found) < RUNS:
        rows = store.find(Query("runs", where, columns, order=("started_at",), limit=RUNS - len(found))).rows
        new = {row["id"]: _below(row) for row in rows if row["id"] not in found}
        found.update(new)
        if not new:
            break
        where = (Where("parent_run", "in", tuple(new)), NO_AUDIT)
    return list(found.values())


def side(store: Reading, run: Run, head: Head, runs: Sequence[Below], after: int = -1) -> Side:
    """A run with its steps; those that began up to event `after` of it are left out, with all that is below them."""
    mine = Where("run", "in", tuple(each.pk for each in runs))
    rows = store.find(Query("steps", (mine,), _STEPS, order=("run", "step"), limit=STEPS + 1)).rows
    more: dict[Key, Row] = {}
    for table, columns in (("calls", _CALLS), ("tool_calls", _TOOLS)):
        found = store.find(Query(table, (mine,), columns, order=("run", "step"), limit=STEPS)).rows
        more.update((key_of(row), row) for row in found)
    place = {each.pk: number for number, each in enumerate(runs)}
    ordered = sorted(rows[:STEPS], key=lambda row: (place[row["run"]], row["step"]))
    whole = list(_walk(ordered, runs, more))
    kept = _behind(runs, after)
    entries = whole if after < 0 else [each for each in whole if _is_compared(each, kept, run, after)]
    return Side(
        run, head, [each for each in runs if each.run.id in kept], entries, [_known(each) for each in entries],
        after, len(whole) - len(entries), len(rows) <= STEPS,
    )  # fmt: skip


# ---- the order of the tree -------------------------------------------------------------------------------------------


def _walk(rows: Sequence[Row], runs: Sequence[Below], more: Mapping[Key, Row]) -> Iterator[Entry]:
    """The steps in tree order, without the run that is compared and without iterations."""
    by_pk = {each.pk: each for each in runs}
    asked = _asked_by(more.values())
    pk_of = {each.run.id: each.pk for each in runs}
    there = {key_of(row) for row in rows}
    below: defaultdict[Key, list[Row]] = defaultdict(list)
    for row in rows:
        if row["step"] == 0:
            above = by_pk[row["run"]].parent
            if above is None or row["run"] == runs[0].pk:
                continue
            key = pk_of[above[0]], above[1]
            below[key if key in there else (key[0], 0)].append(row)
        else:
            key = row["run"], row["parent"]
            below[key if key in there else (key[0], 0)].append(row)
    waiting = [(0, row) for row in reversed(below[runs[0].pk, 0])]
    while waiting:
        depth, row = waiting.pop()
        is_step = row["kind"] != "iteration"
        if is_step:
            key = key_of(row)
            yield Entry(row, more.get(key, _NOTHING), by_pk[row["run"]].run, depth, asked.get(key, ()))
        waiting.extend((depth + is_step, child) for child in reversed(below[key_of(row)]))


def _asked_by(rows: Iterable[Row]) -> Mapping[Key, tuple[str, ...]]:
    """Model call → the tools it asked for, with their arguments."""
    found: defaultdict[Key, list[str]] = defaultdict(list)
    for row in rows:
        if row.get("requested_by") is not None:
            found[row["run"], row["requested_by"]].append(f"{row['name']}\0{row['arguments_hash']}")
    return {key: tuple(sorted(calls)) for key, calls in found.items()}


def _behind(runs: Sequence[Below], after: int) -> set[str]:
    """The run itself, and those that were started below steps of it behind an event."""
    root = runs[0].run.id
    kept = {root}
    for each in runs[1:]:
        above, step = each.parent or ("", 0)
        if above in kept and (above != root or step > after):
            kept.add(each.run.id)
    return kept


def _is_compared(entry: Entry, kept: set[str], run: Run, after: int) -> bool:
    return entry.run.id in kept and (entry.run.id != run.id or entry.row["step"] > after)


# ---- what a step is known by -----------------------------------------------------------------------------------------


def _known(entry: Entry) -> Known:
    row, kind = entry.row, entry.row["kind"]
    if kind == "llm":
        # An attempt that failed had no chance to say anything: it rather answers to another one that failed.
        return Known("\0".join(("llm", row["name"], str(row["status"] == "failed"), *entry.asked)), "llm")
    kin = f"{kind}\0{row['name']}"
    if kind == "tool":
        return Known(f"{kin}\0{entry.more.get('arguments_hash')}", kin)
    return Known(kin if kind in NAMED_ONLY else f"{kin}\0{given(entry)}", kin)


def given(entry: Entry) -> str:
    """What names the input of a plain step."""
    return _value(piece(entry.row, "input"))


def ended(entry: Entry) -> Iterator[tuple[str, Any]]:
    """What of its end can be compared without reading a message."""
    row, more, kind = entry.row, entry.more, entry.row["kind"]
    yield "status", more.get("state", row["status"])
    yield "error", row["error_type"]
    if kind == "llm":
        yield "finish_reason", more.get("finish_reason")
    elif kind == "tool":
        yield "result", more.get("result_hash")
    elif kind == "run":
        yield "stop_reason", entry.run.stop_reason
    elif kind not in NAMED_ONLY:
        yield "output", _value(piece(row, "output"))


def _value(found: Piece) -> str:
    """Equal for equal values where they are short, and for equal bytes where not."""
    return str(found.payload) if found.text is None else canonical_hash(found.text).hex()


_NOTHING: Row = {}


class _From(Struct):
    run: str
    seq: int


class _Forked(Struct):
    forked_from: _From | None = None


def _below(row: Row) -> Below:
    above = row["parent_run"]
    return Below(row["pk"], run_of(row), None if above is None else (above, row["parent_step"] or 0))
