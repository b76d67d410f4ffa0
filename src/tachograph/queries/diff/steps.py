"""The steps of a page of a comparison: figures, and the beginnings of what went in and out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from tachograph.events import ids
from tachograph.queries import wording
from tachograph.queries.diff.replies import Read, Reply, replies
from tachograph.queries.diff.sides import Entry, Side
from tachograph.queries.logs.contents import LIST_BYTES, NO_PIECE, Piece, Reader, both, piece, reader
from tachograph.queries.logs.failures import ErrorDetail, failure
from tachograph.queries.logs.keys import Key, Row, key_of
from tachograph.queries.units import Time, maybe_ms, maybe_usd, ms, time
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where


class DiffStep(Struct, frozen=True, kw_only=True):
    """One step of a side. Fields that do not fit its kind are null."""

    id: str
    run_id: Annotated[str, Meta(description="Its run: the one that is compared, or one below it.")]
    step: int
    depth: Annotated[int, Meta(description="0 for steps right below the run that is compared.")]
    kind: str
    name: Annotated[str, Meta(description="For a model call its model.")]
    status: Annotated[str, Meta(description="`started` while it is open; for a tool call its state.")]
    agent_type: str | None
    iteration: int | None
    start_time: Time
    begin_ms: Annotated[float, Meta(description="Since its side's run began.")]
    duration_ms: Annotated[float | None, Meta(description="Null while it is open.")]
    finish_reason: str | None
    stop_reason: Annotated[str | None, Meta(description="Of a run.")]
    reason: Annotated[str | None, Meta(description="Why a tool call was rejected or skipped.")]
    error: ErrorDetail | None
    attempt: int | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    total_cost: float | None
    input: Annotated[
        str | None, Meta(description="The beginning of what went in: of a tool call its arguments, as JSON text.")
    ]
    output: Annotated[
        str | None,
        Meta(
            description="The beginning of what came out: a result, or of a model call its words and what it asks for."
        ),
    ]


Steps = Mapping[Key, DiffStep]

_STEPS = (
    "run", "step", "agent_type", "started_at", "duration_ns", "error_type", "error_category", "error_message",
)  # fmt: skip
_CALLS = (
    "run", "step", "attempt", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
    "reasoning_tokens", "cost_nano",
)  # fmt: skip
_TOOLS = ("run", "step", "reason", *both("arguments"), *both("result"))
_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


def steps(store: Reading, side: Side, places: Iterable[int], preview: int) -> Mapping[int, DiffStep]:
    """The steps at these places of a side; `preview` characters of each content, 0 for none."""
    shown = {place: side.entries[place] for place in places}
    keys = [key_of(entry.row) for entry in shown.values()]
    rows = {table: _rows(store, table, keys, columns) for table, columns in _WANTED.items()}
    pieces = {place: _pieces(entry, rows["tool_calls"]) for place, entry in shown.items()} if preview else {}
    read = reader(store, (each for pair in pieces.values() for each in pair), LIST_BYTES)
    said = replies(store, (_node(entry) for entry in shown.values())) if preview else _unsaid
    found: dict[int, DiffStep] = {}
    for place, entry in shown.items():
        taken, given = pieces.get(place, (NO_PIECE, NO_PIECE))
        output = beginning(_words(given, read) or _said(_node(entry), said), preview)
        row = {**entry.row, **rows["steps"].get(key_of(entry.row), _NO_STEP)}
        more = {table: rows[table].get(key_of(entry.row), {}) for table in ("calls", "tool_calls")}
        found[place] = _step(side, entry, row, more, beginning(_words(taken, read), preview), output)
    return found


_WANTED = {"steps": _STEPS, "calls": _CALLS, "tool_calls": _TOOLS}
_NO_STEP: Row = dict.fromkeys(_STEPS)


def _unsaid(_node: int) -> None:
    return None


def _step(
    side: Side, entry: Entry, row: Row, more: Mapping[str, Row], taken: str | None, given: str | None
) -> DiffStep:
    call, tool = more["calls"], more["tool_calls"]
    run = entry.run
    return DiffStep(
        id=ids.step_id(run.id, row["step"]),
        run_id=run.id,
        step=row["step"],
        depth=entry.depth,
        kind=row["kind"],
        name=row["name"],
        status=entry.more.get("state", row["status"]),
        agent_type=row["agent_type"],
        iteration=row["iteration"],
        start_time=time(row["started_at"]),
        begin_ms=ms(max(0, row["started_at"] - side.run.started_at)),
        duration_ms=maybe_ms(row["duration_ns"]),
        finish_reason=entry.more.get("finish_reason"),
        stop_reason=run.stop_reason if row["step"] == 0 else None,
        reason=tool.get("reason"),
        error=failure(row),
        attempt=call.get("attempt"),
        total_cost=maybe_usd(call.get("cost_nano")),
        input=taken,
        output=given,
        **{name: call.get(name) for name in _TOKENS},
    )


def _rows(store: Reading, table: str, keys: Sequence[Key], columns: tuple[str, ...]) -> Mapping[Key, Row]:
    if not keys:
        return {}
    where = tuple(Where(name, "in", tuple({key[place] for key in keys})) for place, name in enumerate(("run", "step")))
    return {key_of(row): row for row in store.find(Query(table, where, columns, limit=None)).rows}


# ---- what is shown of contents ---------------------------------------------------------------------------------------


def _pieces(entry: Entry, tools: Mapping[Key, Row]) -> tuple[Piece, Piece]:
    row = tools.get(key_of(entry.row))
    if row is not None:
        return piece(row, "arguments"), piece(row, "result")
    return piece(entry.row, "input"), piece(entry.row, "output")


def _node(entry: Entry) -> int | None:
    found: int | None = entry.more.get("output_node") or entry.more.get("result_node")
    return found


def _words(found: Piece, read: Reader) -> str | None:
    json = read(found).json
    return None if json is None else plain(bytes(json).decode())


def plain(json: str | None) -> str | None:
    """A content as JSON text; a text as itself."""
    value = msgspec.json.decode(json) if json is not None and json[:1] == '"' else None
    return value if isinstance(value, str) else json


def _said(node: int | None, read: Read) -> str | None:
    found = None if node is None else read(node)
    return found.shown() if isinstance(found, Reply) else None


def beginning(text: str | None, length: int) -> str | None:
    """At most `length` characters; None for 0."""
    if not length:
        return None
    return None if text is None else wording.cut(text, length)
