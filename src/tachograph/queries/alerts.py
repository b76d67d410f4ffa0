"""What an alert has said so far: when it fired last, and whose value is above its threshold now.

Alerts leave audit runs, one when they fire and one when the value is below again; whoever watches reads it from those,
and so does this.
"""

from __future__ import annotations

from msgspec import Struct

from tachograph.events.run import AUDIT
from tachograph.store.ports import Index
from tachograph.store.query import Query, Where

_LOOKED_AT = 200
"""Audit runs of an alert that are read, the newest."""


class Standing(Struct, frozen=True, kw_only=True):
    """How an alert stands."""

    fired_at: int | None = None
    """UTC ns; None when it never has, as far as the audit reaches."""
    line: str = ""
    """What it said then."""
    above: tuple[str, ...] = ()
    """Scopes that have fired and are not below again."""


def standing(index: Index, alert: str) -> Standing:
    """How the alert of this name stands."""
    where = (Where("source", "eq", AUDIT), Where("tags", "contains", f"alert:{alert}"))
    runs = index.find(Query("runs", where, ("pk",), order=("-started_at",), limit=_LOOKED_AT)).rows
    if not runs:
        return Standing()
    of_these = Where("run", "in", tuple(row["pk"] for row in runs))
    hits = index.find(Query("limit_hits", (of_these,), ("at", "scope", "mode", "reason"), order=("-at",), limit=None))
    last: dict[str, str] = {}
    for hit in hits.rows:
        last.setdefault(hit["scope"], hit["mode"])
    fired = next((hit for hit in hits.rows if hit["mode"] == "warn"), None)
    return Standing(
        fired_at=fired["at"] if fired else None,
        line=fired["reason"] if fired else "",
        above=tuple(sorted(scope for scope, mode in last.items() if mode == "warn")),
    )
