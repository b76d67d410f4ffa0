"""What each of some runs was asked: the beginning of its input, for lists of runs that all have the same name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tachograph.cli import human
from tachograph.store.ports import Store
from tachograph.store.query import Query, Where

WIDTH = 120


def asked(store: Store, runs: Sequence[str]) -> Mapping[str, str]:
    """Run id → the beginning of its input on one line; runs without one are absent."""
    if not runs:
        return {}
    where = (Where("id", "in", tuple(runs)),)
    rows = store.find(Query("runs", where, ("id", "input", "input_payload"), limit=None)).rows
    large = _payloads(store, {row["input_payload"] for row in rows} - {None})
    texts = {row["id"]: row["input"] or large.get(row["input_payload"]) for row in rows}
    return {run: human.line(_said(text).lstrip()[: 2 * WIDTH], WIDTH) for run, text in texts.items() if text}


def _payloads(store: Store, numbers: set[int]) -> dict[int, str]:
    if not numbers:
        return {}
    rows = store.find(Query("payloads", (Where("id", "in", tuple(numbers)),), ("id", "hash"), limit=None)).rows
    found = store.fetch([row["hash"] for row in rows])
    return {row["id"]: found[row["hash"]].decode() for row in rows if row["hash"] in found}


def _said(text: str) -> str:
    """A JSON string bare, and the texts of a message; other JSON as it stands."""
    try:
        value: Any = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if isinstance(value, str) else text
