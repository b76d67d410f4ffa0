"""Who said that: messages that contain a text, with the words around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tachograph.queries.runs import COLUMNS, Run, run_of
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

AROUND = 60
"""Characters of a snippet before and behind the match."""


class Snippet(Struct, frozen=True):
    """A piece of a text around a match: `text[start:stop]` is what matched."""

    text: str
    start: int
    stop: int


class Hit(Struct, frozen=True):
    """A message that contains the text."""

    run: Run
    seq: int
    """Its event, which is its transcript node."""
    at: int
    """When it joined the transcript, UTC ns."""
    role: str
    snippet: Snippet


def search(store: Reading, text: str, limit: int = 20) -> tuple[Hit, ...]:
    """At most `limit` messages that contain `text` in any case, those of the newest runs first.

    A message that several runs share is found in each of them. Reads every stored message: its time grows with the
    text in the store. Raises ValueError for an empty text.
    """
    if not text:
        raise ValueError("search for an empty text finds everything; give at least one character")
    found = store.search(text, limit)
    runs = _runs(store, {row["run_id"] for row in found})
    bodies = store.fetch(tuple({bytes.fromhex(row["hash"]) for row in found}))
    return tuple(hit for row in found if (hit := _hit(store, row, runs, bodies, text)) is not None)


def _hit(
    store: Reading, row: Mapping[str, Any], runs: Mapping[str, Run], bodies: Mapping[bytes, bytes], text: str
) -> Hit | None:
    """A hit; None when its run was erased since it was found."""
    run, body = runs.get(row["run_id"]), bodies.get(bytes.fromhex(row["hash"]))
    event = next(store.read(row["run_id"], row["seq"] - 1, 1), None)
    if run is None or body is None or event is None:
        return None
    return Hit(run, row["seq"], event.at, row["role"], snippet(body, text))


def snippet(message: bytes, text: str, around: int = AROUND) -> Snippet:
    """The first place in a message (JSON) that contains `text`, with `around` characters on both sides.

    What people read comes before field names and other JSON.
    """
    wanted = text.lower()
    for said in (*_strings(message), message.decode("utf-8", "replace")):
        place = said.lower().find(wanted)
        if place >= 0:
            return _cut(said, place, place + len(text), around)
    return _cut(message.decode("utf-8", "replace"), 0, 0, around)


def _cut(said: str, start: int, stop: int, around: int) -> Snippet:
    first, last = max(0, start - around), min(len(said), stop + around)
    before, behind = "…" if first else "", "…" if last < len(said) else ""
    shift = first - len(before)
    return Snippet(f"{before}{said[first:last]}{behind}", start - shift, stop - shift)


def _strings(message: bytes) -> Iterator[str]:
    """Every text value of a JSON message, in order, with white space as single spaces."""
    try:
        waiting: list[Any] = [msgspec.json.decode(message)]
    except msgspec.DecodeError:
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield " ".join(value.split())
        elif isinstance(value, Mapping):
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def _runs(store: Reading, wanted: set[str]) -> Mapping[str, Run]:
    ids: Sequence[str] = tuple(wanted)
    rows = store.find(Query("runs", (Where("id", "in", ids),), COLUMNS, limit=None)).rows if ids else ()
    return {row["id"]: run_of(row) for row in rows}
