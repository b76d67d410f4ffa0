"""What was done to the records: who deleted, pruned, added a key, or which alert fired, and when.

Feedback on a run stands below that run, and in the list of scores instead.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from tachograph.events.limit import LimitHit
from tachograph.events.note import Note
from tachograph.events.run import AUDIT
from tachograph.queries.answers.limits import Limit, limit
from tachograph.queries.bounds import EndDate, StartDate, between
from tachograph.queries.events import filled
from tachograph.queries.logs.contents import Json, raw
from tachograph.queries.logs.counts import within
from tachograph.queries.logs.keys import Row
from tachograph.queries.pages import Ordinal, PageAsked, PageGiven, Text, meeting, page, total
from tachograph.queries.units import Time, time
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

_LONGEST = 8
"""Events of an audit run that are looked at."""


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One thing that was done."""

    id: Annotated[str, Meta(description="Id of the audit run.")]
    time: Time
    action: Annotated[str, Meta(description="run_deleted, pruned, key_added, alert, …")]
    tenant: Annotated[str, Meta(description="Whose records it was about.")]
    user: Annotated[str | None, Meta(description="Who did it; null when nobody said.")]
    details: Annotated[Json, Meta(description="What exactly was done; null for an alert.")]
    limit: Annotated[Limit | None, Meta(description="The threshold that an alert watches; null for anything else.")]


class AuditAsked(PageAsked, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries. Conditions that are given must all hold."""

    action: Annotated[Text | None, Meta(description="run_deleted, pruned, key_added, alert, …")] = None
    user: Annotated[Text | None, Meta(description="Who did it.")] = None
    start_date: StartDate = None
    end_date: EndDate = None


class AuditEntries(PageGiven, frozen=True, kw_only=True):
    """A page of the audit, newest first."""

    entries: tuple[AuditEntry, ...]


def audit(store: Reading, asked: AuditAsked) -> AuditEntries:
    """The entries that meet every condition. Raises InvalidParameter for a date or a cursor that is none."""
    period = within(between(asked.start_date, asked.end_date))
    where = (
        Where("source", "eq", AUDIT),
        Where("parent_run", "null"),
        *period,
        *meeting(asked, {"action": "name", "user": "user"}),
    )
    query = Query("runs", where, ("id", "name", "tenant", "user", "started_at"), order=("-started_at",))
    found = page(store, query, asked, tuple[Ordinal, Ordinal])
    entries = tuple(_entry(store, row) for row in found.rows)
    return AuditEntries(entries=entries, **found.given(asked, total(store, query)))


def _entry(store: Reading, row: Row) -> AuditEntry:
    bodies = [event.body for event in filled(store.read(row["id"], limit=_LONGEST), store.fetch)]
    note = next((body.data for body in bodies if isinstance(body, Note)), None)
    hit = next((body for body in bodies if isinstance(body, LimitHit)), None)
    return AuditEntry(
        id=row["id"],
        time=time(row["started_at"]),
        action=row["name"],
        tenant=row["tenant"],
        user=row["user"],
        details=None if note is None or note.text is None else raw(note.text),
        limit=None if hit is None else limit(hit),
    )
