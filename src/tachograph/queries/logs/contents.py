"""Recorded contents for rows of an answer: JSON as it was recorded, bounded, and marked where it is not whole.

A content is whole up to so many bytes. A larger one, or one whose bytes were not kept, stands as the marker that the
SQL views use: `{"$payload": "<hash>", "size": n}`. A run's events and transcripts give all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw

from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

LIST_BYTES = 16_384
"""Largest content that a row of a list shows."""
DETAIL_BYTES = 262_144
"""Largest content that a row of one execution shows."""
TOGETHER_BYTES = 8_388_608
"""Most bytes of large contents in one answer; the rest stands as markers."""

Json = Annotated[Raw | None, Meta(description="Any JSON value, as it was recorded.")]
Cut = Annotated[
    tuple[str, ...],
    Meta(
        description="Fields of this row that are not whole: a text is its beginning, other JSON is the marker"
        ' {"$payload": hash, "size": bytes}. The run\'s events have all of it.'
    ),
]


class Piece(NamedTuple):
    """A content as a row has it: its text, or the payload that holds it; neither when nothing was kept."""

    text: str | None
    payload: int | None


class Value(NamedTuple):
    """A content as an answer has it."""

    json: Raw | None
    whole: bool = True


NO_PIECE = Piece(None, None)
NOTHING = Value(None)
GONE = Value(None, whole=False)
"""Erased since its row was read."""
Reader = Callable[[Piece], Value]


def piece(row: Mapping[str, Any], name: str) -> Piece:
    """The content `name` of a row."""
    return Piece(row[name], row[f"{name}_payload"])


def both(name: str) -> tuple[str, str]:
    """The columns of the content `name`."""
    return name, f"{name}_payload"


def tool_results(store: Reading, rows: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """What tool calls returned, by their rows. A result that was never kept apart is the message that carried it."""
    own = [piece(row, "result") for row in rows]
    nodes = {row["result_node"] for row, found in zip(rows, own, strict=True) if found == NO_PIECE} - {None}
    if not nodes:
        return own
    query = Query("nodes", (Where("id", "in", tuple(nodes)),), ("id", "payload"), limit=None)
    messages = {row["id"]: Piece(None, row["payload"] or None) for row in store.find(query).rows}
    return [
        messages.get(row["result_node"], NO_PIECE) if found == NO_PIECE else found
        for row, found in zip(rows, own, strict=True)
    ]


def reader(store: Reading, pieces: Iterable[Piece], each: int) -> Reader:
    """What reads these pieces; everything that is not in a row is fetched here and now, smallest first."""
    numbers = {found.payload for found in pieces if found.payload is not None}
    fetched = _fetched(store, tuple(numbers), each) if numbers else {}

    def value(found: Piece) -> Value:
        if found.text is not None:
            return Value(raw(found.text))
        return NOTHING if found.payload is None else fetched.get(found.payload, GONE)

    return value


def raw(text: str | bytes) -> Raw:
    """Recorded JSON, put into an answer byte for byte. What is not JSON stands as a string."""
    try:
        return Raw(bytes(msgspec.json.decode(text, type=Raw)))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        said = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return Raw(msgspec.json.encode(said.encode("utf-8", "replace").decode()))


def marker(hash: bytes, size: int) -> Raw:
    """What stands for a content that is not given."""
    return Raw(msgspec.json.encode({"$payload": hash.hex(), "size": size}))


def _fetched(store: Reading, numbers: Sequence[int], each: int) -> Mapping[int, Value]:
    query = Query("payloads", (Where("id", "in", numbers),), ("id", "hash", "size"), order=("size",), limit=None)
    rows = store.find(query).rows
    wanted, spent = [], 0
    for row in rows:
        spent += row["size"]
        if row["size"] <= each and spent <= TOGETHER_BYTES:
            wanted.append(row["hash"])
    texts = store.fetch(wanted)
    return {row["id"]: _value(row, texts.get(row["hash"])) for row in rows}


def _value(row: Mapping[str, Any], text: bytes | None) -> Value:
    if text is not None:
        return Value(raw(text))
    return Value(marker(row["hash"], row["size"]), whole=False)
