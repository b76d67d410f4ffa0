"""What was said in runs of a session: what went into each, what came out, and who it was handed to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.events.call import CallStarted
from tachograph.events.content import Content
from tachograph.events.message import MessageAppended
from tachograph.fold.handoffs import Handing, handing
from tachograph.queries.answers.runs import RunOverview
from tachograph.queries.events import fetch_texts, text_of
from tachograph.queries.logs.contents import GONE, LIST_BYTES, NO_PIECE, NOTHING, Value, both, piece, raw, reader
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

MOST_HANDOFFS = 200
"""Hand-offs of all these runs together."""
_HEAD = 200
"""Events at the beginning of a log in which what was asked is looked for."""
_TAIL = 200
"""Events at the end of a log in which it is said that a person was asked for."""


class Handed(Struct, frozen=True, kw_only=True):
    """A hand-off inside a run: another agent went on, or a person was asked."""

    step: int
    to: str
    reason: str
    status: str


class Exchange(Struct, frozen=True, kw_only=True):
    """One run of a conversation."""

    run: RunOverview
    input: Value
    output: Value
    handed: tuple[Handed, ...]
    person: Handing | None
    """Where it stands on its way to a person."""


def exchanges(store: Reading, runs: Sequence[RunOverview]) -> tuple[Exchange, ...]:
    """What was said in these runs, in their order."""
    if not runs:
        return ()
    columns = ("pk", "id", *both("input"), *both("output"))
    query = Query("runs", (Where("id", "in", tuple(run.id for run in runs)),), columns, limit=None)
    rows = {row["id"]: row for row in store.find(query).rows}
    read = reader(store, (piece(row, name) for row in rows.values() for name in ("input", "output")), LIST_BYTES)
    handed = _handed(store, [row["pk"] for row in rows.values()])
    return tuple(
        Exchange(
            run=run,
            input=read(own) if (own := piece(rows[run.id], "input")) != NO_PIECE else _last_words(store, run.id),
            output=read(piece(rows[run.id], "output")),
            handed=tuple(handed.get(rows[run.id]["pk"], ())),
            person=_person(store, run, handed.get(rows[run.id]["pk"], ())),
        )
        for run in runs
        if run.id in rows
    )


def _last_words(store: Reading, run: str) -> Value:
    """What a user said last before the first model call."""
    found: Content | None = None
    for event in store.read(run, -1, _HEAD):
        match event.body:
            case MessageAppended(role="user", message=message, ephemeral=False):
                found = message
            case CallStarted():
                break
    if found is None or (found.text is None and found.size > LIST_BYTES):
        return NOTHING if found is None else GONE
    text = text_of(found, fetch_texts((found,), store.fetch))
    return NOTHING if text is None else Value(raw(text))


def _handed(store: Reading, pks: Sequence[int]) -> Mapping[int, list[Handed]]:
    where = (Where("run", "in", tuple(pks)), Where("kind", "eq", "handoff"))
    query = Query(
        "steps", where, ("run", "step", "name", "status", "input"), order=("run", "step"), limit=MOST_HANDOFFS
    )
    found: dict[int, list[Handed]] = {}
    for row in store.find(query).rows:
        facts = _facts(row["input"])
        to = str(facts.get("to") or facts.get("kind") or row["name"].removeprefix("handoff to "))
        reason = str(facts.get("reason") or "")
        found.setdefault(row["run"], []).append(Handed(step=row["step"], to=to, reason=reason, status=row["status"]))
    return found


def _facts(text: str | None) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(text or "null")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _person(store: Reading, run: RunOverview, handed: Iterable[Handed]) -> Handing | None:
    if run.stop_reason != "human_handoff" and all(each.to != "person" for each in handed):
        return None
    return handing(store.read(run.id, max(-1, run.events - 1 - _TAIL)), store.fetch)
