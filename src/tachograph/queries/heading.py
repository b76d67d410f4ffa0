"""What stands above a run: its facts and totals, what ended it and on which evidence, who is above and below it.

Asked of rows that are found by index, and of the end of the log, so that it costs the same for a run of any length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from tachograph.events import ids
from tachograph.fold.approvals import approvals
from tachograph.fold.handoffs import Handing, handing
from tachograph.fold.resumptions import Resumption, resumptions
from tachograph.queries.answers.approvals import WaitingCall, waiting_call
from tachograph.queries.answers.limits import ReachedLimit, reached
from tachograph.queries.answers.runs import RunOverview, overview, overviews
from tachograph.queries.find import find
from tachograph.queries.pages import total
from tachograph.queries.runs import NO_AUDIT, Run
from tachograph.store.ports import Reading
from tachograph.store.query import Query, Where

ENDING = ("stop", "handoff", "raise", "wrap_up")
"""Modes that end a run, or let it say one thing more."""
CHILDREN = 8
"""Runs below it that are named."""
_TAIL = 200
"""Events at the end of the log that are looked at: what is said of an end stands there."""
_NEAR = 3
"""Events within which a refused call follows the limit that refused it."""


class Evidence(Struct, frozen=True, kw_only=True):
    """A step that led to a stop."""

    id: str
    step: int
    kind: str
    name: str


class Stop(Struct, frozen=True, kw_only=True):
    """The limit that ended a run, and what it was measured by."""

    hit: ReachedLimit
    evidence: tuple[Evidence, ...]


class Heading(Struct, frozen=True, kw_only=True):
    """A run without what it did."""

    pk: int
    run: RunOverview
    parent: RunOverview | None
    """The run that started it; None where there is none, or it is not stored."""
    parent_step: str | None
    """Id of the step that started it."""
    children: tuple[RunOverview, ...]
    """The first CHILDREN of the runs that it started."""
    child_count: int
    stop: Stop | None
    handing: Handing | None
    """Where it stands on its way to a person."""
    resumed: int
    """How often it went on after it had ended or was paused."""
    resumptions: tuple[Resumption, ...]
    """Those of them that the end of the log tells of."""
    waiting: tuple[WaitingCall, ...]
    """What a paused run waits for."""


def heading(store: Reading, name: str, now: int) -> Heading:
    """What stands above the run that `name` means, at `now` (UTC ns). Raises NotFound, Ambiguous."""
    run = find(store, name)
    columns = ("pk", "epoch", "parent_step")
    rows = store.find(Query("runs", (Where("id", "eq", run.id),), columns, limit=1)).rows
    pk, epoch, above = map(rows[0].get, columns) if rows else (0, 0, None)
    tail = list(store.read(run.id, max(-1, run.events - 1 - _TAIL)))
    to_person = handing(tail, store.fetch)
    parents = () if run.parent is None else overviews(store, Where("id", "eq", run.parent), limit=1)
    below = Where("parent_run", "eq", run.id)
    return Heading(
        pk=pk or 0,
        run=overview(run),
        parent=parents[0] if parents else None,
        parent_step=ids.step_id(parents[0].id, above or 0) if parents else None,
        children=overviews(store, below, limit=CHILDREN),
        child_count=total(store, Query("runs", (below, NO_AUDIT))),
        stop=_stop(store, run, pk or 0, to_person),
        handing=to_person,
        resumed=epoch or 0,
        resumptions=tuple(resumptions(tail)),
        waiting=tuple(waiting_call(run.id, one, now) for one in approvals(tail, store.fetch).values()),
    )


def _stop(store: Reading, run: Run, pk: int, to_person: Handing | None) -> Stop | None:
    """The last limit of the metric that the run says it ended by."""
    handed = run.stop_reason == "human_handoff"
    metric = (to_person.metric if to_person else "") if handed else run.stop_reason
    if not metric or (run.status == "completed" and not handed):
        return None
    where = (Where("run", "eq", pk), Where("metric", "eq", metric), Where("mode", "in", ENDING))
    hits = reached(store, *where, limit=1, order="-seq")
    if not hits:
        return None
    hit = hits[0]
    calls = (*hit.evidence, *(_refused(store, pk, hit) if hit.evidence else ()))
    return Stop(hit=hit, evidence=tuple(_evidence(store, run.id, pk, calls)))


def _refused(store: Reading, pk: int, hit: ReachedLimit) -> Sequence[int]:
    """The call that was refused, which is recorded behind the limit."""
    if hit.refused_kind != "tool":
        return ()
    where = (Where("run", "eq", pk), Where("step", "gt", hit.seq), Where("step", "le", hit.seq + _NEAR))
    named = Where("name", "eq", hit.refused_name)
    rows = store.find(Query("tool_calls", (*where, named), ("step",), order=("step",), limit=1)).rows
    return tuple(row["step"] for row in rows)


def _evidence(store: Reading, run_id: str, pk: int, seqs: Sequence[int]) -> Iterable[Evidence]:
    """Those of these seqs at which a step began."""
    if not seqs:
        return
    where = (Where("run", "eq", pk), Where("step", "in", tuple(dict.fromkeys(seqs))))
    query = Query("steps", where, ("step", "kind", "name"), order=("step",), limit=None)
    for row in store.find(query).rows:
        yield Evidence(id=ids.step_id(run_id, row["step"]), step=row["step"], kind=row["kind"], name=row["name"])
