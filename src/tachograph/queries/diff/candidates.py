"""Runs that one run can sensibly be compared with."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from tachograph.queries.answers.runs import RunOverview, overview
from tachograph.queries.diff.sides import head_of
from tachograph.queries.runs import COLUMNS, Filter, Run, run_of, runs
from tachograph.store.ports import Index, Reading
from tachograph.store.query import Query, Where

EACH = 10
"""Most runs of a kind."""


class Candidates(Struct, frozen=True, kw_only=True):
    """Runs to choose from, newest first; each stands once."""

    origin: RunOverview | None
    """The run that it was forked from."""
    of_session: tuple[RunOverview, ...]
    of_agent: tuple[RunOverview, ...]
    """Of the same agent; of the same name where there is none."""


def candidates(store: Reading, run: Run) -> Candidates:
    """What there is to compare a run with."""
    origin = head_of(store, run).origin
    above = None if origin is None else _run(store, origin.run_id)
    seen = {run.id} if above is None else {run.id, above.id}
    session = [] if run.session is None else _others(store, Filter(session=run.session, tenant=run.tenant), seen)
    seen |= {each.id for each in session}
    alike = Filter(agent=run.agent) if run.agent else Filter(text=run.name)
    return Candidates(
        origin=None if above is None else overview(above),
        of_session=tuple(map(overview, session)),
        of_agent=tuple(map(overview, _others(store, alike, seen))),
    )


def newest(index: Index) -> tuple[RunOverview, ...]:
    """The runs that began last, for a choice without any."""
    return tuple(map(overview, runs(index, Filter(top=True), limit=EACH).runs))


def _others(index: Index, where: Filter, seen: set[str]) -> Sequence[Run]:
    found = runs(index, where, limit=EACH + len(seen)).runs
    return [each for each in found if each.id not in seen][:EACH]


def _run(index: Index, run_id: str) -> Run | None:
    rows = index.find(Query("runs", (Where("id", "eq", run_id),), COLUMNS, limit=1)).rows
    return run_of(rows[0]) if rows else None
