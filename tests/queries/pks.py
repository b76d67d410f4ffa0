"""The number that a store knows a run by."""

from __future__ import annotations

from tachograph.store.ports import Index
from tachograph.store.query import Query, Where


def pk_of(store: Index, run: str) -> int:
    """Of the run with this id."""
    pk: int = store.find(Query("runs", (Where("id", "eq", run),), ("pk",))).rows[0]["pk"]
    return pk
